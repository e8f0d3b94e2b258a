using System.Globalization;
using Perf.Client;
using Perf.Etcdctl.CommandLine;
using Perf.Etcdctl.Text;
using Perf.Progress;

namespace Perf.Etcdctl.Commands;

/// <summary>make-mirror: copies a prefix into another cluster as it is, then follows every change.</summary>
internal static class MirrorCommand
{
    private const int PageKeys = 1000;
    private static readonly TimeSpan ReportEvery = TimeSpan.FromSeconds(30);

    public static Command New() => new Command(
        "make-mirror [options] <destination>", "Makes a mirror at the destination etcd cluster")
    {
        Run = RunAsync,
    }.With(flags =>
    {
        flags.String("prefix", "", "Key-value prefix to mirror");
        flags.String(
            "dest-prefix",
            "",
            "destination prefix to mirror a prefix to a different prefix in the destination cluster");
        flags.Int64("rev", 0, "Specify the kv revision to start to mirror");
        flags.Int64(
            "max-txn-ops", 128, "Maximum number of operations permitted in a transaction during syncing updates.");
        flags.Bool("no-dest-prefix", false, "mirror key-values to the root of the destination cluster");
        flags.String(
            "dest-cert",
            "",
            "Identify secure client using this TLS certificate file for the destination cluster");
        flags.String("dest-key", "", "Identify secure client using this TLS key file");
        flags.String("dest-cacert", "", "Verify certificates of TLS enabled secure servers using this CA bundle");
        flags.Bool("dest-insecure-transport", true, "Disable transport security for client connections");
        flags.String(
            "dest-user",
            "",
            "Destination username[:password] for authentication (prompt if password is not supplied)");
        flags.String(
            "dest-password",
            "",
            "Destination password for authentication (if this option is used, --user option shouldn't include "
            + "password)");
    });

    private static async Task RunAsync(Invocation run)
    {
        if (run.Args.Count != 1)
        {
            throw Invocation.BadArguments("make-mirror takes one destination argument");
        }

        if (run.On("no-dest-prefix") && run.Text("dest-prefix").Length > 0)
        {
            throw Invocation.BadArguments(
                "`--dest-prefix` and `--no-dest-prefix` cannot be set at the same time, choose one");
        }

        long opsMax = run.Flags["max-txn-ops"].Long;
        if (opsMax < 1)
        {
            throw Invocation.BadArguments("`--max-txn-ops` must be at least 1");
        }

        await using Session session = await Session.OpenAsync(run).ConfigureAwait(false);
        (string user, string password) = session.User(
            run.Text("dest-user"), run.Text("dest-password"), "Destination Password: ");
        EtcdClient target = await session.ConnectAsync(session.Options([run.Args[0]]) with
        {
            Tls = Session.Tls(
                run.Text("dest-cacert"),
                run.Text("dest-cert"),
                run.Text("dest-key"),
                run.On("dest-insecure-transport"),
                skipVerify: false,
                serverName: ""),
            Username = user,
            Password = password,
        }).ConfigureAwait(false);
        await using (target.ConfigureAwait(false))
        {
            Bytes prefix = GoText.ToBytes(run.Text("prefix"));
            Bytes newPrefix = run.On("no-dest-prefix")
                ? Bytes.Empty
                : run.Text("dest-prefix").Length > 0 ? GoText.ToBytes(run.Text("dest-prefix")) : prefix;
            var mirror = new Mirror(session.Client, target, prefix, newPrefix)
            {
                FromRevision = Math.Max(0, run.Flags["rev"].Long),
                OpsMax = (int)Math.Min(opsMax, int.MaxValue),
            };
            await mirror.RunAsync(run.Terminal).ConfigureAwait(false);
        }
    }

    private sealed class Mirror(EtcdClient source, EtcdClient target, Bytes prefix, Bytes newPrefix)
    {
        private long _keys;

        /// <summary>Where to begin; 0 for a copy of all that there is first.</summary>
        public required long FromRevision { get; init; }

