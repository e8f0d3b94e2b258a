using Perf.Client;
using Perf.Etcdctl.CommandLine;
using Perf.Etcdctl.Printing;
using Perf.Etcdctl.Text;

namespace Perf.Etcdctl.Commands;

/// <summary>lease grant, revoke, timetolive, list, keep-alive.</summary>
internal static class LeaseCommands
{
    public static Command New() => new Command("lease <subcommand>", "Lease related commands").Add(
        new Command("grant <ttl>", "Creates leases") { Run = GrantAsync },
        new Command("revoke <leaseID>", "Revokes leases") { Run = RevokeAsync },
        new Command("timetolive <leaseID> [options]", "Get lease information") { Run = TimeToLiveAsync }
            .With(flags => flags.Bool("keys", false, "Get keys attached to this lease")),
        new Command("list", "List all active leases") { Run = ListAsync },
        new Command("keep-alive [options] <leaseID>", "Keeps leases alive (renew)") { Run = KeepAliveAsync }
            .With(flags => flags.Bool(
                "once",
                false,
                "Resets the keep-alive time to its original value and exits immediately")));

    private static long Id(string text)
    {
        try
        {
            return GoText.ParseInt(text, 16);
        }
        catch (FormatException e)
        {
            throw Invocation.BadArguments($"bad lease ID arg ({e.Message}), expecting ID in Hex");
        }
    }

    private static async Task GrantAsync(Invocation run)
    {
        if (run.Args.Count != 1)
        {
            throw Invocation.BadArguments("lease grant command needs TTL argument");
        }

        long ttl;
        try
        {
            ttl = GoText.ParseInt(run.Args[0], 10);
        }
        catch (FormatException e)
        {
            throw Invocation.BadArguments($"bad TTL ({e.Message})");
        }

        await using Session session = await Session.OpenAsync(run, Answer.LeaseGrant).ConfigureAwait(false);
        session.Printer.LeaseGrant(await OrFailAsync(
            "grant", session, c => session.Client.Leases.GrantAsync(ttl, 0, c)).ConfigureAwait(false));
    }

    private static async Task RevokeAsync(Invocation run)
    {
        if (run.Args.Count != 1)
        {
            throw Invocation.BadArguments("lease revoke command needs 1 argument");
        }

        long id = Id(run.Args[0]);
        await using Session session = await Session.OpenAsync(run, Answer.LeaseRevoke).ConfigureAwait(false);
        session.Printer.LeaseRevoke(id, await OrFailAsync(
            "revoke", session, c => session.Client.Leases.RevokeAsync(id, c)).ConfigureAwait(false));
    }

    private static async Task<T> OrFailAsync<T>(
        string verb, Session session, Func<CancellationToken, Task<T>> call)
    {
        try
        {
            return await session.WithinTimeoutAsync(call).ConfigureAwait(false);
        }
        catch (Exception e) when (e is EtcdException or OperationCanceledException)
        {
            string reason = e is EtcdException ? e.Message : "context deadline exceeded";
            throw new ExitException(ExitCode.Error, $"failed to {verb} lease ({reason})");
        }
    }

    private static async Task TimeToLiveAsync(Invocation run)
    {
        if (run.Args.Count != 1)
        {
            throw Invocation.BadArguments("lease timetolive command needs lease ID as argument");
        }

        bool keys = run.On("keys");
        long id = Id(run.Args[0]);
        await using Session session = await Session.OpenAsync(run, Answer.LeaseTimeToLive).ConfigureAwait(false);
        session.Printer.LeaseTimeToLive(
            await OrBadConnectionAsync(() => session.WithinTimeoutAsync(
                c => session.Client.Leases.TimeToLiveAsync(id, keys, c))).ConfigureAwait(false),
            keys);
    }

    private static async Task ListAsync(Invocation run)
    {
        await using Session session = await Session.OpenAsync(run, Answer.LeaseList).ConfigureAwait(false);
        session.Printer.LeaseList(await OrBadConnectionAsync(
            () => session.WithinTimeoutAsync(session.Client.Leases.ListAsync)).ConfigureAwait(false));
    }

    private static async Task KeepAliveAsync(Invocation run)
    {
        if (run.Args.Count != 1)
        {
            throw Invocation.BadArguments("lease keep-alive command needs lease ID as argument");
        }

        long id = Id(run.Args[0]);
        await using Session session = await Session.OpenAsync(run, Answer.LeaseKeepAlive).ConfigureAwait(false);
        if (run.On("once"))
        {
            session.Printer.LeaseKeepAlive(await OrBadConnectionAsync(
                () => session.WithinTimeoutAsync(c => session.Client.Leases.KeepAliveOnceAsync(id, c)))
                .ConfigureAwait(false));
            return;
        }

        using LeaseKeeper keeper = session.Client.Leases.KeepAlive(id);
        await foreach (LeaseKeepAliveResponse response in
            keeper.ReadAllAsync(run.Terminal.Interrupted).ConfigureAwait(false))
        {
            session.Printer.LeaseKeepAlive(response);
            run.Terminal.Flush();
        }

        if (session.Printer is SimplePrinter)
        {
            run.Terminal.WriteLine($"lease {GoText.Hex16(id)} expired or revoked.");
        }
    }

    private static async Task<T> OrBadConnectionAsync<T>(Func<Task<T>> call)
    {
        try
        {
            return await call().ConfigureAwait(false);
        }
        catch (EtcdException e)
        {
            throw new ExitException(ExitCode.BadConnection, e.Message);
        }
    }
}
