using System.Collections.Concurrent;
using System.Threading.Tasks.Sources;
using Perf.Raft;
using Perf.Store;

namespace Perf.Node.Consensus;

/// <summary>
/// Linearizable reads (ReadIndex, raft thesis 6.4), batched: requests join the open round; the core closes it, notes
/// the commit index and has leadership confirmed; when that index is applied the whole round is released. A round
/// that gets no answer in time is asked for again under a fresh id; ids are never reused.
/// <para>
/// Threads: anybody joins; the core thread closes and answers; the apply thread releases. State is under one lock,
/// held for a few list operations.
/// </para>
/// </summary>
internal sealed class ReadRounds(EventQueue<CoreEvent> core, RequestIds ids)
{
    /// <summary>Rounds under way at once; later readers join the round that is asked for when one comes back.</summary>
    private const int RoundsMax = 4;

    private readonly object _gate = new();
    private readonly Dictionary<ulong, Round> _asked = [];
    private readonly List<Round> _confirmed = [];
    private readonly Stack<Round> _roundPool = new();
    private readonly ConcurrentQueue<ReadWaiter> _waiterPool = new();
    private readonly List<Round> _expired = [];
    private Round? _open;
    private ulong _applied;
    private bool _loneLeader;
    private bool _deferred;

    /// <summary>Rounds that had to be asked for again.</summary>
    public long SlowRounds { get; private set; }

    /// <summary>Reads that were given up.</summary>
    public long Failed { get; private set; }

    /// <summary>
    /// True while this member is the only voter and leads: what it has published is what there is, so a read needs no
    /// round. Written by the core thread before the configuration change that ends it is in force.
    /// </summary>
    public bool LoneLeader
    {
        get => Volatile.Read(ref _loneLeader);
        set => Volatile.Write(ref _loneLeader, value);
    }

    /// <summary>
    /// Completes when a read of the published store is linearizable, or with the reason why it cannot be.
    /// </summary>
    public ValueTask<StoreError> WaitAsync(long deadlineTicks)
    {
        if (LoneLeader)
        {
            return new ValueTask<StoreError>(StoreError.None);
        }

        ReadWaiter waiter = _waiterPool.TryDequeue(out ReadWaiter? pooled) ? pooled : new ReadWaiter(_waiterPool);
        waiter.DeadlineTicks = deadlineTicks;
        ValueTask<StoreError> task = waiter.Task;
        bool ask = false;
        lock (_gate)
        {
            if (_open is null)
            {
                _open = RentLocked();
                ask = true;
            }

            _open.Waiters.Add(waiter);
        }

        if (ask)
        {
            core.Add(new CoreEvent { Kind = CoreEventKind.ReadIndex });
        }

        return task;
    }

    /// <summary>Core thread: closes the open round; the id to ask raft with, 0 when nobody waits.</summary>
    public ulong Close(long nowTicks)
    {
        lock (_gate)
        {
            if (_open is null)
            {
                return 0;
            }

            if (_asked.Count >= RoundsMax)
            {
                _deferred = true;
                return 0;
            }

            Round round = _open;
            _open = null;
            round.Id = ids.Next();
            round.AskedTicks = nowTicks;
            _asked.Add(round.Id, round);
            return round.Id;
        }
    }

    /// <summary>Core thread: raft's answer. An unconfirmed round waits for <see cref="Retry"/>.</summary>
    public void Answer(in ReadState state)
    {
        lock (_gate)
        {
            if (!state.Confirmed || !_asked.Remove(state.Id, out Round? round))
            {
                return;
            }

            if (state.Index <= _applied)
            {
                ReleaseLocked(round, StoreError.None);
            }
            else
            {
                round.Index = state.Index;
                _confirmed.Add(round);
            }

            if (!_deferred)
            {
                return;
            }

            _deferred = false;
        }

        core.Add(new CoreEvent { Kind = CoreEventKind.ReadIndex });
    }

