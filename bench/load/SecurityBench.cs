using System.Globalization;
using System.Net;
using System.Net.Security;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;

namespace Perf.Bench.Load;

/// <summary>
/// What security costs: one of ours with auth on and off in turns, and ours under TLS against another etcd under TLS. Server CPU
/// per request, medians of alternating rounds. Auth is switched within one process, since two processes with the same work differ by more
/// than it costs: each has its own mind about what to inline.
/// </summary>
internal static class SecurityBench
{
    /// <summary>
    /// A round of a side is so many turns, each beside one of the other side: the machine changes from one second to the next, and
    /// what a token costs is a fraction of that.
    /// </summary>
    private const int TurnsPerRound = 16;

    /// <summary>Another etcd takes ten times as long for the same, and is further away than a token is.</summary>
    private const int TurnsBesideAnother = 4;

    public static async Task<int> RunAsync(string[] args)
    {
        string? compare = null;
        int rounds = 5;
        string[] names = ["put-512", "range-l"];
        for (int i = 0; i + 1 < args.Length; i += 2)
        {
            switch (args[i])
            {
                case "--compare":
                    compare = args[i + 1];
                    break;
                case "--rounds":
                    rounds = int.Parse(args[i + 1], CultureInfo.InvariantCulture);
                    break;
                case "--only":
                    names = args[i + 1].Split(',');
                    break;
            }
        }

        string ours = Path.Combine(
            AppContext.BaseDirectory.Replace("/bench/load/", "/server/etcd/", StringComparison.Ordinal), "etcd.dll");
        using (BenchServer server = await BenchServer.StartAsync("ours", ours, 22_379))
        {
            var auth = new AuthSwitch(server);
            await auth.SetUpAsync();
            await CompareAsync(new Side("token", server, auth.OnAsync), new Side("open", server, auth.OffAsync), names, rounds, besideAnother: false);
        }

        string directory = Directory.CreateTempSubdirectory("perf-bench-tls-").FullName;
        try
        {
            string[] flags = WriteCertificate(directory);
            var door = new Door(Tls: new SslClientAuthenticationOptions
            {
                TargetHost = "127.0.0.1",
                ApplicationProtocols = [SslApplicationProtocol.Http2],
                RemoteCertificateValidationCallback = (_, _, _, _) => true,
            });
            using BenchServer secure = await BenchServer.StartAsync("tls", ours, 22_379, tlsFlags: flags);
            if (compare is null)
            {
                using BenchServer open = await BenchServer.StartAsync("open", ours, 22_389);
                await CompareAsync(Side.Of(secure, door), Side.Of(open, new Door()), names, rounds, besideAnother: false);
            }
            else
            {
                using BenchServer other = await BenchServer.StartAsync("etcd-tls", compare, 22_389, tlsFlags: flags);
                await CompareAsync(Side.Of(secure, door), Side.Of(other, door), names, rounds, besideAnother: true);
            }
        }
        finally
        {
            Directory.Delete(directory, recursive: true);
        }

        return 0;
    }

    private static async Task CompareAsync(Side left, Side right, string[] names, int rounds, bool besideAnother)
    {
        foreach (Scenario scenario in Scenario.All.Where(s => names.Contains(s.Name)))
        {
            var of = new Dictionary<Side, List<Round>> { [left] = [], [right] = [] };

            // Not so many puts that their history fills the quota.
            int requests = scenario.Name == "range-l" ? 400_000 : 50_000;
            int turnsPerRound = TurnsPerRound;
            if (besideAnother)
            {
                requests /= 10;
                turnsPerRound = TurnsBesideAnother;
            }

            // The first round pays for compilation; it does not count.
            for (int round = -1; round < rounds; round++)
            {
                var turns = new Dictionary<Side, List<Round>> { [left] = [], [right] = [] };
                for (int turn = 0; turn < turnsPerRound; turn++)
                {
                    Side[] order = turn % 2 == 0 ? [left, right] : [right, left];
                    foreach (Side side in order)
                    {
                        turns[side].Add(await MeasureAsync(side.Server, await side.OpenAsync(), scenario, requests));
                    }
                }

                if (round >= 0)
                {
                    of[left].Add(Round.Of(turns[left]));
                    of[right].Add(Round.Of(turns[right]));
                }
            }

            double ratio = Median(of[left].Select(r => r.CpuMicros)) / Median(of[right].Select(r => r.CpuMicros));
            Console.WriteLine(Text($"{scenario.Name,-10} {Show(left, of[left])}   {Show(right, of[right])}   CPU x{ratio:0.000}"));
        }

        static string Show(Side side, List<Round> rounds) => Text(
            $"{side.Name}: {Median(rounds.Select(r => r.PerSecond)):n0}/s, p50 {Median(rounds.Select(r => r.P50Millis)):0.00} ms, CPU {Median(rounds.Select(r => r.CpuMicros)):0.00} us ({rounds.Min(r => r.CpuMicros):0.00}-{rounds.Max(r => r.CpuMicros):0.00})");
    }

