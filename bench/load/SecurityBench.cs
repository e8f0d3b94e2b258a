using System.Globalization;
using System.Net;
using System.Net.Http.Json;
using System.Net.Security;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using System.Text.Json;

namespace Perf.Bench.Load;

/// <summary>
/// What security costs: one of ours with a simple token against one without auth, and ours under TLS against another
/// etcd under TLS. Server CPU per request, rounds in turns, medians.
/// </summary>
internal static class SecurityBench
{
    /// <summary>Requests of a round: enough for the processor's clock, which ticks in hundredths of a second.</summary>
    private static int RequestsOf(Scenario scenario) => scenario.Name == "range-l" ? 400_000 : 200_000;

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
        using (BenchServer open = await BenchServer.StartAsync("open", ours, 22_379))
        using (BenchServer token = await BenchServer.StartAsync("token", ours, 22_389))
        {
            // Both have seen the same calls when it begins: what the runtime makes of them is the same for both.
            await EnableAuthAsync(open, again: false);
            await CompareAsync((token, new Door(await EnableAuthAsync(token, again: true))), (open, new Door()), names, rounds);
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
                await CompareAsync((secure, door), (open, new Door()), names, rounds);
            }
            else
            {
                using BenchServer other = await BenchServer.StartAsync("etcd-tls", compare, 22_389, tlsFlags: flags);
                await CompareAsync((secure, door), (other, door), names, rounds);
            }
        }
        finally
        {
            Directory.Delete(directory, recursive: true);
        }

        return 0;
    }

    private static async Task CompareAsync(
        (BenchServer Server, Door Door) left, (BenchServer Server, Door Door) right, string[] names, int rounds)
    {
        foreach (Scenario scenario in Scenario.All.Where(s => names.Contains(s.Name)))
        {
            var of = new Dictionary<BenchServer, List<Round>> { [left.Server] = [], [right.Server] = [] };

            // The first rounds pay for compilation; they do not count.
            for (int round = -6; round < rounds; round++)
            {
                (BenchServer, Door)[] order = round % 2 == 0 ? [left, right] : [right, left];
                foreach ((BenchServer server, Door door) in order)
                {
                    Round measured = await MeasureAsync(server, door, scenario);
                    if (round >= 0)
                    {
                        of[server].Add(measured);
                    }
                }
            }

            // Neighbours in time, since the machine itself changes from one second to the next.
            double ratio = Median(of[left.Server].Zip(of[right.Server], (l, r) => l.CpuMicros / r.CpuMicros));
            Console.WriteLine(Text(
                $"{scenario.Name,-10} {Show(left.Server, of)}   {Show(right.Server, of)}   CPU x{ratio:0.000}"));
        }

        static string Show(BenchServer server, Dictionary<BenchServer, List<Round>> of) => Text(
            $"{server.Name}: {Median(of[server].Select(r => r.PerSecond)):n0}/s, p50 {Median(of[server].Select(r => r.P50Millis)):0.00} ms, CPU {Median(of[server].Select(r => r.CpuMicros)):0.00} us ({of[server].Min(r => r.CpuMicros):0.00}-{of[server].Max(r => r.CpuMicros):0.00})");
    }

    private static async Task<Round> MeasureAsync(BenchServer server, Door door, Scenario scenario)
    {
        string method = scenario.Method;
        long before = await AnsweredAsync(server, method);
        double cpu = server.CpuSeconds;
        int requests = RequestsOf(scenario);
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

    /// <summary>
    /// Users root and bench, the latter with a role of a hundred ranges; bench's token. Auth is on, off, and on again if so wished.
    /// </summary>
    private static async Task<string> EnableAuthAsync(BenchServer server, bool again)
    {
        using var http = new HttpClient { BaseAddress = new Uri($"http://127.0.0.1:{server.Port}") };
        await MustAsync("/v3/auth/user/add", new { name = "root", password = "pw" });
        await MustAsync("/v3/auth/user/grant", new { user = "root", role = "root" });
        await MustAsync("/v3/auth/user/add", new { name = "bench", password = "pw" });
        await MustAsync("/v3/auth/role/add", new { name = "bench" });
        for (int i = 0; i < 100; i++)
        {
            await GrantAsync($"range/{i:d3}/", $"range/{i:d3}0");
        }

        await GrantAsync("foo", "fop");
        await MustAsync("/v3/auth/user/grant", new { user = "bench", role = "bench" });
        await MustAsync("/v3/auth/enable", new { });
        http.DefaultRequestHeaders.TryAddWithoutValidation("Authorization", await TokenAsync("root"));
        string token = await TokenAsync("bench");
        await MustAsync("/v3/auth/disable", new { });
        if (again)
        {
            await MustAsync("/v3/auth/enable", new { });
            http.DefaultRequestHeaders.Clear();
            token = await TokenAsync("bench");
        }

        return token;

        async Task<string> TokenAsync(string name) =>
            (await MustAsync("/v3/auth/authenticate", new { name, password = "pw" })).GetProperty("token").GetString()!;

        Task GrantAsync(string from, string to) => MustAsync("/v3/auth/role/grant", new
        {
            name = "bench",
            perm = new { permType = "READWRITE", key = Base64(from), range_end = Base64(to) },
        });

        async Task<JsonElement> MustAsync(string path, object body)
        {
            using HttpResponseMessage response = await http.PostAsJsonAsync(path, body);
            response.EnsureSuccessStatusCode();
            return await response.Content.ReadFromJsonAsync<JsonElement>();
        }

        static string Base64(string text) => Convert.ToBase64String(System.Text.Encoding.UTF8.GetBytes(text));
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

    private sealed record Round(double PerSecond, double CpuMicros, double P50Millis);
}
