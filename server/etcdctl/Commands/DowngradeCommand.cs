using Perf.Client;
using Perf.Etcdctl.CommandLine;
using Perf.Etcdctl.Printing;

namespace Perf.Etcdctl.Commands;

/// <summary>downgrade validate, enable and cancel, as 3.6 has them; servers know the request since 3.5.</summary>
internal static class DowngradeCommand
{
    public static Command New() => new Command("downgrade <TARGET_VERSION>", "Downgrade related commands").Add(
        new Command("validate <TARGET_VERSION>", "Validate downgrade capability before starting downgrade")
        {
            Run = run => RunAsync(run, DowngradeStep.Validate, "validate", Target(run)),
        },
        new Command("enable <TARGET_VERSION>", "Start a downgrade action to cluster")
        {
            Run = run => RunAsync(run, DowngradeStep.Enable, "enable", Target(run)),
        },
        new Command("cancel", "Cancel the ongoing downgrade action to cluster")
        {
            Run = run => RunAsync(run, DowngradeStep.Cancel, "cancel", ""),
        });

    private static string Target(Invocation run) => run.Args.Count switch
    {
        0 => throw Invocation.BadArguments("TARGET_VERSION not provided"),
        1 when run.Args[0].Length == 0 => throw Invocation.BadArguments("target version not provided"),
        1 => run.Args[0],
        _ => throw Invocation.BadArguments("too many arguments"),
    };

    private static async Task RunAsync(Invocation run, DowngradeStep step, string name, string version)
    {
        await using Session session = await Session.OpenAsync(run, Answer.Downgrade).ConfigureAwait(false);
        DowngradeAnswer answer = await session.WithinTimeoutAsync(
            c => session.Client.Maintenance.DowngradeAsync(step, version, c)).ConfigureAwait(false);
        session.Printer.Downgrade($"Downgrade {name} success, cluster version {answer.Version}", answer);
    }
}
