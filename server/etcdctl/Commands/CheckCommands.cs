using System.Collections.Concurrent;
using System.Diagnostics;
using System.Globalization;
using System.Threading.Channels;
using Perf.Client;
using Perf.Etcdctl.CommandLine;
using Perf.Etcdctl.Text;

namespace Perf.Etcdctl.Commands;

/// <summary>check perf (does the cluster keep up with a load?) and check datascale (what does data cost in memory?).</summary>
internal static class CheckCommands
{
    private static readonly Dictionary<string, (int Rate, int Clients)> PerfLoads = new(StringComparer.Ordinal)
    {
        ["s"] = (150, 50),
        ["m"] = (1000, 200),
        ["l"] = (8000, 500),
        ["xl"] = (15000, 1000),
    };

    private static readonly Dictionary<string, (int Keys, int Clients)> ScaleLoads = new(StringComparer.Ordinal)
    {
        ["s"] = (10_000, 50),
        ["m"] = (100_000, 200),
        ["l"] = (1_000_000, 500),
        ["xl"] = (3_000_000, 1000),
    };

    private static readonly TimeSpan PerfDuration = TimeSpan.FromSeconds(60);

    public static Command New() => new Command(
        "check <subcommand>", "commands for checking properties of the etcd cluster").Add(
        new Command("perf [options]", "Check the performance of the etcd cluster")
        {
            Run = run => PerfAsync(run, PerfDuration),
        }.With(flags => Flags(flags, "performance", "/etcdctl-check-perf/")),
        new Command(
            "datascale [options]",
            "Check the memory usage of holding data for different workloads on a given server endpoint.",
            "If no endpoint is provided, localhost will be used. If multiple endpoints are provided, first endpoint "
            + "will be used.")
        {
            Run = DatascaleAsync,
        }.With(flags => Flags(flags, "datascale", "/etcdctl-check-datascale/")));

    private static void Flags(FlagSet flags, string name, string prefix)
    {
        flags.String(
            "load",
            "s",
            $"The {name} check's workload model. Accepted workloads: s(small), m(medium), l(large), xl(xLarge)");
        flags.String("prefix", prefix, $"The prefix for writing the {name} check's keys.");
        flags.Bool("auto-compact", false, "Compact storage with last revision after test is finished.");
        flags.Bool("auto-defrag", false, "Defragment storage after test is finished.");
    }

    private static string Load(Invocation run) => run.Text("load") switch
    {
        "s" or "small" => "s",
        "m" or "medium" => "m",
        "l" or "large" => "l",
        "xl" or "xLarge" => "xl",
        var other => throw new ExitException(ExitCode.BadFeature, "unknown load option " + other),
    };

    /// <summary>Runs the load for a while and judges rate and latencies.</summary>
    internal static async Task PerfAsync(Invocation run, TimeSpan duration)
    {
        (int rate, int clients) = PerfLoads[Load(run)];
        await using Session session = await Session.OpenAsync(run).ConfigureAwait(false);
        Bytes prefix = GoText.ToBytes(run.Text("prefix"));
        run.Terminal.CleansUp = true;
        await RefuseExistingAsync(session, prefix, quote: "'").ConfigureAwait(false);
        var bar = new ProgressBar(run.Terminal, (int)duration.TotalSeconds);
        var load = new Workload(session.Client, prefix, keyBytes: 256, valueBytes: 1024);
        using var stop = CancellationTokenSource.CreateLinkedTokenSource(run.Terminal.Interrupted);
        stop.CancelAfter(duration);
        Task ticking = bar.TickAsync(stop.Token);
        await load.RunAsync(clients, rate, long.MaxValue, null, stop.Token).ConfigureAwait(false);
        await ticking.ConfigureAwait(false);
        bar.Finish();
        Report report = load.Report();
        await CleanUpAsync(session, prefix, run.On("auto-compact")).ConfigureAwait(false);
        if (run.Terminal.Interrupted.IsCancellationRequested)
        {
            throw new ExitException(ExitCode.Interrupted, "");
        }

        if (run.On("auto-defrag"))
        {
            await DefragmentAsync(session).ConfigureAwait(false);
        }

        Judge(run.Terminal, report, rate);
    }

