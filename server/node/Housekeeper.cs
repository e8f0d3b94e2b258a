using System.Diagnostics;
using Perf.Node.Consensus;
using Perf.Node.Metrics;
using Perf.Raft;
using Perf.Store;
using Perf.Store.Apply;
using Perf.Store.Lease;
using Perf.Store.Membership;
using Perf.Store.Mvcc;

namespace Perf.Node;

/// <summary>
/// The member's small duties: telling its name, the cluster version, expiring leases, background compaction, making
/// an idle data file durable. Turned by the heart; what it starts runs on the pool.
/// </summary>
internal sealed class Housekeeper
{
    /// <summary>Revocations under way at once (etcd's limit).</summary>
    private const int RevokesMax = 16;

    /// <summary>How often the leader asks for the members' versions (etcd's monitorVersionInterval).</summary>
    private const int VersionSeconds = 4;

    /// <summary>How often the leader has v2 keys expire (etcd's SyncTicker).</summary>
    private const int SyncMs = 500;

    private readonly EtcdNode _node;
    private readonly long[] _expired = new long[RevokesMax];
    private readonly LeaseCheckpoint[] _checkpoints = new LeaseCheckpoint[1000];
    private readonly Timer _compaction;
    private readonly long _secondTicks;
    private readonly long _syncTicks;
    private int _revoking;
    private int _publishing;
    private int _versioning;
    private int _compacting;
    private int _hashing;
    private long _compactingSince;
    private long _compactedAt;
    private long _nextSecond;
    private long _nextVersion;
    private long _nextSync;
    private ulong _committedSeen;

    public Housekeeper(EtcdNode node)
    {
        _node = node;
        _secondTicks = node.ToTicks(TimeSpan.FromSeconds(1));
        _syncTicks = node.ToTicks(TimeSpan.FromMilliseconds(SyncMs));
        _compaction = new Timer(_ => node.Pipeline.OnApply(CompactStep));
    }

    /// <summary>How long compactions took, from being applied to the last deletion. Any thread.</summary>
    public Histogram CompactionTimes { get; } = new(Histogram.Powers(0.1, 14));

    /// <summary>When the last compaction ended, in seconds of Unix; 0 when none has. Any thread.</summary>
    public long CompactedAt => Volatile.Read(ref _compactedAt);

    private StateMachine Machine => _node.State.Machine;

    /// <summary>Some times a second, on the heart's thread.</summary>
    public void Turn(long now)
    {
        PublishName();
        DecideVersion();
        if (_node.IsLeader)
        {
            RevokeExpired();
            ProposeCheckpoints();
            if (now >= _nextSync && Machine.V2.HasTtlKeys)
            {
                _nextSync = now + _syncTicks;
                _node.SyncV2();
            }
        }

        if (Machine.Kv.CompactionPending && Interlocked.Exchange(ref _compacting, 1) == 0)
        {
            _compaction.Change(TimeSpan.Zero, Timeout.InfiniteTimeSpan);
        }

        if (now >= _nextSecond)
        {
            _nextSecond = now + _secondTicks;
            EverySecond();
        }
    }

    /// <summary>A leader is known: what waited for one begins at once.</summary>
    public void LeaderChanged()
    {
        Volatile.Write(ref _nextVersion, 0);
        ThreadPool.UnsafeQueueUserWorkItem(static self => self.PublishName(), this, false);
    }

    /// <summary>What an applied entry asks for.</summary>
    public void Attention(ApplyEffects effects)
    {
        if (effects.HasFlag(ApplyEffects.CompactionScheduled) && _node.Config.CompactHashCheck)
        {
            HashCompaction();
        }

        if (effects.HasFlag(ApplyEffects.CompactionScheduled) && Interlocked.Exchange(ref _compacting, 1) == 0)
        {
            _compaction.Change(TimeSpan.Zero, Timeout.InfiniteTimeSpan);
        }
    }

    private void EverySecond()
    {
        // The last commit's meta page becomes durable with the next commit's sync; where none comes, make it so.
        ulong committed = _node.State.Backend.CommittedIndex;
        if (committed == _committedSeen && _node.State.Backend.DurableIndex < committed)
        {
            _node.Pipeline.CommitLoop.Jobs.Add(_node.State.Backend.MakeDurable);
        }

        _committedSeen = committed;
        _node.Pipeline.CommitLoop.RetryAfterFull();
    }

    /// <summary>
    /// Apply thread: has the hash taken that the members compare. It reads what the compaction is about to delete, so
    /// the deleting waits for it.
    /// </summary>
    private void HashCompaction()
    {
        (long before, long revision) = Machine.Kv.NewestCompaction;
        Interlocked.Increment(ref _hashing);

        // Behind the publication of the entry that is being applied.
        _node.Pipeline.OnApply(() => ThreadPool.UnsafeQueueUserWorkItem(
            _ =>
            {
                try
                {
                    HashKvResult hash = Machine.Kv.HashCompaction(before, revision);
                    _node.CompactionHashes.Add(hash);
                    _node.Log.Info(
                        "storing new hash",
                        ("hash", hash.Hash),
                        ("revision", hash.Revision),
                        ("compact-revision", hash.CompactRevision));
                }
                catch (Exception e) when (e is not OutOfMemoryException)
                {
                    _node.Log.Warn("failed to take the hash of a compaction", ("revision", revision), ("error", e));
                }
                finally
                {
                    Interlocked.Decrement(ref _hashing);
                }
            },
            null));
    }

