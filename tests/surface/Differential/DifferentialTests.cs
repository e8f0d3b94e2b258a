using Perf.Cluster.Tests.Harness;
using Xunit;
using Xunit.Abstractions;

namespace Perf.Surface.Tests.Differential;

/// <summary>
/// One stream of requests from a seed, played against Debian's etcd and ours. Answers, codes and texts, watch events and
/// hashes have to be equal; where the versions differ there is a row in <see cref="KnownDifferences"/>.
/// PERF_DIFFERENTIAL_SEED and PERF_DIFFERENTIAL_REQUESTS change what is played.
/// </summary>
public sealed class DifferentialTests(ITestOutputHelper output)
{
    private const int DifferencesShownMax = 20;

    [InteropFact]
    public async Task Fifty_thousand_requests_are_answered_as_etcd_answers_them()
    {
        int seed = Setting("PERF_DIFFERENTIAL_SEED", 1);
        int requests = Setting("PERF_DIFFERENTIAL_REQUESTS", 50_000);

        // What is compared are answers, not disks: memory serves.
        string root = Directory.Exists("/dev/shm") ? "/dev/shm" : Path.GetTempPath();
        string directory = Path.Combine(root, $"perf-differential-{Environment.ProcessId}");
        Directory.CreateDirectory(directory);
        try
        {
            using RealEtcd real = RealEtcd.Start(Path.Combine(directory, "theirs"), FreePort.NextPair(), Flags);
            using PerfProcess perf = PerfProcess.Start(Path.Combine(directory, "ours"), FreePort.NextPair(), Flags);
            await using var theirs = new Side(real, "theirs", Play.WatchStreams + 1);
            await using var ours = new Side(perf, "ours", Play.WatchStreams + 1);
            var play = new Play(seed, theirs, ours);
            try
            {
                await play.RunAsync(requests);
            }
            catch (Exception e)
            {
                throw new InvalidOperationException($"seed {seed}: {Describe(play)}\n{perf.Log}\n{real.Log}", e);
            }

            output.WriteLine($"seed {seed}: {play.Summary}");
            Assert.True(play.Comparison.Differences.Count == 0, $"seed {seed}: {Describe(play)}");
        }
        finally
        {
            Directory.Delete(directory, recursive: true);
        }
    }

    private static string Describe(Play play) =>
        $"{play.Comparison.Differences.Count} differences\n"
            + string.Join('\n', play.Comparison.Differences.Take(DifferencesShownMax));

    /// <summary>The same member on both sides, whatever its port.</summary>
    private static string[] Flags =>
    [
        "--initial-advertise-peer-urls", "http://localhost:2380",
        "--initial-cluster", "default=http://localhost:2380",
        "--log-level", "error",
    ];

    private static int Setting(string name, int standard) =>
        int.TryParse(Environment.GetEnvironmentVariable(name), out int value) ? value : standard;
}