    internal static void Judge(Terminal terminal, Report report, int rate)
    {
        bool ok = true;
        if (report.Errors.Count > 0)
        {
            terminal.WriteLine("FAIL: too many errors");
            foreach ((string error, int count) in report.Errors)
            {
                terminal.WriteLine($"FAIL: ERROR({error}) -> {count}");
            }

            ok = false;
        }

        int throughput = (int)report.PerSecond + 1;
        Line(report.PerSecond / rate > 0.9, $"Throughput is {throughput} writes/s",
            $"FAIL: Throughput too low: {throughput} writes/s");
        Line(report.Slowest <= 0.5, $"Slowest request took {Seconds(report.Slowest)}",
            $"Slowest request took too long: {Seconds(report.Slowest)}");
        Line(report.Deviation <= 0.1, $"Stddev is {Seconds(report.Deviation)}",
            $"Stddev too high: {Seconds(report.Deviation)}");
        terminal.WriteLine(ok ? "PASS" : "FAIL");
        if (!ok)
        {
            throw new ExitException(ExitCode.Error, "");
        }

        void Line(bool passed, string good, string bad)
        {
            terminal.WriteLine(passed ? "PASS: " + good : bad);
            ok &= passed;
        }
    }

    private static async Task DatascaleAsync(Invocation run)
    {
        (int keys, int clients) = ScaleLoads[Load(run)];
        await using Session session = await Session.OpenAsync(run).ConfigureAwait(false);
        Bytes prefix = GoText.ToBytes(run.Text("prefix"));
        run.Terminal.CleansUp = true;
        await RefuseExistingAsync(session, prefix, quote: "").ConfigureAwait(false);
        double before = await MemoryAsync(run, session, "before").ConfigureAwait(false);
        run.Terminal.WriteLine(
            $"Start data scale check for work load [{keys} key-value pairs, 1024 bytes per key-value, "
            + $"{clients} concurrent clients].");
        var bar = new ProgressBar(run.Terminal, keys);
        var load = new Workload(session.Client, prefix, keyBytes: 512, valueBytes: 512);
        await load.RunAsync(clients, 0, keys, bar, run.Terminal.Interrupted).ConfigureAwait(false);
        bar.Finish();
        Report report = load.Report();
        double after = run.Terminal.Interrupted.IsCancellationRequested
            ? 0
            : await MemoryAsync(run, session, "after").ConfigureAwait(false);
        await CleanUpAsync(session, prefix, run.On("auto-compact")).ConfigureAwait(false);
        if (run.Terminal.Interrupted.IsCancellationRequested)
        {
            throw new ExitException(ExitCode.Interrupted, "");
        }

        if (run.On("auto-defrag"))
        {
            await DefragmentAsync(session).ConfigureAwait(false);
        }

        if (report.Errors.Count > 0)
        {
            run.Terminal.WriteLine("FAIL: too many errors");
            foreach ((string error, int count) in report.Errors)
            {
                run.Terminal.WriteLine($"FAIL: ERROR({error}) -> {count}");
            }

            throw new ExitException(ExitCode.Error, "");
        }

        string used = ((after - before) / (1024 * 1024)).ToString("0.00", CultureInfo.InvariantCulture);
        run.Terminal.WriteLine($"PASS: Approximate system memory used : {used} MB.");
    }

    private static async Task RefuseExistingAsync(Session session, Bytes prefix, string quote)
    {
        var one = new GetOptions { Prefix = true, Limit = 1 };
        GetResponse found = await session.WithinTimeoutAsync(c => session.Client.Kv.GetAsync(prefix, one, c))
            .ConfigureAwait(false);
        if (found.Kvs.Count > 0)
        {
            string name = GoText.FromBytes(prefix.Span);
            throw new ExitException(
                ExitCode.InvalidInput,
                $"prefix {GoText.Quote(name)} has keys. Delete with {quote}etcdctl del --prefix {name}{quote} first");
        }
    }

