using Perf.Cluster.Tests.Harness;
using Xunit;

namespace Perf.Cluster.Tests;

/// <summary>A real file system that loses what was not synced, under a running server.</summary>
[Collection(SingleMembers.Name)]
public sealed class PowerLossTests
{
    private const int Port = 31740;
    private const int Cycles = 5;
    private const int Clients = 8;

    [PowerCutFact]
    public async Task Whatever_was_acknowledged_is_there_after_the_power_was_cut_under_load()
    {
        using var disk = new PowerCut();
        string data = Path.Combine(disk.Path, "data");
        var writes = new AcknowledgedWrites(Clients);
        var random = new Random(5);
        for (int cycle = 0; cycle < Cycles; cycle++)
        {
            using PerfProcess server = PerfProcess.Start(data, Port, "--snapshot-count", "1000");
            try
            {
                await writes.VerifyAsync(server);
                Task load = writes.RunAsync(server);
                await Task.Delay(random.Next(100, 600));

                // The server runs on for a while: what it cannot make durable it may not acknowledge.
                disk.Cut();
                await Task.Delay(50);
                server.Kill();
                await load;
            }
            catch (Exception e) when (e is not InvalidOperationException)
            {
                throw server.Failure($"failed in cycle {cycle}: {e}");
            }

            disk.Restore();
        }

        using PerfProcess last = PerfProcess.Start(data, Port);
        await writes.VerifyAsync(last);
        Assert.True(writes.Count > Cycles * Clients, $"only {writes.Count} writes");
        last.Stop();
    }
}
