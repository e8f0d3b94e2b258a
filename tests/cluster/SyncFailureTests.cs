using Perf.Cluster.Tests.Harness;
using Xunit;

namespace Perf.Cluster.Tests;

/// <summary>A disk that no longer takes what is written to it, under the real program.</summary>
[Collection(SingleMembers.Name)]
public sealed class SyncFailureTests
{
    private const int Port = 31770;
    private const int Clients = 4;

    [SyncErrorTheory]
    [InlineData("wal")]
    [InlineData("snap")]
    public async Task The_first_failed_sync_ends_the_program_with_a_message_and_nothing_acknowledged_is_lost(string folder)
    {
        using var scratch = new TempDirectory();
        var writes = new AcknowledgedWrites(Clients);
        using (PerfProcess server = PerfProcess.Start(scratch["data"], Port, "--snapshot-count", "500"))
        {
            Task load = writes.RunAsync(server);
            while (writes.Count < 300)
            {
                await Task.Delay(10);
            }

            using SyncErrors errors = SyncErrors.Attach(server, Directory.GetFiles(scratch["data/member/" + folder]));
            Assert.Equal(2, server.WaitForExit());
            await load;
            Assert.Contains("\"level\":\"fatal\"", server.Log, StringComparison.Ordinal);
            Assert.Contains("Input/output error", server.Log, StringComparison.Ordinal);
            Assert.Contains(scratch["data/member/" + folder], server.Log, StringComparison.Ordinal);
        }

        using PerfProcess again = PerfProcess.Start(scratch["data"], Port);
        await writes.VerifyAsync(again);
    }
}
