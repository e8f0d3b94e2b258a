using System.Diagnostics;
using Perf.Client;
using Perf.Etcdctl.CommandLine;
using Perf.Etcdctl.Printing;
using Perf.Etcdctl.Text;

namespace Perf.Etcdctl.Commands;

/// <summary>endpoint health, status, hashkv: each endpoint asked for itself.</summary>
internal static class EndpointCommands
{
    public static Command New() => new Command("endpoint <subcommand>", "Endpoint related commands")
        .WithPersistent(flags => flags.Bool("cluster", false, "use all endpoints from the cluster member list"))
        .Add(
            new Command("health", "Checks the healthiness of endpoints specified in `--endpoints` flag")
            {
                Run = HealthAsync,
            },
            new Command(
                "status",
                "Prints out the status of endpoints specified in `--endpoints` flag",
                "When --write-out is set to simple, this command prints out comma-separated status lists for each "
                + "endpoint.\nThe items in the lists are endpoint, ID, version, db size, is leader, is learner, "
                + "raft term, raft index, raft applied index, errors.\n")
            {
                Run = StatusAsync,
            },
            new Command("hashkv", "Prints the KV history hash for each endpoint in --endpoints")
            {
                Run = HashAsync,
            }.WithPersistent(flags => flags.Int64("rev", 0, "maximum revision to hash (default: all revisions)")));

    private static async Task HealthAsync(Invocation run)
    {
        await using Session session = Session.Prepare(run, Answer.EndpointHealth);
        IReadOnlyList<string> endpoints = await session.EachEndpointAsync().ConfigureAwait(false);
        EtcdClientOptions options = session.Options(endpoints);
        EndpointHealth[] all = await Task.WhenAll(endpoints.Select(e => CheckAsync(session, options, e)))
            .ConfigureAwait(false);
        session.Printer.Health(all);
        if (Array.Exists(all, h => h.Error.Length > 0))
        {
            throw new ExitException(ExitCode.Error, "unhealthy cluster");
        }
    }

    private static async Task<EndpointHealth> CheckAsync(Session session, EtcdClientOptions options, string endpoint)
    {
        string took = "";
        try
        {
            await using EtcdClient client = await EtcdClient.ConnectAsync(options with { Endpoints = [endpoint] })
                .ConfigureAwait(false);
            using CancellationTokenSource timeout = session.Timeout();
            long started = Stopwatch.GetTimestamp();
            string error = "";
            try
            {
                await client.Kv.GetAsync("health", null, timeout.Token).ConfigureAwait(false);
            }
            catch (EtcdException e) when (e.Detail == EtcdErrors.PermissionDenied)
            {
                // Refusing took a round through the cluster as well.
            }
            catch (EtcdException e)
            {
                error = e.Message;
            }
            catch (OperationCanceledException)
            {
                error = "context deadline exceeded";
            }

            took = GoDuration.Format(Stopwatch.GetElapsedTime(started));
            if (error.Length == 0)
            {
                error = await AlarmsAsync(client, timeout.Token).ConfigureAwait(false);
            }

            return new EndpointHealth(endpoint, error.Length == 0, took, error);
        }
        catch (Exception e) when (e is EtcdException or ArgumentException)
        {
            return new EndpointHealth(endpoint, false, took, e.Message);
        }
    }

    private static async Task<string> AlarmsAsync(EtcdClient client, CancellationToken cancellation)
    {
        try
        {
            AlarmResponse up = await client.Maintenance.AlarmListAsync(cancellation).ConfigureAwait(false);
            return up.Alarms.Count == 0
                ? ""
                : "Active Alarm(s): " + string.Concat(up.Alarms.Select(a => a.Type switch
                {
                    AlarmType.NoSpace => "NOSPACE ",
                    AlarmType.Corrupt => "CORRUPT ",
                    _ => "UNKNOWN ",
                }));
        }
        catch (Exception e) when (e is EtcdException or OperationCanceledException)
        {
            return "Unable to fetch the alarm list";
        }
    }

    private static async Task StatusAsync(Invocation run)
    {
        await using Session session = await Session.OpenAsync(run, Answer.EndpointStatus).ConfigureAwait(false);
        var all = new List<EndpointStatus>();
        string? failure = await EachAsync(session, "status", async (endpoint, c) => all.Add(new EndpointStatus(
            endpoint, await session.Client.Maintenance.StatusAsync(endpoint, c).ConfigureAwait(false))))
            .ConfigureAwait(false);
        session.Printer.Status(all);
        if (failure is not null)
        {
            throw new ExitException(ExitCode.Error, "");
        }
    }

    private static async Task HashAsync(Invocation run)
    {
        await using Session session = await Session.OpenAsync(run, Answer.EndpointHash).ConfigureAwait(false);
        long revision = run.Flags["rev"].Long;
        var all = new List<EndpointHash>();
        string? failure = await EachAsync(session, "hash", async (endpoint, c) => all.Add(new EndpointHash(
            endpoint, await session.Client.Maintenance.HashKvAsync(endpoint, revision, c).ConfigureAwait(false))))
            .ConfigureAwait(false);
        session.Printer.Hash(all);
        if (failure is not null)
        {
            throw new ExitException(ExitCode.Error, failure);
        }
    }

    /// <summary>Asks endpoint after endpoint, reports each failure, and returns the last.</summary>
    private static async Task<string?> EachAsync(
        Session session, string what, Func<string, CancellationToken, Task> ask)
    {
        string? failure = null;
        foreach (string endpoint in await session.EachEndpointAsync().ConfigureAwait(false))
        {
            using CancellationTokenSource timeout = session.Timeout();
            try
            {
                await ask(endpoint, timeout.Token).ConfigureAwait(false);
            }
            catch (Exception e) when (e is EtcdException or OperationCanceledException)
            {
                failure = e is EtcdException ? e.Message : "context deadline exceeded";
                session.Terminal.ErrorLine($"Failed to get the {what} of endpoint {endpoint} ({failure})");
            }
        }

        return failure;
    }
}
