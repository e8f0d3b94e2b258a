using System.Globalization;
using System.Runtime.CompilerServices;
using Perf.Bench.Load;

[assembly: System.Runtime.Versioning.SupportedOSPlatform("linux")]

return args is ["security", .. string[] rest] ? await SecurityBench.RunAsync(rest) : await Program.RunAsync(args);

/// <summary>
/// The load bench: one run, one table, one page. Servers are measured in turns, so that a drift of the machine meets
/// all of them; of several rounds the median counts.
/// </summary>
internal static partial class Program
{
    private const string Usage =
        """
        usage: load security [--compare ETCD] [--rounds N]
               load [--compare ETCD] [--server ETCD] [--only SCENARIO,...] [--full] [--quick] [--rounds N]
                    [--keys-max N] [--report FILE]
          --compare   an etcd to measure in the same run
          --server    our own server; by default the build beside this one
          --full      large stores, three members, load beside maintenance, growth, memory and restart too
          --quick     a hundredth of the requests, one round: shows that the bench works, measures nothing
          --keys-max  how far growth goes with --full (1,000,000; 10,000,000 wants 5 GB of disk)
        """;

    /// <summary>A server that takes longer for a round is given fewer requests: pages out of a million keys take another etcd minutes.</summary>
    private const int RoundSecondsMax = 10;

    private static readonly int[] WatcherCounts = [1, 100, 1_000, 10_000];

    public static async Task<int> RunAsync(string[] args)
    {
        if (!Options.TryParse(args, out Options options))
        {
            Console.Error.WriteLine(Usage);
            Console.Error.WriteLine("scenarios: " + string.Join(' ', Options.Names));
            return 2;
        }

        var bench = new Bench(options);
        await bench.RunAsync();
        List<Gates.Gate> gates = options.Quick ? [] : Gates.Check(bench.Results);
        foreach (Gates.Gate gate in gates)
        {
            Console.WriteLine(Gates.Line(gate));
        }

        Result? headline = bench.Results.Find(r => r is { Server: "perf", Scenario: "put-512" });
        string first = headline is null
            ? "writes/s were not measured"
            : Text($"{headline.PerSecond:n0} writes/s: {headline.PerSecond / 1000:0} times the baseline of 1,000 writes/s");
        Console.WriteLine(first);
        HtmlReport.Write(options.Report, first, bench.Results, gates);
        Console.WriteLine($"report: {options.Report}");
        return bench.Results.TrueForAll(r => r.Complete) ? 0 : 1;
    }

    /// <summary>The figure with its unit.</summary>
    public static string Figure(Result r) =>
        r.Unit == "/s" ? Text($"{r.PerSecond:n0}/s") : Text($"{r.PerSecond:0.##} {r.Unit}");

    private static string Text(ref DefaultInterpolatedStringHandler text) =>
        string.Create(CultureInfo.InvariantCulture, ref text);

    /// <summary>What the command line asks for.</summary>
    internal sealed class Options
    {
        /// <summary>All names that --only knows.</summary>
        public static IEnumerable<string> Names =>
        [
            .. Scenario.All.Select(s => s.Name), .. WatcherCounts.Select(n => $"watch-{n}"), "keepalive", "open", "idle",
            "members3", "beside", "growth",
        ];

        public string? Compare { get; private set; }

        public string Server { get; private set; } = Path.Combine(
            AppContext.BaseDirectory.Replace("/bench/load/", "/server/etcd/", StringComparison.Ordinal), "etcd.dll");

        public string[] Only { get; private set; } = [];

        public bool Full { get; private set; }

        public bool Quick { get; private set; }

        public int Rounds { get; private set; } = 3;

        public int KeysMax { get; private set; } = 1_000_000;

        public string Report { get; private set; } = "perf-bench.html";

        /// <summary>Named, or nothing was named and it is not for --full alone.</summary>
        public bool Wants(string name, bool isLarge = false) => Only.Length == 0 ? Full || !isLarge : Only.Contains(name);

