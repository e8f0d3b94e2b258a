using System.Text;
using Perf.Engine.Transactions;
using Perf.Etcdutl.CommandLine;
using Perf.Etcdutl.Files;
using Perf.Store.Backend;
using Perf.Store.Commands;
using Perf.Store.Membership;

namespace Perf.Etcdutl.Commands;

/// <summary>
/// migrate: sets what a data directory says of the version that wrote it. 3.5 keeps no such record; since 3.6 it is
/// storageVersion in bucket meta, and a server refuses a directory of a newer minor version. On the way back the log is
/// read as well: it must not hold what the older version does not understand.
/// </summary>
internal static class MigrateCommand
{
    private static readonly SemanticVersion Oldest = new(3, 5, 0);
    private static readonly SemanticVersion FirstRecorded = new(3, 6, 0);

    /// <summary>The newest version whose content this program knows.</summary>
    private static readonly SemanticVersion Newest = new(3, 6, 0);

    public static Command New() => new(
        "migrate", "Migrates schema of etcd data dir files to make them compatible with different etcd version")
    {
        Flags =
        [
            CommandTree.DataDir("Path to the etcd data dir"),
            new Flag("target-version", FlagKind.Text, "", "Target etcd version to migrate contents of data dir. Minimal value 3.5. Format \"X.Y\" for example 3.6.")
            {
                IsRequired = true,
            },
            new Flag("force", FlagKind.Switch, "false", "Ignore migration failure and forcefully override storage version. Not recommended."),
        ],
        Run = Run,
    };

    private static void Run(Invocation run)
    {
        SemanticVersion target = Parse(run["target-version"].Text);
        string database = Paths.Database(run["data-dir"].Text);
        Paths.RequireExists(database, "stat");
        using DataFile file = DataFile.Open(Utl.Disk, database, new DataFileOptions { MapBytesMin = 0 });
        SemanticVersion current = Detect(file);
        if (current.MajorMinor == target)
        {
            run.Log("info", "storage version up-to-date", ("storage-version", Show(target)));
            return;
        }

        string trouble = "";
        if (target > Newest || current > Newest)
        {
            trouble = $"cannot create migration plan: version \"{(target > Newest ? target : current)}\" is not supported";
        }
        else if (target < current && NeededBy(run["data-dir"].Text) is { } needed && target < needed)
        {
            trouble = $"cannot downgrade storage, WAL contains newer entries, as the target version ({target}) "
                + $"is lower than the version ({needed}) detected from WAL logs";
        }

        if (trouble.Length > 0)
        {
            if (!run["force"].On)
            {
                throw new ExitException(ExitCode.Error, trouble);
            }

            run.Log("info", "normal migrate failed, trying with force", ("error", trouble));
        }

        var batch = new WriteBatch();
        if (target < FirstRecorded)
        {
            batch.Delete(Buckets.Meta, Buckets.StorageVersionKey);
        }
        else
        {
            batch.Put(Buckets.Meta, Buckets.StorageVersionKey, Encoding.ASCII.GetBytes(target.ToString()));
        }

        file.Commit(batch);
        file.MakeDurable();
        run.Log("info", "updated storage version", ("new-storage-version", target.ToString()));
    }

    /// <summary>
    /// The oldest version that understands the entries of the log behind the newest snapshot; null where any does. etcd
    /// marks each request with the version that brought it.
    /// </summary>
    private static SemanticVersion? NeededBy(string dataDir)
    {
        (_, LogEntries log, _) = LogReading.FromNewestSnapshot(Utl.Disk, dataDir, Paths.Wal(dataDir));
        return log.All.Select(LogRequest.Of).Max(request => request?.Field switch
        {
            InternalField.DowngradeVersionTest => FirstRecorded,
            InternalField.ClusterVersionSet or InternalField.ClusterMemberAttrSet or InternalField.DowngradeInfoSet => Oldest,
            _ => (SemanticVersion?)null,
        });
    }

    private static SemanticVersion Parse(string text)
    {
        if (text.Count(c => c == '.') != 1)
        {
            throw Bad($"wrong target version format, expected \"X.Y\", got \"{text}\"");
        }

        if (!SemanticVersion.TryParse(text + ".0", out SemanticVersion target))
        {
            throw Bad($"failed to parse target version: \"{text}.0\" is not a version");
        }

        return target < Oldest ? throw Bad($"target version \"{Show(target)}\" not supported. Minimal \"3.5\"") : target;

        static ExitException Bad(string message) => new(ExitCode.BadArguments, message);
    }

    private static SemanticVersion Detect(DataFile file)
    {
        using ReadTransaction read = file.BeginRead();
        if (read.TryGet(Buckets.Meta, Buckets.StorageVersionKey, out ReadOnlySpan<byte> stored))
        {
            string text = Encoding.UTF8.GetString(stored);
            return SemanticVersion.TryParse(text, out SemanticVersion version)
                ? version
                : throw new InvalidDataException($"storage version \"{text}\" is not a version");
        }

        if (!read.TryGet(Buckets.Meta, Buckets.ConfStateKey, out _))
        {
            throw new InvalidDataException("cannot detect storage schema version: missing confstate information");
        }

        return read.TryGet(Buckets.Meta, Buckets.TermKey, out _)
            ? Oldest
            : throw new InvalidDataException("cannot detect storage schema version: missing term information");
    }

    private static string Show(SemanticVersion version) => $"{version.Major}.{version.Minor}";
}
