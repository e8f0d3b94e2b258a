using System.Globalization;
using Perf.Etcdutl.CommandLine;
using Perf.Etcdutl.Files;

namespace Perf.Etcdutl.Commands;

/// <summary>snapshot status and snapshot restore.</summary>
internal static class SnapshotCommands
{
    private const string DefaultPeerUrl = "http://localhost:2380";

    public static Command New() => new Command("snapshot <subcommand>", "Manages etcd node snapshots").Add(
        new Command("save <filename>", "Stores an etcd node backend snapshot to a given file")
        {
            IsHidden = true,
            Run = run =>
            {
                run.Error.Write("Command \"save\" is deprecated, Use `etcdctl snapshot save` to download snapshot\n");
                throw new ExitException(
                    ExitCode.BadArguments, "In order to download snapshot use: `etcdctl snapshot save ...`");
            },
        },
        new Command("restore <filename> --data-dir {output dir} [options]", "Restores an etcd member snapshot to an etcd directory")
        {
            Flags =
            [
                CommandTree.DataDir("Path to the output data directory"),
                new("wal-dir", FlagKind.Text, "", "Path to the WAL directory (use --data-dir if none given)"),
                new("initial-cluster", FlagKind.Text, "default=" + DefaultPeerUrl, "Initial cluster configuration for restore bootstrap"),
                new("initial-cluster-token", FlagKind.Text, "etcd-cluster", "Initial cluster token for the etcd cluster during restore bootstrap"),
                new("initial-advertise-peer-urls", FlagKind.Text, DefaultPeerUrl, "List of this member's peer URLs to advertise to the rest of the cluster"),
                new("name", FlagKind.Text, "default", "Human-readable name for this member"),
                new("skip-hash-check", FlagKind.Switch, "false", "Ignore snapshot integrity hash value (required if copied from data directory)"),
                new("initial-memory-map-size", FlagKind.Unsigned, "0", "Accepted for compatibility: the map grows by itself"),
                new("bump-revision", FlagKind.Unsigned, "0", "How much to increase the latest revision after restore"),
                new("mark-compacted", FlagKind.Switch, "false", "Mark the latest revision after restore as the point of scheduled compaction (required if --bump-revision > 0, disallowed otherwise)"),
            ],
            Run = Restore,
        },
        new Command(
            "status <filename>",
            "Gets backend snapshot status of a given file",
            "When --write-out is set to simple, this command prints out comma-separated status lists for each "
            + "endpoint.\nThe items in the lists are hash, revision, total keys, total size.\n")
        {
            Run = Status,
        });

    private static void Status(Invocation run)
    {
        string path = run.OnlyArgument("snapshot status");
        Paths.RequireExists(path, "stat");
        using PlainSnapshot plain = PlainSnapshot.Of(path, Path.GetTempPath());
        SnapshotStatus status = SnapshotStatus.Read(Utl.Disk, plain.Path);
        Report.Print(
            run,
            new("hash", "Hash", "hash", status.Hash, status.Hash.ToString("x", CultureInfo.InvariantCulture)),
            new("revision", "Revision", "revision", status.Revision, $"{status.Revision}"),
            new("total keys", "Keys", "totalKey", status.TotalKeys, $"{status.TotalKeys}"),
            new("total size", "Size", "totalSize", status.TotalBytes, Report.Bytes(status.TotalBytes)));
    }

    private static void Restore(Invocation run)
    {
        string source = run.OnlyArgument("snapshot restore");
        ulong bump = run["bump-revision"].Number;
        if (bump > 0 != run["mark-compacted"].On)
        {
            throw new ExitException(ExitCode.BadArguments, "--mark-compacted required if --revision-bump > 0");
        }

        if (bump > long.MaxValue)
        {
            throw new ExitException(ExitCode.BadArguments, $"--bump-revision={bump} is more than revisions can be");
        }

        string dataDir = run["data-dir"].Text is { Length: > 0 } given ? given : run["name"].Text + ".etcd";
        string walDir = run["wal-dir"].Text;

        // Beside the new directory there has to be room for the data anyway.
        string parent = Path.GetDirectoryName(Path.TrimEndingDirectorySeparator(Path.GetFullPath(dataDir))) ?? "/";
        using PlainSnapshot plain = PlainSnapshot.Of(source, Directory.Exists(parent) ? parent : Path.GetTempPath());
        var restore = new SnapshotRestore(Utl.Disk)
        {
            Source = plain.Path,
            DataDir = dataDir,
            WalDir = walDir.Length > 0 ? walDir : Paths.Wal(dataDir),
            Name = run["name"].Text,
            InitialCluster = run["initial-cluster"].Text,
            Token = run["initial-cluster-token"].Text,
            AdvertisePeerUrls = run["initial-advertise-peer-urls"].Text,
            SkipHashCheck = run["skip-hash-check"].On,
            BumpRevision = (long)bump,
        };
        restore.Prepare();
        (string, object)[] places =
        [
            ("path", source), ("wal-dir", restore.WalDir), ("data-dir", dataDir), ("snap-dir", Paths.Snap(dataDir)),
        ];
        run.Log("info", "restoring snapshot", places);
        restore.Run(run.Log, run.Screen);
        run.Log("info", "restored snapshot", places);
    }
}
