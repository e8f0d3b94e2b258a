using Perf.Node.Cluster;
using Perf.Node.Config;
using Perf.Node.Logging;
using Perf.Node.Peers;
using Perf.Store;
using Perf.Store.Membership;
using Perf.Store.Mvcc;

namespace Perf.Node.Corruption;

/// <summary>
/// Compares this member's data with the others': before it serves, from time to time, and at compactions. A difference
/// keeps a member from starting, or raises the alarm CORRUPT (SURFACE OPS-04, OPS-05).
/// </summary>
internal sealed class CorruptionCheck
{
    private readonly EtcdNode _node;
    private readonly PeerTransport _peers;
    private readonly ServerConfig _config;
    private readonly Log _log;
    private long _checkedRevision;
    private long _nextPeriodic;
    private long _nextCompaction;
    private int _checking;

    public CorruptionCheck(EtcdNode node, PeerTransport peers)
    {
        _node = node;
        _peers = peers;
        _config = node.Config;
        _log = node.Log;
        long now = node.Clock.GetTimestamp();
        _nextPeriodic = now + node.ToTicks(_config.CorruptCheckTime);
        _nextCompaction = now + node.ToTicks(_config.CompactHashCheckTime);
        if (_config.CorruptCheckTime > TimeSpan.Zero)
        {
            _log.Info("enabled corruption checking", ("local-member-id", Own), ("interval", _config.CorruptCheckTime));
        }
    }

    private string Own => MemberIds.Hex(_node.MemberId);

    private bool TellsWho => _config.SpeakAs >= SpeakAs.V36;

    /// <summary>Starts what is due. Some times a second, on the heart's thread.</summary>
    public void Turn(long now)
    {
        bool isPeriodic = _config.CorruptCheckTime > TimeSpan.Zero && now >= _nextPeriodic;
        bool isCompaction = _config.CompactHashCheck && now >= _nextCompaction;
        if ((!isPeriodic && !isCompaction) || Interlocked.CompareExchange(ref _checking, 1, 0) != 0)
        {
            return;
        }

        _nextPeriodic = isPeriodic ? now + _node.ToTicks(_config.CorruptCheckTime) : _nextPeriodic;
        _nextCompaction = isCompaction ? now + _node.ToTicks(_config.CompactHashCheckTime) : _nextCompaction;
        _ = _node.IsLeader ? Task.Run(() => CheckAsync(isPeriodic, isCompaction)) : Done();
    }

    /// <summary>
    /// Before anybody is served: throws <see cref="StartRefusedException"/> when another member's data of the same
    /// revision is different. Members that cannot be asked say nothing.
    /// </summary>
    public void CheckBeforeStart()
    {
        _log.Info(
            "starting initial corruption check", ("local-member-id", Own), ("timeout", _node.ProposalTimeout));
        StoreError error = _node.HashByRevision(0, out HashKvResult own);
        if (error != StoreError.None)
        {
            throw new StartRefusedException($"{Own} failed to fetch hash ({error})");
        }

        // The log has not been read yet, and with it the table of members.
        MembershipStore members = _node.State.Machine.Members;
        int mismatches = 0;
        foreach (PeerHash peer in Task.Run(() => AskAsync(members.Recorded(), own.Revision)).GetAwaiter().GetResult())
        {
            (string, object?)[] fields = Fields(own, peer);
            if (peer.Result is { } theirs && theirs.Hash != own.Hash)
            {
                bool isSameCompaction = theirs.CompactRevision == own.CompactRevision;
                mismatches += isSameCompaction ? 1 : 0;
                _log.Warn(
                    isSameCompaction
                        ? "found different hash values from remote peer"
                        : "found different compact revision values from remote peer",
                    fields);
            }
            else if (peer.Result is null)
            {
                _log.Warn(
                    peer.Error switch
                    {
                        StoreError.FutureRev => "cannot fetch hash from slow remote peer",
                        StoreError.Compacted => "cannot fetch hash from remote peer; local member is behind",
                        StoreError.ClusterIdMismatch => "cluster ID mismatch",
                        _ => "failed hash kv request",
                    },
                    fields);
            }
        }

        if (mismatches > 0)
        {
            throw new StartRefusedException($"{Own} found data inconsistency with peers");
        }

        _log.Info("initial corruption checking passed; no corruption", ("local-member-id", Own));
    }

