using System.Security.Cryptography;
using Perf.Engine.IO;
using Xunit;

namespace Perf.Node.Tests.Pipeline;

/// <summary>Few large entries must not make a log that takes long to read at start.</summary>
public sealed class LogBytesTests : IDisposable
{
    private readonly string _directory = Directory.CreateTempSubdirectory("perf-log-bytes-").FullName;

    [Fact]
    public async Task Few_large_entries_are_followed_by_a_snapshot_too()
    {
        const int Puts = 70;
        string snapDir = NodeHarness.Config(_directory).SnapDir;
        await using (NodeHarness member = await NodeHarness.StartAsync(FileDisk.Instance, NodeHarness.Config(_directory)))
        {
            byte[] value = RandomNumberGenerator.GetBytes(1_000_000);
            for (int i = 0; i < Puts; i++)
            {
                Assert.Equal(Store.StoreError.None, await member.PutAsync($"k{i % 10}", value));
            }

            await UntilAsync(() => Directory.GetFiles(snapDir, "*.snap").Length > 0);
        }

        // What was put is there after a start from the snapshot, and the log behind it is short.
        await using NodeHarness back = await NodeHarness.StartAsync(FileDisk.Instance, NodeHarness.Config(_directory));
        Assert.True(back.Get("k0").Length > 1_000_000);
        Assert.Equal(Puts, back.Node.State.Machine.Kv.PublishedRevision - 1);
        Assert.NotEmpty(Directory.GetFiles(snapDir, "*.snap"));
    }

    public void Dispose() => Directory.Delete(_directory, recursive: true);

    private static async Task UntilAsync(Func<bool> isTrue)
    {
        for (int i = 0; !isTrue(); i++)
        {
            Assert.True(i < 6_000, "no snapshot within a minute");
            await Task.Delay(10);
        }
    }
}