    private static async Task<Round> MeasureAsync(BenchServer server, Door door, Scenario scenario, int requests)
    {
        // What switching left behind (a hash of a password takes a processor for long) is not the requests'.
        scenario.Run(server.Port, requests / 4, door);
        string method = scenario.Method;
        long before = await AnsweredAsync(server, method);
        double cpu = server.CpuSeconds;
        (double seconds, Histogram latency) = scenario.Run(server.Port, requests, door);
        cpu = server.CpuSeconds - cpu;
        long answered = await AnsweredAsync(server, method) - before;
        return answered == requests
            ? new Round(requests / seconds, cpu * 1e6 / requests, latency.Percentile(0.5) / 1000.0)
            : throw new InvalidOperationException($"{server.Name} {scenario.Name}: {answered} of {requests} were answered well");
    }

    /// <summary>Calls that ended with OK, by the server's own count: the generator does not look at statuses.</summary>
    private static async Task<long> AnsweredAsync(BenchServer server, string method)
    {
        using var http = new HttpClient();
        string metrics = await http.GetStringAsync(new Uri(server.MonitorUrl + "/metrics"));
        return metrics.Split('\n')
            .Where(l => l.StartsWith("grpc_server_handled_total{", StringComparison.Ordinal)
                && l.Contains("grpc_code=\"OK\"", StringComparison.Ordinal)
                && l.Contains($"grpc_method=\"{method}\"", StringComparison.Ordinal)
                && l.Contains("grpc_service=\"etcdserverpb.KV\"", StringComparison.Ordinal))
            .Sum(l => (long)double.Parse(l.Split(' ')[^1], CultureInfo.InvariantCulture));
    }

    private static string[] WriteCertificate(string directory)
    {
        using ECDsa key = ECDsa.Create(ECCurve.NamedCurves.nistP256);
        var request = new CertificateRequest("CN=bench", key, HashAlgorithmName.SHA256);
        var names = new SubjectAlternativeNameBuilder();
        names.AddIpAddress(IPAddress.Loopback);
        request.CertificateExtensions.Add(names.Build());
        using X509Certificate2 certificate =
            request.CreateSelfSigned(DateTimeOffset.UtcNow.AddDays(-1), DateTimeOffset.UtcNow.AddDays(1));
        string certFile = Path.Combine(directory, "cert.pem");
        string keyFile = Path.Combine(directory, "key.pem");
        File.WriteAllText(certFile, certificate.ExportCertificatePem());
        File.WriteAllText(keyFile, key.ExportECPrivateKeyPem());
        return ["--cert-file", certFile, "--key-file", keyFile];
    }

    private static double Median(IEnumerable<double> values)
    {
        double[] sorted = [.. values.Order()];
        return sorted[sorted.Length / 2];
    }

    private static string Text(FormattableString text) => text.ToString(CultureInfo.InvariantCulture);

    private sealed record Round(double PerSecond, double CpuMicros, double P50Millis)
    {
        /// <summary>Turns of as many requests each, taken together.</summary>
        public static Round Of(List<Round> turns) => new(
            1 / turns.Average(t => 1 / t.PerSecond), turns.Average(t => t.CpuMicros), Median(turns.Select(t => t.P50Millis)));
    }

    /// <summary>One of two that are compared; before each of its rounds it is opened.</summary>
    private sealed record Side(string Name, BenchServer Server, Func<Task<Door>> OpenAsync)
    {
        public static Side Of(BenchServer server, Door door) => new(server.Name, server, () => Task.FromResult(door));
    }
}
