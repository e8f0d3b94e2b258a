using Perf.Client;
using Perf.Etcdctl.CommandLine;
using Perf.Etcdctl.Printing;
using Perf.Etcdctl.Text;

namespace Perf.Etcdctl.Commands;

/// <summary>alarm disarm and list.</summary>
internal static class AlarmCommands
{
    public static Command New() => new Command("alarm <subcommand>", "Alarm related commands").Add(
        new Command("disarm", "Disarms all alarms")
        {
            Run = run => AlarmsAsync(run, "disarm", (m, c) => m.AlarmDisarmAsync(null, c)),
        },
        new Command("list", "Lists all alarms")
        {
            Run = run => AlarmsAsync(run, "list", (m, c) => m.AlarmListAsync(c)),
        });

    private static async Task AlarmsAsync(
        Invocation run, string name, Func<Maintenance, CancellationToken, Task<AlarmResponse>> call)
    {
        if (run.Args.Count != 0)
        {
            throw Invocation.BadArguments($"alarm {name} command accepts no arguments");
        }

        await using Session session = await Session.OpenAsync(run, Answer.Alarm).ConfigureAwait(false);
        session.Printer.Alarms(await session.WithinTimeoutAsync(c => call(session.Client.Maintenance, c))
            .ConfigureAwait(false));
    }
}

/// <summary>defrag: each endpoint in turn, or with --data-dir a stopped member's files by way of etcdutl.</summary>
internal static class DefragCommand
{
    public static Command New() => new Command(
        "defrag", "Defragments the storage of the etcd members with given endpoints")
    {
        Run = RunAsync,
    }
    .With(flags => flags.String(
        "data-dir", "", "Optional. If present, defragments a data directory not in use by etcd."))
    .WithPersistent(flags => flags.Bool("cluster", false, "use all endpoints from the cluster member list"));

    private static async Task RunAsync(Invocation run)
    {
        string dataDirectory = run.Text("data-dir");
        if (dataDirectory.Length > 0)
        {
            run.Terminal.ErrorLine(
                "Use `etcdutl defrag` instead. The --data-dir is going to be decomissioned in v3.6.\n");
            await Etcdutl.RunAsync(run.Terminal, ["defrag", "--data-dir", dataDirectory]).ConfigureAwait(false);
            return;
        }

        await using Session session = await Session.OpenAsync(run).ConfigureAwait(false);
        bool failed = false;
        foreach (string endpoint in await session.EachEndpointAsync().ConfigureAwait(false))
        {
            try
            {
                await session.WithinTimeoutAsync(c => session.Client.Maintenance.DefragmentAsync(endpoint, c))
                    .ConfigureAwait(false);
                run.Terminal.WriteLine($"Finished defragmenting etcd member[{endpoint}]");
            }
            catch (Exception e) when (e is EtcdException or OperationCanceledException)
            {
                failed = true;
                string reason = e is EtcdException ? e.Message : "context deadline exceeded";
                run.Terminal.ErrorLine($"Failed to defragment etcd member[{endpoint}] ({reason})");
            }
        }

        if (failed)
        {
            throw new ExitException(ExitCode.Error, "");
        }
    }
}

/// <summary>move-leader: finds the leader among the endpoints and asks it to hand over.</summary>
internal static class MoveLeaderCommand
{
    public static Command New() => new(
        "move-leader <transferee-member-id>", "Transfers leadership to another etcd cluster member.")
    {
        Run = RunAsync,
    };

    private static async Task RunAsync(Invocation run)
    {
        if (run.Args.Count != 1)
        {
            throw Invocation.BadArguments("move-leader command needs 1 argument");
        }

        ulong target;
        try
        {
            target = GoText.ParseUint(run.Args[0], 16);
        }
        catch (FormatException e)
        {
            throw Invocation.BadArguments(e.Message);
        }

        await using Session session = await Session.OpenAsync(run, Answer.MoveLeader).ConfigureAwait(false);
        using CancellationTokenSource timeout = session.Timeout();
        IReadOnlyList<string> endpoints = session.Client.Endpoints;
        foreach (string endpoint in endpoints)
        {
            StatusResponse status = await session.Client.Maintenance.StatusAsync(endpoint, timeout.Token)
                .ConfigureAwait(false);
            if (status.Header.MemberId == status.Leader)
            {
                EtcdResponse moved = await session.Client.Maintenance.MoveLeaderAsync(
                    target, endpoint, timeout.Token).ConfigureAwait(false);
                session.Printer.MoveLeader(status.Leader, target, moved);
                return;
            }
        }

        throw Invocation.BadArguments($"no leader endpoint given at [{string.Join(' ', endpoints)}]");
    }
}

/// <summary>version: this tool's, without asking anybody.</summary>
internal static class VersionCommand
{
    public static Command New() => new("version", "Prints the version of etcdctl")
    {
        Run = run =>
        {
            run.Terminal.WriteLine("etcdctl version: " + Product.Version);
            run.Terminal.WriteLine("API version: " + Product.ApiVersion);
            return Task.CompletedTask;
        },
    };
}
