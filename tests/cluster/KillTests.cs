using Perf.Cluster.Tests.Harness;
using Perf.Engine.IO;
using Perf.Engine.Tree;
using Xunit;

namespace Perf.Cluster.Tests;

/// <summary>kill -9 at any moment.</summary>
[Collection(SingleMembers.Name)]
public sealed class KillTests
{
    private const int Port = 31730;
    private const int Cycles = 30;
    private const int Clients = 8;

    [Fact]
    public async Task Whatever_was_acknowledged_is_there_after_thirty_kills_under_load()
    {
        using var scratch = new TempDirectory();
        var writes = new AcknowledgedWrites(Clients);
        var random = new Random(9);
        for (int cycle = 0; cycle < Cycles; cycle++)
        {
            using PerfProcess server = PerfProcess.Start(scratch["data"], Port, "--snapshot-count", "1000");
            try
            {
                await writes.VerifyAsync(server);
                Task load = writes.RunAsync(server);
                await Task.Delay(random.Next(20, 400));
                server.Kill();
                await load;
            }
            catch (Exception e) when (e is not InvalidOperationException)
            {
                throw server.Failure($"failed in cycle {cycle}: {e}");
            }

            File.Copy(scratch["data/member/snap/db"], scratch["copy"], overwrite: true);
            VerifyReport report = TreeVerifier.VerifyFile(FileDisk.Instance, scratch["copy"]);
            Assert.True(report.IsClean, $"cycle {cycle}: {string.Join('\n', report.Problems)}");
        }

        Assert.True(writes.Count > Cycles * Clients, $"only {writes.Count} writes");
    }
}
