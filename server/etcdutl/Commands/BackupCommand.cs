using Perf.Etcdutl.CommandLine;
using Perf.Etcdutl.Files;

namespace Perf.Etcdutl.Commands;

/// <summary>backup: a copy of a member's directory that starts as a cluster of its own.</summary>
internal static class BackupCommand
{
    public static Command New() => new(
        "backup", "[legacy] offline backup of etcd directory", "Prefer: `etcdctl snapshot save` instead.")
    {
        Flags =
        [
            CommandTree.DataDir("Path to the etcd data dir"),
            new Flag("wal-dir", FlagKind.Text, "", "Path to the etcd wal dir"),
            new Flag("backup-dir", FlagKind.Text, "", "Path to the backup dir") { IsRequired = true },
            new Flag("backup-wal-dir", FlagKind.Text, "", "Path to the backup wal dir"),
            new Flag("with-v3", FlagKind.Switch, "true", "Backup v3 backend data"),
        ],
        Run = run =>
        {
            string dataDir = run["data-dir"].Text;
            string backupDir = run["backup-dir"].Text;
            new DirectoryBackup(Utl.Disk)
            {
                DataDir = dataDir,
                WalDir = run["wal-dir"].Text is { Length: > 0 } walDir ? walDir : Paths.Wal(dataDir),
                BackupDir = backupDir,
                BackupWalDir = run["backup-wal-dir"].Text is { Length: > 0 } target ? target : Paths.Wal(backupDir),
                WithV3 = run["with-v3"].On,
            }.Run();
        },
    };
}
