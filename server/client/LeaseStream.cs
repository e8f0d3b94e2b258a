using Etcdserverpb;

namespace Perf.Client;

/// <summary>
/// The one keep-alive stream of a client. A loop opens it, sends what is due, and reopens it after a failure; a reader
/// takes confirmations. State is under one lock; nothing is awaited while it is held.
/// </summary>
internal sealed class LeaseStream
{
    /// <summary>Pause before a broken stream is opened again, and between looks at what is due.</summary>
    public static readonly TimeSpan ReconnectDelay = TimeSpan.FromMilliseconds(500);

    /// <summary>Time the first confirmation may take; the granted time is not known before it.</summary>
    public static readonly TimeSpan FirstAnswerWithin = TimeSpan.FromSeconds(5);

    private readonly Caller _caller;
    private readonly object _gate = new();
    private readonly List<LeaseKeeper> _keepers = [];
    private bool _running;
    private TaskCompletionSource _changed = NewSignal();

    public LeaseStream(Caller caller) => _caller = caller;

    public static Task<Duplex<LeaseKeepAliveRequest, Etcdserverpb.LeaseKeepAliveResponse>> OpenAsync(
        Caller caller, bool requireLeader, CancellationToken cancellation) =>
        caller.OpenAsync<LeaseKeepAliveRequest, Etcdserverpb.LeaseKeepAliveResponse>(
            "/etcdserverpb.Lease/LeaseKeepAlive",
            Etcdserverpb.LeaseKeepAliveResponse.Parser,
            requireLeader,
            endpoint: null,
            cancellation);

    public LeaseKeeper Add(long id)
    {
        var keeper = new LeaseKeeper(this, id, Environment.TickCount64);
        lock (_gate)
        {
            _keepers.Add(keeper);
            _changed.TrySetResult();
            if (!_running)
            {
                _running = true;
                _ = Task.Run(RunAsync);
            }
        }

        return keeper;
    }

    public void Remove(LeaseKeeper keeper)
    {
        lock (_gate)
        {
            _keepers.Remove(keeper);
            _changed.TrySetResult();
        }
    }

    private static TaskCompletionSource NewSignal() => new(TaskCreationOptions.RunContinuationsAsynchronously);

    private async Task RunAsync()
    {
        while (!_caller.Closed.IsCancellationRequested)
        {
            lock (_gate)
            {
                if (_keepers.Count == 0)
                {
                    _running = false;
                    return;
                }
            }

            using var attempt = CancellationTokenSource.CreateLinkedTokenSource(_caller.Closed);
            Task deadlines = WatchDeadlinesAsync(attempt);
            try
            {
                await using Duplex<LeaseKeepAliveRequest, Etcdserverpb.LeaseKeepAliveResponse> call =
                    await OpenAsync(_caller, requireLeader: true, attempt.Token).ConfigureAwait(false);
                Task sender = SendAsync(call, attempt);
                while (await call.ReceiveAsync().ConfigureAwait(false) is { } answer)
                {
                    Take(answer);
                }

                await attempt.CancelAsync().ConfigureAwait(false);
                await sender.ConfigureAwait(false);
            }
            catch (Exception e) when (e is EtcdException or OperationCanceledException)
            {
                _caller.Warn($"lease keep-alive stream: {e.Message}");
            }

            await attempt.CancelAsync().ConfigureAwait(false);
            await deadlines.ConfigureAwait(false);
            bool more;
            lock (_gate)
            {
                more = _keepers.Count > 0;
            }

            if (more && !_caller.Closed.IsCancellationRequested)
            {
                await Task.Delay(ReconnectDelay, CancellationToken.None).ConfigureAwait(false);
            }
        }

        LoseAll();
    }

    private void LoseAll()
    {
        LeaseKeeper[] lost;
        lock (_gate)
        {
            lost = [.. _keepers];
            _keepers.Clear();
            _running = false;
        }

        foreach (LeaseKeeper keeper in lost)
        {
            keeper.Lose();
        }
    }

    /// <summary>Sends what is due twice a second; ends the attempt when nobody is left to renew for.</summary>
    private async Task SendAsync(
        Duplex<LeaseKeepAliveRequest, Etcdserverpb.LeaseKeepAliveResponse> call, CancellationTokenSource attempt)
    {
        try
        {
            var due = new List<long>();
            while (!attempt.IsCancellationRequested)
            {
                due.Clear();
                long now = Environment.TickCount64;
                Task changed;
                lock (_gate)
                {
                    if (_keepers.Count == 0)
                    {
                        break;
                    }

                    foreach (LeaseKeeper keeper in _keepers)
                    {
                        if (keeper.NextSendMillis <= now && !due.Contains(keeper.Id))
                        {
                            due.Add(keeper.Id);
                            keeper.NextSendMillis = now + 1000;
                        }
                    }

                    if (_changed.Task.IsCompleted)
                    {
                        _changed = NewSignal();
                    }

                    changed = _changed.Task;
                }

                foreach (long id in due)
                {
                    await call.SendAsync(new LeaseKeepAliveRequest { ID = id }, attempt.Token).ConfigureAwait(false);
                }

                await Task.WhenAny(changed, Task.Delay(ReconnectDelay, attempt.Token)).ConfigureAwait(false);
            }
        }
        catch (Exception e) when (e is EtcdException or OperationCanceledException)
        {
            // The receiving side reports why the stream broke.
        }

        await attempt.CancelAsync().ConfigureAwait(false);
    }

    /// <summary>Runs beside every attempt, also while no connection can be had: leases must not outlive their time.</summary>
    private async Task WatchDeadlinesAsync(CancellationTokenSource attempt)
    {
        while (!attempt.IsCancellationRequested)
        {
            await Task.WhenAny(Task.Delay(ReconnectDelay, attempt.Token)).ConfigureAwait(false);
            long now = Environment.TickCount64;
            List<LeaseKeeper> late;
            bool none;
            lock (_gate)
            {
                late = _keepers.Where(k => k.DeadlineMillis < now).ToList();
                _keepers.RemoveAll(k => k.DeadlineMillis < now);
                none = _keepers.Count == 0;
            }

            foreach (LeaseKeeper keeper in late)
            {
                keeper.Lose();
            }

            if (none)
            {
                await attempt.CancelAsync().ConfigureAwait(false);
            }
        }
    }

    private void Take(Etcdserverpb.LeaseKeepAliveResponse answer)
    {
        long now = Environment.TickCount64;
        LeaseKeepAliveResponse response = LeaseKeepAliveResponse.From(answer);
        List<LeaseKeeper> keepers;
        lock (_gate)
        {
            keepers = _keepers.Where(k => k.Id == response.Id).ToList();
            foreach (LeaseKeeper keeper in keepers)
            {
                if (response.Ttl <= 0)
                {
                    _keepers.Remove(keeper);
                    continue;
                }

                keeper.NextSendMillis = now + (response.Ttl * 1000 / 3);
                keeper.DeadlineMillis = now + (response.Ttl * 1000);
            }
        }

        foreach (LeaseKeeper keeper in keepers)
        {
            if (response.Ttl <= 0)
            {
                keeper.Lose();
            }
            else
            {
                keeper.Confirm(response);
            }
        }
    }
}
