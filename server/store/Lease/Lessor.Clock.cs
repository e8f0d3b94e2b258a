namespace Perf.Store.Lease;

// The local part: time. Only the leader counts, with a monotonic clock that is passed in. A lease never expires
// before its TTL has passed since the grant was applied here or since the last renewal, whichever came later.
public sealed partial class Lessor
{
    private readonly List<LeaseEntry> _pileUp = [];
    private long _revokeCreditTicks;
    private long _revokeCreditAt;

    /// <summary>
    /// This member has become the leader and has applied everything before its term. Every lease runs anew: for its
    /// full TTL or the remaining TTL of its last checkpoint, and <paramref name="extend"/> (an election timeout)
    /// longer. With many leases, expiries that would pile up are spread out, always to later.
    /// </summary>
    public void Promote(TimeSpan extend)
    {
        lock (_gate)
        {
            _isPrimary = true;
            long now = NowTicks();
            _revokeCreditTicks = 0;
            _revokeCreditAt = now;
            foreach (LeaseEntry lease in _leases.Values)
            {
                StartLocked(lease, extend, now);
            }
            if (_leases.Count >= _options.RevokesPerSecond)
            {
                SpreadLocked();
            }
        }
    }

    /// <summary>
    /// This member is no leader any more, or cannot be sure of it: nothing expires here and renewals are refused.
    /// </summary>
    public void Demote()
    {
        lock (_gate)
        {
            _isPrimary = false;
            _expiries.Clear();
            _checkpoints.Clear();
            foreach (LeaseEntry lease in _leases.Values)
            {
                lease.ExpiryTicks = LeaseEntry.Forever;
            }
            SettleAllLocked();
        }
    }

    /// <summary>
    /// Renews a lease for its full TTL. The caller has confirmed its leadership after the request arrived (SURFACE
    /// LSE-11); what is left to do is in the outcome.
    /// </summary>
    public RenewResult Renew(long id)
    {
        lock (_gate)
        {
            if (!_isPrimary)
            {
                return new RenewResult(RenewOutcome.NotLeader, 0, null);
            }
            if (!_leases.TryGetValue(id, out LeaseEntry? lease))
            {
                return new RenewResult(RenewOutcome.NotFound, 0, null);
            }
            long now = NowTicks();
#if MUTANTS
            if (!Mutant.Is("18-renewed-past-expiry"))
#endif
            if (lease.ExpiryTicks <= now)
            {
                // It may be on its way through the log already: nobody may bring it back.
                lease.Settled ??= new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
                return new RenewResult(RenewOutcome.Expired, 0, lease.Settled.Task);
            }
            if (lease.RemainingSeconds > 0)
            {
                return new RenewResult(RenewOutcome.ClearCheckpointFirst, 0, null);
            }
            SetExpiryLocked(lease, now + (lease.TtlSeconds * TimeSpan.TicksPerSecond));
            _renewed++;
            return new RenewResult(RenewOutcome.Renewed, lease.TtlSeconds, null);
        }
    }

    /// <summary>
    /// Tells how long a lease still runs. <see cref="StoreError.NotLeader"/>: only the leader knows;
    /// <see cref="StoreError.LeaseNotFound"/>: there is none.
    /// </summary>
    public StoreError TimeToLive(long id, bool withKeys, out LeaseInfo? info)
    {
        info = null;
        lock (_gate)
        {
            if (!_leases.TryGetValue(id, out LeaseEntry? lease))
            {
                return _isPrimary ? StoreError.LeaseNotFound : StoreError.NotLeader;
            }
            if (!_isPrimary)
            {
                return StoreError.NotLeader;
            }
            long remaining = (lease.ExpiryTicks - NowTicks()) / TimeSpan.TicksPerSecond;
            info = new LeaseInfo(id, remaining, lease.TtlSeconds, withKeys ? lease.SortedKeys() : []);
            return StoreError.None;
        }
    }

    /// <summary>All leases, the one that expires first in front; those that expire together by id.</summary>
    public long[] Leases()
    {
        lock (_gate)
        {
            LeaseEntry[] leases = [.. _leases.Values];
            Array.Sort(leases, CompareByExpiry);
            return Array.ConvertAll(leases, static lease => lease.Id);
        }
    }

    /// <summary>The keys of a lease in ascending order, for permission checks; null when there is no such lease.</summary>
    public byte[][]? KeysOf(long id)
    {
        lock (_gate)
        {
            return _leases.TryGetValue(id, out LeaseEntry? lease) ? lease.SortedKeys() : null;
        }
    }

    /// <summary>
    /// Hands out leases whose time is over, the longest expired first, at most the configured number a second (ask
    /// about twice a second). A lease that is still there after the retry interval is handed out again. The caller
    /// confirms its leadership after this call and before it proposes the revocations, never forwards them to
    /// another leader, and keeps at most 16 in flight.
    /// </summary>
    public int TakeExpired(Span<long> target)
    {
        lock (_gate)
        {
            if (!_isPrimary)
            {
                return 0;
            }
            long now = NowTicks();
            long costTicks = TimeSpan.TicksPerSecond / _options.RevokesPerSecond;
            _revokeCreditTicks = Math.Min(TimeSpan.TicksPerSecond / 2, _revokeCreditTicks + (now - _revokeCreditAt));
            _revokeCreditAt = now;

            int count = 0;
            while (count < target.Length
                && _revokeCreditTicks >= costTicks
                && _expiries.Count > 0
                && _expiries.Min.ExpiryDueTicks <= now)
            {
                LeaseEntry lease = _expiries.Min;
                lease.ExpiryDueTicks = now + _options.RevokeRetryInterval.Ticks;
                _expiries.AddOrMove(lease);
                _revokeCreditTicks -= costTicks;
                _expired++;
                target[count++] = lease.Id;
            }
            return count;
        }
    }

