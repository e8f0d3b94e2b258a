using Perf.Etcdutl.CommandLine;
using Perf.Etcdutl.Files;

namespace Perf.Etcdutl.Commands;

/// <summary>defrag and hashkv.</summary>
internal static class MaintenanceCommands
{
    private const int LockRetryMilliseconds = 200;

    public static Command Defrag() => new("defrag", "Defragments the storage of the etcd")
    {
        Flags = [CommandTree.DataDir("Required. Defragments a data directory not in use by etcd.")],
        Run = run =>
        {
            string dataDir = run["data-dir"].Text;
            try
            {
                string database = Paths.Database(dataDir);
                Paths.RequireExists(database, "stat");
                WaitForLock(run, database);
                (long before, long after) = Defragmenter.Run(Utl.Disk, database);
                run.Log("info", "finished defragmenting directory", ("path", database), ("size-before", before), ("size-after", after));
            }
            catch (Exception e) when (Utl.IsOfTheWorld(e))
            {
                throw new ExitException(ExitCode.Error, $"Failed to defragment etcd data[{dataDir}] ({e.Message})");
            }
        },
    };

    public static Command HashKv() => new(
        "hashkv <filename>",
        "Prints the KV history hash of a given file",
        "When --write-out is set to simple, this command prints out comma-separated status lists for each endpoint.\n"
        + "The items in the lists are hash, hash revision, compact revision.\n")
    {
        Flags =
        [
            new Flag("rev", FlagKind.Unsigned, "0", "maximum revision to hash (default: latest revision)"),
        ],
        Run = run =>
        {
            string path = run.OnlyArgument("hashkv");
            Paths.RequireExists(path, "stat");
            ulong revision = run["rev"].Number;
            KeyHash hash = KeyHash.Read(Utl.Disk, path, revision > long.MaxValue ? long.MaxValue : (long)revision);
            Report.Print(
                run,
                new("hash", "Hash", "hash", hash.Hash, $"{hash.Hash}"),
                new("hash revision", "Hash revision", "hashRevision", hash.Revision, $"{hash.Revision}"),
                new("compact revision", "Compact revision", "compactRevision", hash.CompactRevision, $"{hash.CompactRevision}"));
        },
    };

    private static void WaitForLock(Invocation run, string database)
    {
        bool hasSaid = false;
        while (!TryLock(database))
        {
            if (!hasSaid)
            {
                run.Error.Write(
                    $"waiting for etcd to close and release its lock on \"{database}\". "
                    + "To defrag a running etcd instance, omit --data-dir.\n");
                hasSaid = true;
            }

            Thread.Sleep(LockRetryMilliseconds);
        }
    }

    private static bool TryLock(string database)
    {
        using Engine.IO.IDiskFile file = Utl.Disk.Open(database, Engine.IO.DiskOpen.ReadWrite);
        return file.TryLockWhole();
    }
}