        public static bool TryParse(string[] args, out Options options)
        {
            options = new Options();
            for (int i = 0; i < args.Length; i++)
            {
                string? value = i + 1 < args.Length ? args[i + 1] : null;
                switch (args[i])
                {
                    case "--full":
                        options.Full = true;
                        continue;
                    case "--quick":
                        options.Quick = true;
                        options.Rounds = 1;
                        continue;
                    case "--compare" when value is not null:
                        options.Compare = value;
                        break;
                    case "--server" when value is not null:
                        options.Server = value;
                        break;
                    case "--report" when value is not null:
                        options.Report = value;
                        break;
                    case "--only" when value is not null:
                        options.Only = value.Split(',');
                        break;
                    case "--rounds" when int.TryParse(value, out int rounds) && rounds is > 0 and <= 100:
                        options.Rounds = rounds;
                        break;
                    case "--keys-max" when int.TryParse(value, out int keys) && keys is >= 10_000 and <= 100_000_000:
                        options.KeysMax = keys;
                        break;
                    default:
                        return false;
                }

                i++;
            }

            return options.Only.All(Names.Contains);
        }
    }

    /// <summary>The run itself.</summary>
    private sealed class Bench(Options options)
    {
        public List<Result> Results { get; } = [];

        public async Task RunAsync()
        {
            await WithServersAsync(1, 0, SingleAsync);
            if (options.Wants("members3", isLarge: true))
            {
                await WithServersAsync(3, 100, ThreeMembersAsync);
            }

            if (options.Wants("growth", isLarge: true))
            {
                await WithServersAsync(1, 200, GrowAsync);
            }
        }

        /// <summary>The servers one beside the other, for loads that are measured in turns.</summary>
        private async Task WithServersAsync(int members, int portsUp, Func<List<BenchServer>, Task> work)
        {
            var servers = new List<BenchServer>();
            try
            {
                servers.Add(await BenchServer.StartAsync("perf", options.Server, 22_379 + portsUp, members));
                if (options.Compare is not null)
                {
                    servers.Add(await BenchServer.StartAsync("etcd", options.Compare, 22_429 + portsUp, members));
                }

                await work(servers);
            }
            finally
            {
                servers.ForEach(s => s.Dispose());
            }
        }

        private async Task SingleAsync(List<BenchServer> servers)
        {
            if (options.Wants("put-1"))
            {
                double micros = SyncProbe.MedianMicros(Scaled(1_000));
                Results.Add(Result.Of("sync", "one fdatasync of 4 KiB, median", "disk", micros, "us"));
                Console.WriteLine(Text($"sync               disk {micros:0} us"));
            }

            if (options.Wants("idle"))
            {
                await Task.Delay(TimeSpan.FromSeconds(options.Quick ? 0 : 2));
                servers.ForEach(s => Note("cold-start", "start of an empty member until healthy", s, s.StartSeconds, "s"));
                servers.ForEach(s => Note("idle", "idle memory (PSS)", s, s.PssMiB, "MiB"));
            }

            // What has to be there for gets, pages and txns, whatever is run.
            servers.ForEach(s => Scenario.All[0].Run(s.Port, 1));
            servers.ForEach(s => Fill(s, 1_000));
            foreach (Scenario scenario in Scenario.All.Where(s => options.Wants(s.Name, s.IsLarge) && !s.IsLarge))
            {
                await UnaryAsync(servers, scenario, scenario.Name);
            }

            if (options.Wants("open"))
            {
                await OpenAsync(servers);
            }

            foreach (int watchers in WatcherCounts.Where(n => options.Wants($"watch-{n}")))
            {
                await MedianAsync(
                    servers, $"watch-{watchers}", $"{watchers:n0} watchers of one key: events delivered", s =>
                    {
                        int events = Scaled(Math.Clamp(watchers * 1_000, 3_000, 1_000_000));
                        (double seconds, Histogram latency, long delivered) = WatchFanOut.Run(s.Port, watchers, events);
                        return Task.FromResult((delivered, seconds, latency, true));
                    });
            }

            if (options.Wants("keepalive"))
            {
                servers.ForEach(s => KeepAlives.Prepare(s.Port));
                await MedianAsync(servers, "keepalive", "lease keep-alives on 8 streams, 512 in flight", s =>
                {
                    int requests = Scaled(200_000);
                    (double seconds, Histogram latency) = KeepAlives.Run(s.Port, requests);
                    return Task.FromResult(((long)requests, seconds, latency, latency.Count == requests));
                });
            }

            foreach (Scenario scenario in Scenario.All.Where(s => options.Wants(s.Name, s.IsLarge) && s.IsLarge))
            {
                servers.ForEach(s => Fill(s, options.Quick ? 2_000 : scenario.Keys));
                await UnaryAsync(servers, scenario, scenario.Name);
            }

            if (options.Wants("beside", isLarge: true))
            {
                servers.ForEach(s => Fill(s, options.Quick ? 2_000 : 1_000_000));
                foreach (BenchServer server in servers)
                {
                    await BesideAsync(server);
                }
            }
        }