    private static async Task CleanUpAsync(Session session, Bytes prefix, bool compact)
    {
        // Not under the interruption: what the check has written must go even then.
        using var timeout = new CancellationTokenSource(TimeSpan.FromSeconds(30));
        try
        {
            DeleteResponse deleted = await session.Client.Kv.DeleteAsync(
                prefix, new DeleteOptions { Prefix = true }, timeout.Token).ConfigureAwait(false);
            if (compact)
            {
                long revision = deleted.Header.Revision;
                session.Terminal.WriteLine($"Compacting with revision {revision}");
                await session.Client.Kv.CompactAsync(revision, physical: true, timeout.Token).ConfigureAwait(false);
                session.Terminal.WriteLine($"Compacted with revision {revision}");
            }
        }
        catch (Exception e) when (e is EtcdException or OperationCanceledException)
        {
            session.Terminal.WriteLine($"FAIL: Cleanup failed during key deletion: ERROR({e.Message})");
        }
    }

    private static async Task DefragmentAsync(Session session)
    {
        foreach (string endpoint in session.Client.Endpoints)
        {
            using var timeout = new CancellationTokenSource(TimeSpan.FromSeconds(30));
            session.Terminal.WriteLine($"Defragmenting {GoText.Quote(endpoint)}");
            await session.Client.Maintenance.DefragmentAsync(endpoint, timeout.Token).ConfigureAwait(false);
            session.Terminal.WriteLine($"Defragmented {GoText.Quote(endpoint)}");
        }
    }

    /// <summary>The server's resident memory, as its metrics tell.</summary>
    private static async Task<double> MemoryAsync(Invocation run, Session session, string when)
    {
        const string Name = "process_resident_memory_bytes";
        string endpoint = session.Client.Endpoints[0];
        EtcdTls? tls = session.Options([endpoint]).Tls;
        string url = (endpoint.StartsWith("http", StringComparison.Ordinal)
            ? endpoint
            : (tls is null ? "http://" : "https://") + endpoint) + "/metrics";
        try
        {
            using HttpClient http = PlainHttp.Client(tls, TimeSpan.FromSeconds(10));
            string metrics = await http.GetStringAsync(url, run.Terminal.Interrupted).ConfigureAwait(false);
            string? line = metrics.Split('\n').FirstOrDefault(l => l.StartsWith(Name, StringComparison.Ordinal));
            if (line is not null)
            {
                return double.Parse(line[Name.Length..].Trim(), CultureInfo.InvariantCulture);
            }

            run.Terminal.WriteLine("could not find: " + Name);
        }
        catch (Exception e) when (e is HttpRequestException or FormatException or TaskCanceledException)
        {
            run.Terminal.WriteLine("fetch error: " + e.Message);
        }

        run.Terminal.WriteLine($"FAIL: Could not read {Name} {when} the put operations.");
        throw new ExitException(ExitCode.Error, "");
    }

    private static string Seconds(double value) => value.ToString("0.000000", CultureInfo.InvariantCulture) + "s";

    /// <summary>What a load has achieved.</summary>
    internal sealed record Report(
        double PerSecond, double Slowest, double Deviation, IReadOnlyDictionary<string, int> Errors);

    /// <summary>Puts random keys under a prefix from many workers at once.</summary>
    private sealed class Workload
    {
        private readonly EtcdClient _client;
        private readonly Bytes _prefix;
        private readonly int _keyBytes;
        private readonly Bytes _value;
        private readonly ConcurrentBag<double> _latencies = [];
        private readonly ConcurrentDictionary<string, int> _errors = new(StringComparer.Ordinal);
        private TimeSpan _total;

        public Workload(EtcdClient client, Bytes prefix, int keyBytes, int valueBytes)
        {
            _client = client;
            _prefix = prefix;
            _keyBytes = keyBytes;
            _value = new byte[valueBytes];
        }