    private static (string, object?)[] Fields(in HashKvResult own, PeerHash peer) =>
    [
        ("local-member-revision", own.Revision),
        ("local-member-compact-revision", own.CompactRevision),
        ("local-member-hash", own.Hash),
        ("remote-peer-id", MemberIds.Hex(peer.Member.Id)),
        ("remote-peer-endpoints", peer.Member.PeerUrls),
        ("remote-peer-revision", peer.Result?.CurrentRevision),
        ("remote-peer-compact-revision", peer.Result?.CompactRevision),
        ("remote-peer-hash", peer.Result?.Hash),
        ("error", peer.Trouble),
    ];

    private Task<PeerHash[]> AskAsync(long revision) => AskAsync(_node.State.Machine.Members.Current.Members, revision);

    private Task<PeerHash[]> AskAsync(IReadOnlyList<Member> members, long revision) =>
        PeerHashes.AskAsync(_peers.Client, members, _peers.Identity, revision, _node.ProposalTimeout);

    private Task Done()
    {
        Volatile.Write(ref _checking, 0);
        return Task.CompletedTask;
    }

    private async Task CheckAsync(bool isPeriodic, bool isCompaction)
    {
        try
        {
            if (isPeriodic)
            {
                await CheckNowAsync().ConfigureAwait(false);
            }

            if (isCompaction)
            {
                await CheckCompactionsAsync().ConfigureAwait(false);
            }
        }
        catch (Exception e)
        {
            // The member works on; a check that cannot be made is made again.
            _log.Warn("failed to check hash KV", ("error", e));
        }
        finally
        {
            await Done().ConfigureAwait(false);
        }
    }

    private async Task CheckNowAsync()
    {
        StoreError error = _node.HashByRevision(0, out HashKvResult first);
        if (error != StoreError.None)
        {
            _log.Warn("failed to check hash KV", ("error", error.ToString()));
            return;
        }

        PeerHash[] peers = await AskAsync(first.Revision).ConfigureAwait(false);
        error = await _node.LinearizableAsync().ConfigureAwait(false);
        HashKvResult second = default;
        error = error == StoreError.None ? _node.HashByRevision(0, out second) : error;
        if (error != StoreError.None)
        {
            _log.Warn("failed to check hash KV", ("error", error.ToString()));
            return;
        }

        var suspects = new HashSet<ulong>();
        if (second.Hash != first.Hash
            && second.Revision == first.Revision
            && second.CompactRevision == first.CompactRevision)
        {
            _log.Warn(
                "found hash mismatch",
                ("revision-1", first.Revision),
                ("compact-revision-1", first.CompactRevision),
                ("hash-1", first.Hash),
                ("revision-2", second.Revision),
                ("compact-revision-2", second.CompactRevision),
                ("hash-2", second.Hash));
            suspects.Add(_node.MemberId);
        }

        foreach (PeerHash peer in peers)
        {
            if (peer.Result is { } theirs && Differs(first, second, peer.Member.Id, theirs))
            {
                suspects.Add(peer.Member.Id);
            }
        }

        foreach (ulong suspect in TellsWho || suspects.Count == 0 ? suspects : [0UL])
        {
            await _node.RaiseCorruptAsync(suspect).ConfigureAwait(false);
        }

        _log.Info("finished peer corruption check", ("number-of-peers-checked", peers.Count(p => p.Result is not null)));
    }