    /// <summary>Apply thread: a piece of the compaction, then a pause for the others.</summary>
    private void CompactStep()
    {
        if (Volatile.Read(ref _hashing) > 0)
        {
            _compaction.Change(_node.Config.CompactionSleepInterval, Timeout.InfiniteTimeSpan);
            return;
        }

        long start = _compactingSince == 0 ? _compactingSince = Stopwatch.GetTimestamp() : _compactingSince;
        bool isDone = Machine.Kv.CompactStep(_node.Config.CompactionBatchLimit);
        if (isDone)
        {
            CompactionTimes.ObserveSince(start);
            _compactingSince = 0;
            Volatile.Write(ref _compactedAt, _node.Clock.GetUtcNow().ToUnixTimeSeconds());
        }

        if (!isDone)
        {
            _compaction.Change(_node.Config.CompactionSleepInterval, Timeout.InfiniteTimeSpan);
        }
        else
        {
            Volatile.Write(ref _compacting, 0);
        }
    }

    private void PublishName()
    {
        if (_node.Ready.IsCompleted || _node.Raft.Leader == 0)
        {
            return;
        }

        if (Interlocked.CompareExchange(ref _publishing, 1, 0) == 0)
        {
            _ = PublishNameAsync();
        }
    }

    private async Task PublishNameAsync()
    {
        ulong id = _node.Pipeline.Ids.Next();
        byte[] payload = Forms().EncodeAttributes(
            id, _node.MemberId, _node.Config.Name, _node.Config.AdvertiseClientUrls);
        using PendingRequest request = _node.Pipeline.Submit(
            ProposalDraft.Raw(id, EntryType.Normal, payload), _node.ProposalDeadline);
        await request.Completion.ConfigureAwait(false);
        if (request.Error == StoreError.None)
        {
            _node.Log.Info(
                "published local member to cluster through raft",
                ("local-member-id", MemberIds.Hex(_node.MemberId)),
                ("local-member-attributes", $"{{Name:{_node.Config.Name} ClientURLs:[{string.Join(' ', _node.Config.AdvertiseClientUrls)}]}}"),
                ("request-path", $"/0/members/{MemberIds.Hex(_node.MemberId)}/attributes"),
                ("cluster-id", MemberIds.Hex(_node.ClusterId)),
                ("publish-timeout", _node.ProposalTimeout));
            Volatile.Write(ref _publishing, 2);
            _node.MarkReady();
            DecideVersion();
        }
        else
        {
            _node.Log.Warn(
                "failed to publish local member to cluster through raft", ("error", request.Error.ToString()));
            Volatile.Write(ref _publishing, 0);
        }
    }

    private RequestDialect Forms() => new(_node.Config.SpeakAs, _node.ClusterVersion);

    private void DecideVersion()
    {
        if (!_node.IsLeader || !_node.Ready.IsCompleted
            || (_node.ClusterVersion is not null && _node.Clock.GetTimestamp() < Volatile.Read(ref _nextVersion)))
        {
            return;
        }

        if (Interlocked.CompareExchange(ref _versioning, 1, 0) == 0)
        {
            _ = DecideVersionAsync();
        }
    }

    private async Task DecideVersionAsync()
    {
        try
        {
            SemanticVersion? lowest = await _node.LowestVersionAsync().ConfigureAwait(false);
            if (_node.ClusterVersion is not { } current)
            {
                await SetVersionAsync(lowest ?? SemanticVersion.ClusterMin).ConfigureAwait(false);
            }
            else if (lowest is { } decided && current != decided && SemanticVersion.IsValidChange(current, decided))
            {
                await SetVersionAsync(decided).ConfigureAwait(false);
            }
        }
        finally
        {
            Volatile.Write(ref _nextVersion, _node.Clock.GetTimestamp() + (_secondTicks * VersionSeconds));
            Volatile.Write(ref _versioning, 0);
        }
    }

    private async Task SetVersionAsync(SemanticVersion version)
    {
        ulong id = _node.Pipeline.Ids.Next();
        byte[] payload = Forms().EncodeVersion(id, version);
        using PendingRequest request = _node.Pipeline.Submit(
            ProposalDraft.Raw(id, EntryType.Normal, payload), _node.ProposalDeadline);
        await request.Completion.ConfigureAwait(false);
    }

    private void RevokeExpired()
    {
        int free = RevokesMax - Volatile.Read(ref _revoking);
        if (free <= 0)
        {
            return;
        }

        ulong term = _node.Raft.Term;
        int count = Machine.Leases.TakeExpired(_expired.AsSpan(0, free));
        for (int i = 0; i < count; i++)
        {
            Interlocked.Increment(ref _revoking);
            _ = RevokeAsync(_expired[i], term);
        }
    }

    private async Task RevokeAsync(long lease, ulong term)
    {
        try
        {
            // A leader that cannot confirm its leadership must not revoke (etcd issue 15247). What had expired in one
            // term runs anew in the next, also where the same member leads again.
            if (await _node.LinearizableAsync().ConfigureAwait(false) != StoreError.None)
            {
                return;
            }

            using PendingRequest request = _node.Pipeline.Submit(
                LeaseProposals.Revoke(_node.Pipeline, lease), _node.ProposalDeadline, term);
            await request.Completion.ConfigureAwait(false);
        }
        finally
        {
            Interlocked.Decrement(ref _revoking);
        }
    }

    private void ProposeCheckpoints()
    {
        int count = Machine.Leases.TakeCheckpoints(_checkpoints);
        if (count > 0)
        {
            _node.Pipeline.Submit(LeaseProposals.Checkpoint(_node.Pipeline, _checkpoints.AsSpan(0, count)));
        }
    }
}