        private async Task ThreeMembersAsync(List<BenchServer> servers)
        {
            servers.ForEach(s => Scenario.All[0].Run(s.Port, 1));
            foreach (string name in new[] { "put-512", "put-1", "range-l" })
            {
                await UnaryAsync(servers, Scenario.All.First(s => s.Name == name), $"members3-{name}", "three members: ");
            }
        }

        /// <summary>Half of what the server itself can take, at a steady rate.</summary>
        private async Task OpenAsync(List<BenchServer> servers)
        {
            Scenario puts = Scenario.All[0] with { Connections = 4 };
            foreach (BenchServer server in servers)
            {
                double half = HalfLoad(server, puts);
                await MedianAsync([server], "open", "puts of 256 B at half of the most, open loop", s =>
                {
                    (double seconds, Histogram latency) = puts.RunOpen(s.Port, half, Seconds(3), Task.CompletedTask);
                    return Task.FromResult((latency.Count, seconds, latency, true));
                });
            }
        }

        private async Task BesideAsync(BenchServer server)
        {
            Scenario puts = Scenario.All.First(s => s.Name == "put-512-random") with { Connections = 4 };
            double half = HalfLoad(server, puts);
            await PhaseAsync("beside-quiet", "quiet", () => Task.Delay(Seconds(6)));
            long revision = await server.RevisionAsync();
            await PhaseAsync("beside-compaction", "compaction", () => CallAsync(server, Bodies.Compact(revision)));
            await PhaseAsync("beside-defragment", "defragment", () => CallAsync(server, Bodies.Defragment()));
            await PhaseAsync("beside-snapshot", "snapshot save", () => SnapshotAsync(server));

            async Task PhaseAsync(string name, string beside, Func<Task> work)
            {
                using var disk = new SyncWatch();
                await MedianAsync(
                    [server],
                    name,
                    $"puts at half of the most on 1 M keys beside: {beside}",
                    async s =>
                    {
                        Task running = Task.Run(async () =>
                        {
                            await Task.Delay(Seconds(1));
                            await work();
                        });
                        // As long as the work goes on, so do the puts.
                        (double seconds, Histogram latency) = puts.RunOpen(s.Port, half, Seconds(8), running);
                        await running;
                        return (latency.Count, seconds, latency, true);
                    },
                    rounds: 1);
                Note($"disk-{name}", $"longest fdatasync of another file meanwhile: {beside}", server, disk.LongestMillis, "ms");
            }
        }

        /// <summary>
        /// Calls as etcdctl does, by gRPC, since a call by JSON costs the bench more than the work costs the server. A snapshot is
        /// thrown away.
        /// </summary>
        private static async Task<long> CallAsync(BenchServer server, Call call) => await Task.Factory.StartNew(
            () =>
            {
                using var connection = new Http2Connection("127.0.0.1", server.Port);
                long bytes = connection.Drain(call);

                // A refusal has no message, an empty answer has the five bytes before it.
                return bytes > 0 ? bytes : throw new InvalidOperationException($"{server.Name}: refused");
            },
            TaskCreationOptions.LongRunning);

        private static async Task SnapshotAsync(BenchServer server)
        {
            long bytes = await CallAsync(server, Bodies.Snapshot());
            if (bytes < server.Keys * 256L)
            {
                throw new InvalidOperationException($"{server.Name}: {bytes} bytes of snapshot for {server.Keys} keys");
            }
        }

        /// <summary>Grows a store tenfold at a time: memory, restart after kill -9.</summary>
        private async Task GrowAsync(List<BenchServer> servers)
        {
            foreach (BenchServer server in servers)
            {
                for (int keys = 10_000; keys <= options.KeysMax; keys *= keys == 10_000 ? 100 : 10)
                {
                    int bytes = keys > 1_000_000 ? 100 : 256;
                    int from = server.Keys;
                    int to = options.Quick ? from + 1_000 : keys;
                    double seconds = Scenario.Fill(server.Port, from, to, bytes);
                    server.Keys = to;
                    Note($"fill-{keys}", $"filling up to {keys:n0} keys of {bytes} B", server, (to - from) / seconds, "keys/s");
                    Note($"memory-{keys}", $"anonymous memory with {keys:n0} keys", server, server.AnonymousMiB, "MiB");
                    await server.RestartAsync();
                    Note($"restart-{keys}", $"restart after kill -9 with {keys:n0} keys", server, server.StartSeconds, "s");
                    Note($"memory-restarted-{keys}", "anonymous memory after it", server, server.AnonymousMiB, "MiB");
                }
            }
        }