        /// <summary>Runs until stopped or a number of puts is done; a rate of 0 is as fast as it goes.</summary>
        public async Task RunAsync(int workers, int rate, long puts, ProgressBar? bar, CancellationToken stop)
        {
            Channel<bool> turns = Channel.CreateBounded<bool>(workers);
            long started = Stopwatch.GetTimestamp();
            Task[] all = Enumerable.Range(0, workers).Select(_ => WorkAsync(turns.Reader, bar)).ToArray();
            try
            {
                for (long put = 0; put < puts; put++)
                {
                    if (rate > 0)
                    {
                        TimeSpan ahead = TimeSpan.FromSeconds((double)put / rate)
                            - Stopwatch.GetElapsedTime(started);
                        if (ahead > TimeSpan.FromMilliseconds(1))
                        {
                            await Task.Delay(ahead, stop).ConfigureAwait(false);
                        }
                    }

                    await turns.Writer.WriteAsync(true, stop).ConfigureAwait(false);
                }
            }
            catch (OperationCanceledException)
            {
                // Time is up; what is under way is finished.
            }

            turns.Writer.Complete();
            await Task.WhenAll(all).ConfigureAwait(false);
            _total = Stopwatch.GetElapsedTime(started);
        }

        public Report Report()
        {
            double[] latencies = [.. _latencies];
            double mean = latencies.Length == 0 ? 0 : latencies.Average();
            double variance = latencies.Length == 0 ? 0 : latencies.Average(l => (l - mean) * (l - mean));
            return new Report(
                latencies.Length / _total.TotalSeconds,
                latencies.DefaultIfEmpty(0).Max(),
                Math.Sqrt(variance),
                _errors);
        }

        private async Task WorkAsync(ChannelReader<bool> turns, ProgressBar? bar)
        {
            await foreach (bool _ in turns.ReadAllAsync().ConfigureAwait(false))
            {
                byte[] key = new byte[_prefix.Length + _keyBytes];
                _prefix.Span.CopyTo(key);
                Random.Shared.NextBytes(key.AsSpan(_prefix.Length, 10));
                long started = Stopwatch.GetTimestamp();
                try
                {
                    await _client.Kv.PutAsync(key, _value).ConfigureAwait(false);
                    _latencies.Add(Stopwatch.GetElapsedTime(started).TotalSeconds);
                }
                catch (EtcdException e)
                {
                    _errors.AddOrUpdate(e.Message, 1, (_, count) => count + 1);
                }

                bar?.Advance();
            }
        }
    }

    /// <summary>A bar that is redrawn in place on a person's screen; in a pipe or file it is not shown.</summary>
    private sealed class ProgressBar(Terminal terminal, int total)
    {
        private const int Cells = 50;
        private int _done;
        private int _shown = -1;

        public void Advance()
        {
            int done = Interlocked.Increment(ref _done);
            int percent = (int)(100L * done / total);
            if (Interlocked.Exchange(ref _shown, percent) != percent)
            {
                Draw(done);
            }
        }

        public async Task TickAsync(CancellationToken stop)
        {
            while (!stop.IsCancellationRequested && _done < total)
            {
                Draw(_done);
                await Task.WhenAny(Task.Delay(1000, stop)).ConfigureAwait(false);
                _done++;
            }
        }

        public void Finish()
        {
            if (terminal.OutputIsScreen)
            {
                Draw(Math.Min(_done, total));
                terminal.WriteLine("");
            }
        }

        private void Draw(int done)
        {
            if (!terminal.OutputIsScreen)
            {
                return;
            }

            int filled = total == 0 ? Cells : (int)((long)Cells * Math.Min(done, total) / total);
            string cells = new string('o', filled).PadRight(Cells);
            terminal.Write($"\r {done} / {total} B{cells}! {100.0 * done / Math.Max(1, total),6:0.00}%");
            terminal.Flush();
        }
    }
}