    /// <summary>Apply thread: entries up to <paramref name="index"/> are published.</summary>
    public void OnPublished(ulong index)
    {
        lock (_gate)
        {
            _applied = index;
            for (int i = _confirmed.Count - 1; i >= 0; i--)
            {
                if (_confirmed[i].Index <= index)
                {
                    Round round = _confirmed[i];
                    _confirmed.RemoveAt(i);
                    ReleaseLocked(round, StoreError.None);
                }
            }
        }
    }

    /// <summary>
    /// Called some times a second: rounds without an answer for <paramref name="retryTicks"/> join the open one;
    /// waiters beyond their deadline (or all, with <paramref name="failAll"/>) are told.
    /// </summary>
    public void Retry(long nowTicks, long retryTicks, StoreError failure, bool failAll)
    {
        bool ask = false;
        lock (_gate)
        {
            ask = _deferred;
            _deferred = false;
            foreach (Round round in _asked.Values)
            {
                if (failAll || nowTicks - round.AskedTicks >= retryTicks)
                {
                    _expired.Add(round);
                }
            }

            foreach (Round round in _expired)
            {
                _asked.Remove(round.Id);
                SlowRounds++;
                foreach (ReadWaiter waiter in round.Waiters)
                {
                    if (failAll || waiter.DeadlineTicks <= nowTicks)
                    {
                        Failed++;
                        waiter.Finish(failure);
                    }
                    else
                    {
                        if (_open is null)
                        {
                            _open = RentLocked();
                            ask = true;
                        }

                        _open.Waiters.Add(waiter);
                    }
                }

                round.Waiters.Clear();
                _roundPool.Push(round);
            }

            _expired.Clear();
            for (int i = _confirmed.Count - 1; i >= 0; i--)
            {
                Round round = _confirmed[i];
                if (failAll || round.Waiters.TrueForAll(w => w.DeadlineTicks <= nowTicks))
                {
                    _confirmed.RemoveAt(i);
                    ReleaseLocked(round, failure);
                }
            }

            if (failAll && _open is not null)
            {
                ReleaseLocked(_open, failure);
                _open = null;
            }
        }

        if (ask)
        {
            core.Add(new CoreEvent { Kind = CoreEventKind.ReadIndex });
        }
    }

    private Round RentLocked() => _roundPool.Count > 0 ? _roundPool.Pop() : new Round();

    private void ReleaseLocked(Round round, StoreError error)
    {
        foreach (ReadWaiter waiter in round.Waiters)
        {
            waiter.Finish(error);
        }

        round.Waiters.Clear();
        _roundPool.Push(round);
    }

    private sealed class Round
    {
        public ulong Id { get; set; }

        public ulong Index { get; set; }

        public long AskedTicks { get; set; }

        public List<ReadWaiter> Waiters { get; } = [];
    }

    private sealed class ReadWaiter : IValueTaskSource<StoreError>
    {
        private readonly ConcurrentQueue<ReadWaiter> _pool;
        private ManualResetValueTaskSourceCore<StoreError> _core;

        public ReadWaiter(ConcurrentQueue<ReadWaiter> pool)
        {
            _pool = pool;
            // The releasing threads are the core's and apply's: foreign code must not run there.
            _core.RunContinuationsAsynchronously = true;
        }

        public long DeadlineTicks { get; set; }

        public ValueTask<StoreError> Task => new(this, _core.Version);

        public void Finish(StoreError error) => _core.SetResult(error);

        public StoreError GetResult(short token)
        {
            StoreError error = _core.GetResult(token);
            _core.Reset();
            _pool.Enqueue(this);
            return error;
        }

        public ValueTaskSourceStatus GetStatus(short token) => _core.GetStatus(token);

        public void OnCompleted(
            Action<object?> continuation, object? state, short token, ValueTaskSourceOnCompletedFlags flags) =>
            _core.OnCompleted(continuation, state, token, flags);
    }
}
