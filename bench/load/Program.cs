using System.Globalization;
using System.Net.Http.Json;
using System.Text.Json;
using Perf.Bench.Load;

// dotnet run -c Release --project bench/load -- [--compare /usr/bin/etcd] [--only put-512,range-l] [--rounds 3] [--report FILE]
// dotnet run -c Release --project bench/load -- security [--compare /usr/bin/etcd] [--rounds 5]
if (args is ["security", .. string[] rest])
{
    return await SecurityBench.RunAsync(rest);
}

string? compare = null;
string[] only = [];
int rounds = 3;
string report = "perf-bench.html";
for (int i = 0; i < args.Length; i++)
{
    switch (args[i])
    {
        case "--compare" when i + 1 < args.Length:
            compare = args[++i];
            break;
        case "--only" when i + 1 < args.Length:
            only = args[++i].Split(',');
            break;
        case "--rounds" when i + 1 < args.Length && int.TryParse(args[i + 1], out int given) && given is > 0 and <= 100:
            rounds = given;
            i++;
            break;
        case "--report" when i + 1 < args.Length:
            report = args[++i];
            break;
        default:
            Console.Error.WriteLine(
                "usage: load [--compare ETCD] [--only SCENARIO,...] [--rounds N] [--report FILE]\n"
                + $"scenarios: {string.Join(' ', Scenario.All.Select(s => s.Name))}");
            return 2;
    }
}

if (only.FirstOrDefault(name => Scenario.All.All(s => s.Name != name)) is { } unknown)
{
    Console.Error.WriteLine($"no scenario is called {unknown}");
    return 2;
}

string ours = Path.Combine(
    AppContext.BaseDirectory.Replace("/bench/load/", "/server/etcd/", StringComparison.Ordinal), "etcd.dll");
var servers = new List<BenchServer> { await BenchServer.StartAsync("perf", ours, 22_379) };
try
{
    if (compare is not null)
    {
        servers.Add(await BenchServer.StartAsync("etcd", compare, 22_389));
    }

    var results = new List<Result>();
    foreach (BenchServer server in servers)
    {
        Scenario.Fill.Run(server.Port, Scenario.Fill.Requests);
    }

    foreach (Scenario scenario in Scenario.All.Where(s => only.Length == 0 || only.Contains(s.Name)))
    {
        var of = servers.ToDictionary(s => s.Name, _ => new List<Result>());
        for (int round = 0; round <= rounds; round++)
        {
            foreach (BenchServer server in servers)
            {
                Result result = await MeasureAsync(server, scenario, round == 0 ? scenario.Requests / 4 : scenario.Requests);
                if (round > 0)
                {
                    of[server.Name].Add(result);
                }
            }
        }

        foreach (BenchServer server in servers)
        {
            List<Result> sorted = [.. of[server.Name].OrderBy(r => r.PerSecond)];
            results.Add(sorted[sorted.Count / 2]);
        }

        Print(results, scenario, servers);
    }

    Result? headline = results.Find(r => r.Server == "perf" && r.Scenario == "put-512");
    foreach (BenchServer server in servers)
    {
        Console.WriteLine($"{server.Name}: anonymous memory after load {server.AnonymousMiB:0} MiB");
    }

    string first = headline is null
        ? "writes/s were not measured"
        : Text($"{headline.PerSecond:n0} writes/s: {headline.PerSecond / 1000:0} times the baseline of 1,000 writes/s");
    Console.WriteLine(first);
    HtmlReport.Write(report, first, results);
    Console.WriteLine($"report: {report}");
    return results.TrueForAll(r => r.Complete) ? 0 : 1;
}
finally
{
    servers.ForEach(s => s.Dispose());
}

static async Task<Result> MeasureAsync(BenchServer server, Scenario scenario, int requests)
{
    long before = await RevisionAsync(server);
    double cpu = server.CpuSeconds;
    (double seconds, Histogram latency) = scenario.Run(server.Port, requests);
    cpu = server.CpuSeconds - cpu;
    long moved = await RevisionAsync(server) - before;
    bool complete = moved == (long)scenario.Revisions * requests;
    if (!complete)
    {
        // The generator does not look at gRPC statuses; the store does.
        Console.WriteLine($"  !! {server.Name} {scenario.Name}: {requests} requests moved the revision by {moved}");
    }

    return new Result(scenario.Name, scenario.What, server.Name, requests / seconds, cpu * 1e6 / requests, latency, complete);
}

static async Task<long> RevisionAsync(BenchServer server)
{
    using var http = new HttpClient();
    using HttpResponseMessage response = await http.PostAsJsonAsync(
        $"http://127.0.0.1:{server.Port}/v3/kv/range", new { key = "Zm9v" });
    using JsonDocument json = JsonDocument.Parse(await response.Content.ReadAsStringAsync());
    return long.Parse(
        json.RootElement.GetProperty("header").GetProperty("revision").GetString()!, CultureInfo.InvariantCulture);
}

static void Print(List<Result> results, Scenario scenario, List<BenchServer> servers)
{
    IEnumerable<Result> of = results.Where(r => r.Scenario == scenario.Name);
    string columns = string.Join("  ", of.Select(r => Text(
        $"{r.Server} {r.PerSecond:n0}/s p50 {r.Latency.Percentile(0.5) / 1000.0:0.00} ms p99 {r.Latency.Percentile(0.99) / 1000.0:0.00} ms {r.CpuMicros:0.0} us cpu")));
    double ratio = servers.Count == 2 ? of.First().PerSecond / of.Last().PerSecond : 1;
    Console.WriteLine(servers.Count == 2
        ? Text($"{scenario.Name,-15} {columns}  x{ratio:0.00}")
        : $"{scenario.Name,-15} {columns}");
}

static string Text(FormattableString text) => text.ToString(CultureInfo.InvariantCulture);

namespace Perf.Bench.Load
{
    /// <summary>The median round of one scenario on one server.</summary>
    internal sealed record Result(
        string Scenario, string What, string Server, double PerSecond, double CpuMicros, Histogram Latency, bool Complete);
}