    /// <summary>Nobody may be ahead of the leader's second look; whoever stands where the first one was must be equal.</summary>
    private bool Differs(in HashKvResult first, in HashKvResult second, ulong id, in HashKvResult theirs)
    {
        if (theirs.CurrentRevision > second.CurrentRevision)
        {
            _log.Warn(
                "revision from follower must be less than or equal to leader's",
                ("leader-revision", second.CurrentRevision),
                ("follower-revision", theirs.CurrentRevision),
                ("follower-peer-id", MemberIds.Hex(id)));
            return true;
        }

        if (theirs.CompactRevision > second.CompactRevision)
        {
            _log.Warn(
                "compact revision from follower must be less than or equal to leader's",
                ("leader-compact-revision", second.CompactRevision),
                ("follower-compact-revision", theirs.CompactRevision),
                ("follower-peer-id", MemberIds.Hex(id)));
            return true;
        }

        if (theirs.CompactRevision != first.CompactRevision || theirs.Hash == first.Hash)
        {
            return false;
        }

        _log.Warn(
            "same compact revision then hashes must match",
            ("leader-compact-revision", second.CompactRevision),
            ("leader-hash", first.Hash),
            ("follower-compact-revision", theirs.CompactRevision),
            ("follower-hash", theirs.Hash),
            ("follower-peer-id", MemberIds.Hex(id)));
        return true;
    }

    private async Task CheckCompactionsAsync()
    {
        _log.Info("starting compact hash check", ("local-member-id", Own), ("timeout", _node.ProposalTimeout));
        List<HashKvResult> hashes = _node.CompactionHashes.Above(_checkedRevision);
        int looked = 0;
        foreach (HashKvResult own in hashes)
        {
            looked++;
            PeerHash[] peers = await AskAsync(own.Revision).ConfigureAwait(false);
            PeerHash[] comparable =
                [.. peers.Where(peer => peer.Result is { } theirs && theirs.CompactRevision == own.CompactRevision)];
            if (comparable.Any(peer => peer.Result!.Value.Hash != own.Hash))
            {
                await RaiseAsync(own, peers.Length + 1, comparable).ConfigureAwait(false);
                return;
            }

            if (peers.Length > 0 && comparable.Length == peers.Length)
            {
                _checkedRevision = own.Revision;
                _log.Info(
                    "successfully checked hash on whole cluster",
                    ("number-of-peers-checked", peers.Length),
                    ("revision", own.Revision));
                break;
            }

            if (peers.Length > 0)
            {
                _log.Warn(
                    "skipped revision in compaction hash check; was not able to check all peers",
                    ("number-of-peers-checked", comparable.Length),
                    ("number-of-peers", peers.Length),
                    ("revision", own.Revision));
            }
        }

        _log.Info("finished compaction hash check", ("number-of-hashes-checked", looked));
    }

    private async Task RaiseAsync(HashKvResult own, int members, PeerHash[] peers)
    {
        foreach (PeerHash peer in peers.Where(peer => peer.Result!.Value.Hash != own.Hash))
        {
            _log.Error(
                "failed compaction hash check",
                ("revision", own.Revision),
                ("leader-compact-revision", own.CompactRevision),
                ("leader-hash", own.Hash),
                ("follower-compact-revision", peer.Result!.Value.CompactRevision),
                ("follower-hash", peer.Result!.Value.Hash),
                ("follower-peer-id", MemberIds.Hex(peer.Member.Id)));
        }

        foreach (ulong suspect in Suspects(own, members, peers))
        {
            await _node.RaiseCorruptAsync(suspect).ConfigureAwait(false);
        }
    }

    /// <summary>
    /// From 3.6 on those who differ from what a quorum has; where none has the same, and before 3.6, nobody can be
    /// named: member 0.
    /// </summary>
    private IReadOnlyList<ulong> Suspects(HashKvResult own, int members, PeerHash[] peers)
    {
        (ulong Id, uint Hash)[] all =
            [(_node.MemberId, own.Hash), .. peers.Select(peer => (peer.Member.Id, peer.Result!.Value.Hash))];
        IGrouping<uint, (ulong Id, uint Hash)> most = all.GroupBy(m => m.Hash).MaxBy(group => group.Count())!;
        return TellsWho && most.Count() > members / 2
            ? [.. all.Where(m => m.Hash != most.Key).Select(m => m.Id)]
            : [0];
    }
}