        public required int OpsMax { get; init; }

        public async Task RunAsync(Terminal terminal)
        {
            using var stop = CancellationTokenSource.CreateLinkedTokenSource(terminal.Interrupted);
            Task report = ReportAsync(terminal, stop.Token);
            try
            {
                long first = FromRevision > 0 ? FromRevision : await CopyAsync(stop.Token).ConfigureAwait(false) + 1;
                await FollowAsync(first, stop.Token).ConfigureAwait(false);
            }
            finally
            {
                await stop.CancelAsync().ConfigureAwait(false);
                await report.ConfigureAwait(false);
            }
        }

        /// <summary>Copies what there is, page by page, all at one revision; returns it.</summary>
        private async Task<long> CopyAsync(CancellationToken stop)
        {
            Bytes any = prefix.IsEmpty ? "foo" : prefix;
            long revision = (await source.Kv.GetAsync(any, null, stop).ConfigureAwait(false)).Header.Revision;
            Bytes from = prefix.IsEmpty ? Bytes.Zero : prefix;
            Bytes end = prefix.IsEmpty ? Bytes.Zero : prefix.PrefixEnd();
            while (true)
            {
                var page = new GetOptions { RangeEnd = end, Limit = PageKeys, Revision = revision };
                GetResponse read = await source.Kv.GetAsync(from, page, stop).ConfigureAwait(false);
                foreach (KeyValue kv in read.Kvs)
                {
                    await target.Kv.PutAsync(Renamed(kv.Key), kv.Value, null, stop).ConfigureAwait(false);
                    Interlocked.Increment(ref _keys);
                }

                if (!read.More)
                {
                    return revision;
                }

                from = read.Kvs[^1].Key.Next();
            }
        }

        /// <summary>Follows the changes; those of one revision stay one transaction, up to --max-txn-ops.</summary>
        private async Task FollowAsync(long revision, CancellationToken stop)
        {
            var options = new WatchOptions { Prefix = true, StartRevision = revision };
            await foreach (WatchResponse changes in
                source.Watches.WatchAsync(prefix, options, stop).ConfigureAwait(false))
            {
                foreach (IGrouping<long, WatchEvent> one in changes.Events.GroupBy(e => e.Kv.ModRevision))
                {
                    Op[] ops = one.Select(e => e.Type == WatchEventType.Put
                        ? Op.Put(Renamed(e.Kv.Key), e.Kv.Value)
                        : Op.Delete(Renamed(e.Kv.Key))).ToArray();
                    foreach (Op[] some in ops.Chunk(OpsMax))
                    {
                        await target.Kv.Txn().Then(some).CommitAsync(stop).ConfigureAwait(false);
                    }

                    Interlocked.Add(ref _keys, ops.Length);
                }
            }
        }

        private Bytes Renamed(Bytes key)
        {
            if (prefix == newPrefix)
            {
                return key;
            }

            byte[] renamed = [.. newPrefix.Span, .. key.Span[prefix.Length..]];
            return renamed;
        }

        private async Task ReportAsync(Terminal terminal, CancellationToken stop)
        {
            using var line = new ProgressLine(terminal.Screen);
            long nextReport = Environment.TickCount64 + (long)ReportEvery.TotalMilliseconds;
            line.Show("0 keys copied");
            while (true)
            {
                TimeSpan pause = line.IsShown ? ProgressLine.Every : ReportEvery;
                await Task.WhenAny(Task.Delay(pause, stop)).ConfigureAwait(false);
                if (stop.IsCancellationRequested)
                {
                    return;
                }

                line.Show($"{Interlocked.Read(ref _keys)} keys copied");
                if (Environment.TickCount64 < nextReport)
                {
                    continue;
                }

                nextReport += (long)ReportEvery.TotalMilliseconds;
                terminal.WriteLine(Interlocked.Read(ref _keys).ToString(CultureInfo.InvariantCulture));
                terminal.Flush();
            }
        }
    }
}
