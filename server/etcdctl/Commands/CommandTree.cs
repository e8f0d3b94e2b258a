using Perf.Etcdctl.CommandLine;

namespace Perf.Etcdctl.Commands;

/// <summary>All commands with their global flags, made anew for each run: flags hold the run's values.</summary>
internal static class CommandTree
{
    public static Command New()
    {
        var root = new Command("etcdctl", "A simple command line client for etcd3.");
        root.WithPersistent(GlobalFlags);
        root.Add(
            KeyCommands.Get(),
            KeyCommands.Put(),
            KeyCommands.Delete(),
            TxnCommand.New(),
            KeyCommands.Compaction(),
            AlarmCommands.New(),
            DefragCommand.New(),
            DowngradeCommand.New(),
            EndpointCommands.New(),
            MoveLeaderCommand.New(),
            WatchCommand.New(),
            VersionCommand.New(),
            LeaseCommands.New(),
            MemberCommands.New(),
            SnapshotCommands.New(),
            MirrorCommand.New(),
            LockCommand.New(),
            ElectCommand.New(),
            AuthCommands.New(),
            UserCommands.New(),
            RoleCommands.New(),
            CheckCommands.New(),
            TreeCommands.Tree(),
            TreeCommands.DiskUsage(),
            Completion.New(),
            HelpCommand(root));
        return root;
    }

    private static Command HelpCommand(Command root) => new(
        "help [command]",
        "Help about any command",
        "Help provides help for any command in the application.\n"
        + "Simply type etcdctl help [path to command] for full details.")
    {
        Run = run =>
        {
            (Command found, List<string> rest) = root.Find([.. run.Args]);
            if (found.Parent is null && rest.Count > 0)
            {
                string quoted = string.Join(' ', rest.Select(w => "`" + w + "`"));
                run.Terminal.ErrorLine($"Unknown help topic [{quoted}]");
            }

            run.Terminal.Write(Help.Usage(found));
            return Task.CompletedTask;
        },
    };

    private static void GlobalFlags(FlagSet flags)
    {
        flags.StringSlice("endpoints", "127.0.0.1:2379", "gRPC endpoints");
        flags.Bool("debug", false, "enable client-side debug logging");
        flags.String(
            "write-out", "simple", "set the output format (fields, json, jsonl, protobuf, simple, table)", 'w');
        flags.Bool("hex", false, "print byte strings as hex encoded strings");
        flags.Bool("decode", false, "in JSON, print keys and values that are readable text as text instead of base64");
        flags.Duration("dial-timeout", TimeSpan.FromSeconds(2), "dial timeout for client connections");
        flags.Duration(
            "command-timeout",
            TimeSpan.FromSeconds(5),
            "timeout for short running command (excluding dial timeout)");
        flags.Duration("keepalive-time", TimeSpan.FromSeconds(2), "keepalive time for client connections");
        flags.Duration("keepalive-timeout", TimeSpan.FromSeconds(6), "keepalive timeout for client connections");
        flags.Int("max-request-bytes", 0, "client-side request send limit in bytes (if 0, there is none)");
        flags.Int("max-recv-bytes", 0, "client-side response receive limit in bytes (if 0, there is none)");
        flags.Bool("insecure-transport", true, "disable transport security for client connections");
        flags.Bool("insecure-discovery", true, "accept insecure SRV records describing cluster endpoints");
        flags.Bool(
            "insecure-skip-tls-verify",
            false,
            "skip server certificate verification (CAUTION: this option should be enabled only for testing purposes)");
        flags.String("cert", "", "identify secure client using this TLS certificate file");
        flags.String("key", "", "identify secure client using this TLS key file");
        flags.String("cacert", "", "verify certificates of TLS-enabled secure servers using this CA bundle");
        flags.String("user", "", "username[:password] for authentication (prompt if password is not supplied)");
        flags.String(
            "password",
            "",
            "password for authentication (if this option is used, --user option shouldn't include password)");
        flags.String(
            "auth-jwt-token",
            "",
            "JWT token used for authentication (if this option is used, --user and --password should not be set)");
        flags.String(
            "discovery-srv", "", "domain name to query for SRV records describing cluster endpoints", 'd');
        flags.String("discovery-srv-name", "", "service name to query when using DNS discovery");
    }
}
