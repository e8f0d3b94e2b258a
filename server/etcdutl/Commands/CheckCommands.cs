using Perf.Etcdutl.CommandLine;
using Perf.Etcdutl.Files;

namespace Perf.Etcdutl.Commands;

/// <summary>check: what a member's files say, each for itself and together.</summary>
internal static class CheckCommands
{
    public static Command New() => new Command(
        "check <data-dir>",
        "commands for checking properties",
        "With a data directory: verifies its database, snapshots and log, and that they fit together. Changes nothing.\n"
        + "Exit code 0 when all is well, 1 when something is wrong.\n")
    {
        Flags = [WalDirFlag()],
        Run = Check,
    }.Add(new Command("v2store", "Check custom content in v2store")
    {
        Flags =
        [
            CommandTree.DataDir("Required. A data directory not in use by etcd."),
            WalDirFlag(),
        ],
        Run = CheckV2,
    });

    private static Flag WalDirFlag() => new("wal-dir", FlagKind.Text, "", "Optional. A dedicated WAL directory.");

    private static void Check(Invocation run)
    {
        string dataDir = run.OnlyArgument("check");
        if (!Directory.Exists(Paths.Member(dataDir)))
        {
            throw new IOException($"stat {Paths.Member(dataDir)}: no such file or directory");
        }

        var check = new DirectoryCheck(Utl.Disk, dataDir, run["wal-dir"].Text);
        check.Run();
        foreach (string line in check.Facts)
        {
            run.Output.Write(line + "\n");
        }

        foreach (string problem in check.Problems)
        {
            run.Output.Write("PROBLEM " + problem + "\n");
        }

        run.Output.Write(check.Problems.Count == 0 ? "OK\n" : $"{check.Problems.Count} problems\n");
        if (check.Problems.Count > 0)
        {
            throw new ExitException(ExitCode.Error, "");
        }
    }

    private static void CheckV2(Invocation run)
    {
        var content = V2Content.Read(Utl.Disk, run["data-dir"].Text, run["wal-dir"].Text);
        string? trouble = (content.InStore, content.InLog) switch
        {
            (true, true) => "detected custom v2 content in both v2store and WAL records",
            (true, false) => "detected custom content in v2store",
            (false, true) => "detected custom v2 content in WAL records",
            _ => null,
        };
        if (trouble is not null)
        {
            throw new ExitException(ExitCode.Error, trouble);
        }

        run.Output.Write("No custom content found in both v2store and WAL records.\n");
    }
}