        private Task UnaryAsync(List<BenchServer> servers, Scenario scenario, string name, string where = "")
        {
            var requestsOf = servers.ToDictionary(s => s, s => Affordable(s, scenario));
            return MedianAsync(servers, name, where + scenario.What, async s =>
            {
                int requests = requestsOf[s];
                long before = await s.RevisionAsync();
                (double seconds, Histogram latency) = scenario.Run(s.Port, requests);
                long moved = await s.RevisionAsync() - before;
                bool complete = moved == (long)(scenario.Revisions * requests);
                if (!complete)
                {
                    // The generator does not look at gRPC statuses; the store does.
                    Console.WriteLine($"  !! {s.Name} {name}: {requests} requests moved the revision by {moved}");
                }

                return ((long)requests, seconds, latency, complete);
            });
        }

        /// <summary>The scenario's requests, or as many as a slow server answers in the time that a round may take.</summary>
        private int Affordable(BenchServer server, Scenario scenario)
        {
            int requests = Scaled(scenario.Requests);
            int few = Math.Max(requests / 50, 5);
            double seconds = scenario.Run(server.Port, few).Seconds;
            int affordable = (int)Math.Clamp(few / seconds * RoundSecondsMax, few, requests);

            // What is mixed of five goes in whole fives, or the revision would say that some were lost.
            return affordable - (affordable % 5);
        }

        private double HalfLoad(BenchServer server, Scenario puts)
        {
            // For seconds, not for a moment: what the server puts off meanwhile counts too.
            puts.Run(server.Port, Scaled(50_000));
            int requests = Scaled(400_000);
            return requests / puts.Run(server.Port, requests).Seconds / 2;
        }

        /// <summary>Rounds on each server in turn, one to warm up; of the others the one with the median rate.</summary>
        private async Task MedianAsync(
            List<BenchServer> servers,
            string name,
            string what,
            Func<BenchServer, Task<(long Count, double Seconds, Histogram Latency, bool Complete)>> measure,
            int rounds = 0)
        {
            bool warms = rounds == 0 && !options.Quick;
            rounds = rounds == 0 ? options.Rounds : rounds;
            var of = servers.ToDictionary(s => s.Name, _ => new List<Result>());
            for (int round = warms ? -1 : 0; round < rounds; round++)
            {
                foreach (BenchServer server in servers)
                {
                    double cpu = server.CpuSeconds;
                    (long count, double seconds, Histogram latency, bool complete) = await measure(server);
                    cpu = server.CpuSeconds - cpu;
                    if (round >= 0)
                    {
                        of[server.Name].Add(new Result(
                            name, what, server.Name, count / seconds, cpu * 1e6 / count, server.PssMiB, latency, complete));
                    }
                }
            }

            List<Result> medians =
            [
                .. servers.Select(s => of[s.Name].OrderBy(r => r.PerSecond).ElementAt(of[s.Name].Count / 2)),
            ];
            Results.AddRange(medians);
            string columns = string.Join("  ", medians.Select(r => Text(
                $"{r.Server} {Figure(r)} p50 {r.Latency.Percentile(0.5) / 1000.0:0.00} p99 {r.P99Millis:0.00} max {r.MaxMillis:0.0} ms {r.CpuMicros:0.00} us cpu {r.PssMiB:0} MiB")));
            string ratio = medians.Count == 2 ? Text($"  x{medians[0].PerSecond / medians[1].PerSecond:0.00}") : "";
            Console.WriteLine($"{name,-18} {columns}{ratio}");
        }

        private void Note(string name, string what, BenchServer server, double value, string unit)
        {
            var result = Result.Of(name, what, server.Name, value, unit);
            Results.Add(result);
            Console.WriteLine($"{name,-18} {server.Name} {Figure(result)}");
        }

        private static void Fill(BenchServer server, int keys)
        {
            if (server.Keys < keys)
            {
                Scenario.Fill(server.Port, server.Keys, keys);
                server.Keys = keys;
            }
        }

        private int Scaled(int count) => options.Quick ? Math.Max(count / 100, 100) : count;

        private TimeSpan Seconds(double seconds) => TimeSpan.FromSeconds(options.Quick ? seconds / 10 : seconds);
    }
}
