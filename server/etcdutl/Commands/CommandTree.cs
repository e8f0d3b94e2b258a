using Perf.Etcdutl.CommandLine;

namespace Perf.Etcdutl.Commands;

/// <summary>All commands.</summary>
internal static class CommandTree
{
    public static Command New() => new Command("etcdutl", "An administrative command line tool for etcd3.")
    {
        SharedFlags =
        [
            new Flag("write-out", FlagKind.Text, "simple", "set the output format (fields, json, protobuf, simple, table)")
            {
                Shorthand = 'w',
            },
        ],
    }.Add(
        BackupCommand.New(),
        CheckCommands.New(),
        Completion.New(),
        MaintenanceCommands.Defrag(),
        MaintenanceCommands.HashKv(),
        MigrateCommand.New(),
        SnapshotCommands.New(),
        new Command("version", "Prints the version of etcdutl")
        {
            Run = run =>
            {
                run.Output.Write($"etcdutl version: {Utl.Version}\nAPI version: {Utl.ApiVersion}\n");
            },
        });

    /// <summary>--data-dir, where it is required.</summary>
    public static Flag DataDir(string usage) => new("data-dir", FlagKind.Text, "", usage) { IsRequired = true };
}