    /// <summary>
    /// Hands out the remaining TTLs that are to be proposed now (at most 1000 fit in one entry). Nothing unless
    /// checkpoints are configured.
    /// </summary>
    public int TakeCheckpoints(Span<LeaseCheckpoint> target)
    {
        lock (_gate)
        {
            long now = NowTicks();
            int count = 0;
            while (count < target.Length && _checkpoints.Count > 0 && _checkpoints.Min.CheckpointDueTicks <= now)
            {
                LeaseEntry lease = _checkpoints.Min;
                long leftTicks = lease.ExpiryTicks - now;
                long leftSeconds = (leftTicks + TimeSpan.TicksPerSecond - 1) / TimeSpan.TicksPerSecond;
                if (leftTicks <= 0)
                {
                    _checkpoints.Remove(lease);
                    continue;
                }
                // Again later, in case this one is lost on its way.
                lease.CheckpointDueTicks = now + _options.CheckpointInterval.Ticks;
                _checkpoints.AddOrMove(lease);
                if (leftSeconds < lease.TtlSeconds)
                {
                    target[count++] = new LeaseCheckpoint(lease.Id, leftSeconds);
                }
                else if (lease.RemainingSeconds > 0)
                {
                    target[count++] = new LeaseCheckpoint(lease.Id, 0);
                }
            }
            return count;
        }
    }

    private static int CompareByExpiry(LeaseEntry x, LeaseEntry y)
    {
        int order = x.ExpiryTicks.CompareTo(y.ExpiryTicks);
        return order != 0 ? order : x.Id.CompareTo(y.Id);
    }

    private long NowTicks() => _clock.GetElapsedTime(_clockStart).Ticks;

    private void StartLocked(LeaseEntry lease, TimeSpan extend) => StartLocked(lease, extend, NowTicks());

    private void StartLocked(LeaseEntry lease, TimeSpan extend, long now)
    {
        long seconds = lease.RemainingSeconds > 0 ? lease.RemainingSeconds : lease.TtlSeconds;
        SetExpiryLocked(lease, now + extend.Ticks + (seconds * TimeSpan.TicksPerSecond));
        ScheduleCheckpointLocked(lease);
    }

    private void SetExpiryLocked(LeaseEntry lease, long expiryTicks)
    {
        lease.ExpiryTicks = expiryTicks;
        lease.ExpiryDueTicks = expiryTicks;
        _expiries.AddOrMove(lease);
    }

    /// <summary>
    /// After a checkpoint was applied. If the lease has been renewed while the checkpoint was on its way, the next
    /// leader must not count from it: it is corrected at once.
    /// </summary>
    private void RescheduleCheckpointLocked(LeaseEntry lease)
    {
        ScheduleCheckpointLocked(lease);
        long now = NowTicks();
        if (lease.RemainingSeconds > 0 && lease.ExpiryTicks - now > lease.RemainingSeconds * TimeSpan.TicksPerSecond)
        {
            lease.CheckpointDueTicks = now;
            _checkpoints.AddOrMove(lease);
        }
    }

    private void ScheduleCheckpointLocked(LeaseEntry lease)
    {
        long seconds = lease.RemainingSeconds > 0 ? lease.RemainingSeconds : lease.TtlSeconds;
        if (_options.Checkpoints && seconds * TimeSpan.TicksPerSecond > _options.CheckpointInterval.Ticks)
        {
            lease.CheckpointDueTicks = NowTicks() + _options.CheckpointInterval.Ticks;
            _checkpoints.AddOrMove(lease);
        }
        else
        {
            _checkpoints.Remove(lease);
        }
    }

    /// <summary>
    /// Moves expiries to later until no second holds more than three quarters of what may be revoked in it, so that
    /// leases of other seconds find room. The order of expiries stays.
    /// </summary>
    private void SpreadLocked()
    {
        _pileUp.AddRange(_leases.Values);
        _pileUp.Sort(CompareByExpiry);
        long spacingTicks = TimeSpan.TicksPerSecond / Math.Max(1, _options.RevokesPerSecond * 3 / 4);
        long earliest = long.MinValue;
        foreach (LeaseEntry lease in _pileUp)
        {
            if (lease.ExpiryTicks < earliest)
            {
                SetExpiryLocked(lease, earliest);
            }
            earliest = lease.ExpiryTicks + spacingTicks;
        }
        _pileUp.Clear();
    }

    /// <summary>Tells everybody who waits for a revocation that this member will not see to it.</summary>
    private void SettleAllLocked()
    {
        foreach (LeaseEntry lease in _leases.Values)
        {
            lease.Settled?.SetResult();
            lease.Settled = null;
        }
    }
}
