using System.Diagnostics;
using Etcdserverpb;
using Google.Protobuf;
using Perf.Cluster.Tests.Harness;
using Perf.Grpc;
using Xunit;
using Xunit.Abstractions;

namespace Perf.Cluster.Tests;

/// <summary>A disk that has no room left, under the real program.</summary>
[Collection(SingleMembers.Name)]
public sealed class FullDiskTests(ITestOutputHelper output)
{
    private const int Port = 31780;

    /// <summary>Two files of the log, and little more.</summary>
    private const long DiskBytes = 200 << 20;

    private const int ValueBytes = 1 << 20;
    private const int WritesMax = 200;

    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(60);

    private readonly Dictionary<string, long> _acknowledged = [];

    [SmallDiskFact]
    public async Task A_full_disk_is_named_reads_go_on_and_nothing_acknowledged_is_lost()
    {
        using var disk = new SmallDisk(DiskBytes);
        string data = Path.Combine(disk.Path, "data");
        using (PerfProcess server = PerfProcess.Start(data, Port))
        {
            await using var caller = new Caller(server);
            await PutAsync(caller, "before");

            // The log's next file is made ahead; then somebody else takes the rest.
            await WaitAsync(server, () => Directory.GetFiles(Path.Combine(data, "member/wal")).Length >= 2, "a second file of the log");
            disk.Fill(bytesLeft: 4 << 20);

            // The data file cannot grow: that is said, and the log still has room. What it takes is acknowledged.
            for (int i = 0; i < 12; i++)
            {
                await PutAsync(caller, $"full/{i}");
            }

            await WaitAsync(server, () => server.Log.Contains("no space for the data file", StringComparison.Ordinal), "the full disk is named");
            await VerifyAsync(caller);

            // With room again it goes on by itself.
            disk.Free();
            await PutAsync(caller, "room again");
            await WaitAsync(server, () => new FileInfo(Path.Combine(data, "member/snap/db")).Length > 12 * ValueBytes, "the data file grows");
            disk.Fill(bytesLeft: 0);

            // Nothing is left for the log either: it refuses, or it ends and says why.
            RpcException? refusal = null;
            for (int i = 0; i < WritesMax && refusal is null; i++)
            {
                try
                {
                    await PutAsync(caller, $"more/{i}");
                }
                catch (RpcException e)
                {
                    refusal = e;
                }
            }

            Assert.NotNull(refusal);
            output.WriteLine($"{_acknowledged.Count} writes of {ValueBytes} bytes acknowledged, then: {refusal.Message}");
            if (refusal.Code == StatusCode.ResourceExhausted)
            {
                await VerifyAsync(caller);
                server.Kill();
            }
            else
            {
                Assert.NotEqual(0, server.WaitForExit());
                Assert.Contains("No space left on device", server.Log, StringComparison.Ordinal);
                Assert.Contains(data, server.Log, StringComparison.Ordinal);
            }
        }

        disk.Free();
        disk.Grow(2 * DiskBytes);
        using PerfProcess again = PerfProcess.Start(data, Port);
        await using var last = new Caller(again);
        await VerifyAsync(last);
        await PutAsync(last, "after");
    }

    private static async Task WaitAsync(PerfProcess server, Func<bool> isSo, string what)
    {
        for (var waited = Stopwatch.StartNew(); !isSo(); await Task.Delay(20))
        {
            if (waited.Elapsed > Patience || server.HasExited)
            {
                throw server.Failure($"not in {Patience}: {what}");
            }
        }
    }

    private async Task PutAsync(Caller caller, string key)
    {
        byte[] value = new byte[ValueBytes];
        new Random(key.Length).NextBytes(value);
        PutResponse answer = await caller.PutAsync(
            new PutRequest { Key = ByteString.CopyFromUtf8(key), Value = ByteString.CopyFrom(value) });
        _acknowledged.Add(key, answer.Header.Revision);
    }

    private async Task VerifyAsync(Caller caller)
    {
        foreach ((string key, long revision) in _acknowledged)
        {
            RangeResponse found = await caller.RangeAsync(new RangeRequest { Key = ByteString.CopyFromUtf8(key) });
            Assert.True(found.Kvs.Count == 1, $"{key} is gone");
            Assert.Equal((revision, ValueBytes), (found.Kvs[0].ModRevision, found.Kvs[0].Value.Length));
        }
    }
}
