using System.ComponentModel;
using System.Globalization;
using Perf.Client;
using Perf.Client.Concurrency;
using Perf.Etcdctl.CommandLine;
using Perf.Etcdctl.Printing;
using Mutex = Perf.Client.Concurrency.Mutex;

namespace Perf.Etcdctl.Commands;

/// <summary>lock: holds a named lock until a signal comes, or while a command runs.</summary>
internal static class LockCommand
{
    public static Command New() => new Command(
        "lock <lockname> [exec-command arg1 arg2 ...]", "Acquires a named lock")
    {
        Run = RunAsync,
    }.With(flags => flags.Int("ttl", 10, "timeout for session"));

    private static async Task RunAsync(Invocation run)
    {
        if (run.Args.Count == 0)
        {
            throw Invocation.BadArguments("lock takes a lock name argument and an optional command to execute");
        }

        await using Session session = await Session.OpenAsync(run, Answer.Get).ConfigureAwait(false);
        run.Terminal.CleansUp = true;
        Client.Concurrency.Session lease = await Client.Concurrency.Session.OpenAsync(
            session.Client, (int)run.Flags["ttl"].Long, run.Terminal.Interrupted).ConfigureAwait(false);
        try
        {
            var mutex = new Mutex(lease, run.Args[0]);
            try
            {
                await mutex.LockAsync(run.Terminal.Interrupted).ConfigureAwait(false);
            }
            catch (OperationCanceledException)
            {
                throw new ExitException(ExitCode.Error, "context canceled");
            }

            if (run.Args.Count > 1)
            {
                await ExecAsync(run, mutex).ConfigureAwait(false);
            }
            else
            {
                await HoldAsync(run, session, lease, mutex).ConfigureAwait(false);
            }
        }
        finally
        {
            lease.Orphan();
        }
    }

    private static async Task ExecAsync(Invocation run, Mutex mutex)
    {
        int code;
        try
        {
            code = await Programs.RunAsync(
                run.Terminal,
                run.Args.Skip(1).ToArray(),
                new Dictionary<string, string>
                {
                    ["ETCD_LOCK_KEY"] = mutex.Key,
                    ["ETCD_LOCK_REV"] = mutex.Header.Revision.ToString(CultureInfo.InvariantCulture),
                    ["ETCD_LOCK_VALUE"] = "",
                }).ConfigureAwait(false);
        }
        catch (Win32Exception)
        {
            await mutex.UnlockAsync(CancellationToken.None).ConfigureAwait(false);
            throw new ExitException(
                ExitCode.Error,
                $"exec: {Text.GoText.Quote(run.Args[1])}: executable file not found in $PATH");
        }

        await mutex.UnlockAsync(CancellationToken.None).ConfigureAwait(false);
        if (code != 0)
        {
            throw new ExitException(code, $"exit status {code}");
        }
    }

    private static async Task HoldAsync(
        Invocation run, Session session, Client.Concurrency.Session lease, Mutex mutex)
    {
        GetResponse own = await session.Client.Kv.GetAsync(mutex.Key, null, run.Terminal.Interrupted)
            .ConfigureAwait(false);
        if (own.Kvs.Count == 0)
        {
            throw new ExitException(ExitCode.Error, "lock lost on init");
        }

        session.Printer.Get(own);
        run.Terminal.Flush();
        if (!await Signals.UntilInterruptedAsync(run.Terminal, lease.Lost).ConfigureAwait(false))
        {
            throw new ExitException(ExitCode.Error, "session expired");
        }

        await mutex.UnlockAsync(CancellationToken.None).ConfigureAwait(false);
    }
}

/// <summary>elect: stands for election and leads until a signal comes, or (-l) shows who leads.</summary>
internal static class ElectCommand
{
    public static Command New() => new Command(
        "elect <election-name> [proposal]", "Observes and participates in leader election")
    {
        Run = RunAsync,
    }.With(flags => flags.Bool("listen", false, "observation mode", 'l'));

    private static async Task RunAsync(Invocation run)
    {
        if (run.Args.Count is not (1 or 2))
        {
            throw Invocation.BadArguments(
                "elect takes one election name argument and an optional proposal argument");
        }

        bool listen = run.On("listen");
        if (run.Args.Count == 1 && !listen)
        {
            throw Invocation.BadArguments("no proposal argument but -l not set");
        }

        if (run.Args.Count == 2 && listen)
        {
            throw Invocation.BadArguments("proposal given but -l is set");
        }

        await using Session session = await Session.OpenAsync(run, Answer.Get).ConfigureAwait(false);
        run.Terminal.CleansUp = true;
        Client.Concurrency.Session lease = await Client.Concurrency.Session.OpenAsync(
            session.Client, cancellation: run.Terminal.Interrupted).ConfigureAwait(false);
        var election = new Election(lease, run.Args[0]);
        try
        {
            if (listen)
            {
                await ObserveAsync(run, session, election).ConfigureAwait(false);
            }
            else
            {
                await CampaignAsync(run, session, lease, election).ConfigureAwait(false);
            }
        }
        finally
        {
            await lease.DisposeAsync().ConfigureAwait(false);
        }
    }

    private static async Task ObserveAsync(Invocation run, Session session, Election election)
    {
        try
        {
            await foreach (GetResponse leader in
                election.ObserveAsync(run.Terminal.Interrupted).ConfigureAwait(false))
            {
                session.Printer.Get(leader);
                run.Terminal.Flush();
            }
        }
        catch (OperationCanceledException) when (run.Terminal.Interrupted.IsCancellationRequested)
        {
            return;
        }
        catch (EtcdException)
        {
            // Reported as one message, whatever it was.
        }

        throw new ExitException(ExitCode.Error, "elect: observer lost");
    }

    private static async Task CampaignAsync(
        Invocation run, Session session, Client.Concurrency.Session lease, Election election)
    {
        try
        {
            await election.CampaignAsync(run.Args[1], run.Terminal.Interrupted).ConfigureAwait(false);
        }
        catch (OperationCanceledException)
        {
            throw new ExitException(ExitCode.Error, "context canceled");
        }

        session.Printer.Get(await session.Client.Kv.GetAsync(election.Key, null, run.Terminal.Interrupted)
            .ConfigureAwait(false));
        run.Terminal.Flush();
        if (!await Signals.UntilInterruptedAsync(run.Terminal, lease.Lost).ConfigureAwait(false))
        {
            throw new ExitException(ExitCode.Error, "elect: session expired");
        }

        await election.ResignAsync(CancellationToken.None).ConfigureAwait(false);
    }
}

internal static class Signals
{
    /// <summary>True when a signal came, false when the other token was cancelled first.</summary>
    public static async Task<bool> UntilInterruptedAsync(Terminal terminal, CancellationToken other)
    {
        using var either = CancellationTokenSource.CreateLinkedTokenSource(terminal.Interrupted, other);
        await Task.WhenAny(Task.Delay(Timeout.Infinite, either.Token)).ConfigureAwait(false);
        return terminal.Interrupted.IsCancellationRequested;
    }
}
