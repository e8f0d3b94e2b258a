using Perf.Engine.IO;
using Perf.Engine.Snap;
using Perf.Engine.Wal;
using Perf.Node.Config;
using Perf.Node.Consensus;
using Perf.Node.Logging;
using Perf.Raft;
using Perf.Store.Membership;
using ConfChange = Perf.Raft.ConfChange;

namespace Perf.Node.Cluster;

/// <summary>What a member starts from: its log, what raft must know of it, and the newest raft snapshot.</summary>
internal sealed class StartState
{
    public required WalLog Wal { get; init; }

    public required RestoredState Raft { get; init; }

    /// <summary>Null where the log begins at its beginning.</summary>
    public Snapshot? Snapshot { get; init; }

    /// <summary>Bytes of entries that the log holds behind the snapshot.</summary>
    public long ReplayedBytes { get; init; }

    /// <summary>True when the log was made just now.</summary>
    public bool IsNew { get; init; }

    /// <summary>Whom a new member knows before its log tells it: the founders, or those it joins.</summary>
    public IReadOnlyList<Member> KnownMembers { get; init; } = [];
}

/// <summary>Makes a new member's log, or reads an old one back.</summary>
internal sealed class Founding(ServerConfig config, IDisk disk, Log log)
{
    /// <summary>What etcd gives a member that has to add itself; the operator updates it.</summary>
    private static readonly string[] PlaceholderPeerUrls = ["http://localhost:2380", "http://localhost:7001"];

    /// <summary>Nominal size of the log's files; small ones are for the simulation.</summary>
    public long SegmentBytes { get; init; } = new WalOptions().SegmentBytes;

    /// <summary>True when there is a log to go on with.</summary>
    public bool HasLog => WalLog.Exists(disk, config.WalDirectory);

    /// <summary>
    /// Founds a cluster with the given members: the log starts with one configuration change for each, committed,
    /// the same bytes on every founder (FORMATS A.12).
    /// </summary>
    public StartState Found(InitialCluster cluster, ulong memberId)
    {
        WalLog wal = WalLog.Create(disk, config.WalDirectory, memberId, cluster.ClusterId, WalOptions());
        var raft = new RestoredState(SnapshotMetadata.None, 0, Raft.ConfState.Empty, config.LogWindowBytesMax);
        var memory = new EntryMemory();
        ulong index = 0;
        foreach (Member member in cluster.Members)
        {
            byte[] data = Store.Membership.ConfChange.EncodeBootstrap(member);
            Entry entry = Encode(memory, 1, ++index, EntryType.ConfChange, data);
            wal.AppendEntry(entry.Index, entry.Encoded.Span);
            raft.Append(entry);
            entry.Lease?.Release();
        }

        wal.AppendHardState(1, 0, index);
        wal.Sync();
        raft.HardState = new HardState(1, 0, index);
        return new StartState { Wal = wal, Raft = raft, IsNew = true, KnownMembers = cluster.Members };
    }

    /// <summary>An empty log for a member that joins a running cluster; the leader sends everything.</summary>
    public StartState Join(ulong memberId, ulong clusterId, IReadOnlyList<Member> members) => new()
    {
        Wal = WalLog.Create(disk, config.WalDirectory, memberId, clusterId, WalOptions()),
        Raft = new RestoredState(SnapshotMetadata.None, 0, Raft.ConfState.Empty, config.LogWindowBytesMax),
        IsNew = true,
        KnownMembers = members,
    };

    /// <summary>The newest .snap that the log vouches for and that can be read; null where there is none.</summary>
    public Snapshot? NewestSnapshot()
    {
        if (!disk.DirectoryExists(config.SnapDir))
        {
            return null;
        }

        (SnapName Name, byte[] RaftSnapshot)? newest = SnapFile.ReadNewest(
            disk, config.SnapDir, name => WalLog.Vouches(disk, config.WalDirectory, name.Index, name.Term));
        if (newest is null)
        {
            return null;
        }

        if (SnapshotCodec.TryRead(newest.Value.RaftSnapshot, out Snapshot? snapshot) != System.Buffers.OperationStatus.Done)
        {
            throw new StartRefusedException($"{newest.Value.Name.FileName}: not a raft snapshot");
        }

        return snapshot;
    }

    /// <summary>Reads the log back from the newest snapshot on.</summary>
    public StartState Reopen(Snapshot? snapshot)
    {
        SnapshotMetadata start = snapshot?.Metadata ?? SnapshotMetadata.None;
        var raft = new RestoredState(start, start.Index, start.ConfState, config.LogWindowBytesMax);
        var replay = new Replay(raft);
        WalLog wal = WalLog.Open(
            disk, config.WalDirectory, new WalSnapshot(start.Index, start.Term, default), WalOptions(), replay);
        HardState hard = replay.HardState;
        if (hard.Commit < start.Index)
        {
            // etcd writes the snapshot record before the hard state that commits it.
            hard = hard with { Commit = start.Index };
        }

        raft.HardState = hard;
        if (config.ForceNewCluster)
        {
            BecomeAlone(wal, raft, replay, start.ConfState);
        }

        log.Info(
            "restarting local member",
            ("cluster-id", MemberIds.Hex(wal.ClusterId)),
            ("local-member-id", MemberIds.Hex(wal.NodeId)),
            ("commit-index", hard.Commit));
        return new StartState { Wal = wal, Raft = raft, Snapshot = snapshot, ReplayedBytes = replay.Bytes };
    }

    /// <summary>
    /// --force-new-cluster: what is not committed is dropped, and by entries that count as committed this member is added
    /// where the log does not know it and everybody else is removed, the way etcd does it. The data stays.
    /// </summary>
    private void BecomeAlone(WalLog wal, RestoredState raft, Replay replay, Raft.ConfState atStart)
    {
        HardState hard = raft.HardState;

        // What the data file holds was committed. Other entries in the place of those would pass for applied.
        ulong held = disk.FileExists(config.DatabasePath) ? SnapshotIntake.ConsistentIndexOf(disk, config.DatabasePath) : 0;
        hard = hard with { Commit = Math.Max(hard.Commit, Math.Min(held, raft.LastIndex)) };
        var ids = new SortedSet<ulong>([.. atStart.Voters, .. atStart.Learners]);
        foreach ((ulong index, ConfChange change) in replay.ConfChanges)
        {
            if (index > hard.Commit && ids.SetEquals([wal.NodeId]))
            {
                hard = hard with { Commit = index };
            }

            if (index > hard.Commit)
            {
                break;
            }

            if (change.Type == ConfChangeType.RemoveNode)
            {
                ids.Remove(change.NodeId);
            }
            else
            {
                ids.Add(change.NodeId);
            }
        }

        if (ids.SetEquals([wal.NodeId]))
        {
            // Entries of a lone voter are committed by being in its log; the hard state may say so later.
            hard = hard with { Commit = Math.Max(hard.Commit, raft.LastIndex) };
        }

        if (raft.LastIndex > hard.Commit)
        {
            log.Info("discarding uncommitted WAL entries", ("entries", raft.LastIndex - hard.Commit));
            raft.TruncateFrom(hard.Commit + 1);
        }

        var changes = new List<Store.Membership.ConfChange>();
        if (!ids.Contains(wal.NodeId))
        {
            // The log of a backup knows a placeholder alone. First, so that there is a member at every moment.
            changes.Add(Store.Membership.ConfChange.Add(0, new Member { Id = wal.NodeId, PeerUrls = PlaceholderPeerUrls }));
        }

        changes.AddRange(ids.Where(id => id != wal.NodeId).Select(id => Store.Membership.ConfChange.Remove(0, id)));
        var memory = new EntryMemory();
        ulong last = hard.Commit;
        foreach (Store.Membership.ConfChange change in changes)
        {
            Entry entry = Encode(memory, hard.Term, ++last, EntryType.ConfChange, change.Encode());
            wal.AppendEntry(entry.Index, entry.Encoded.Span);
            raft.Append(entry);
            entry.Lease?.Release();
        }

        raft.HardState = hard with { Commit = last };
        wal.AppendHardState(hard.Term, hard.Vote, last);
        wal.Sync();
        log.Info("forcing restart member", ("local-member-id", MemberIds.Hex(wal.NodeId)), ("commit-index", last));
    }

    private static Entry Encode(EntryMemory memory, ulong term, ulong index, EntryType type, byte[] data)
    {
        Memory<byte> buffer = memory.Rent(EntryCodec.HeadroomBytes + data.Length, out IEntryLease? lease);
        data.CopyTo(buffer[EntryCodec.HeadroomBytes..]);
        return EntryCodec.Complete(buffer, EntryCodec.HeadroomBytes, type, term, index, lease);
    }

    private WalOptions WalOptions() => new()
    {
        SegmentBytes = SegmentBytes,
        NoSync = config.UnsafeNoFsync,
        MarkPath = Path.Combine(config.SidecarDir, "walmark"),
    };

    /// <summary>Puts what the log holds into raft's memory.</summary>
    private sealed class Replay(RestoredState raft) : IWalVisitor
    {
        private readonly EntryMemory _memory = new();

        public HardState HardState { get; private set; }

        public long Bytes { get; private set; }

        /// <summary>Changes of configuration in the log, ascending.</summary>
        public List<(ulong Index, ConfChange Change)> ConfChanges { get; } = [];

        public void OnEntry(ulong index, ulong term, ReadOnlySpan<byte> encodedEntry)
        {
            Memory<byte> copy = _memory.Rent(encodedEntry.Length, out IEntryLease? lease);
            encodedEntry.CopyTo(copy.Span);
            if (EntryCodec.TryRead(copy, lease, out Entry entry) != System.Buffers.OperationStatus.Done)
            {
                throw new StartRefusedException($"the log's entry {index} is not a raft entry");
            }

            if (entry.Type == EntryType.ConfChange
                && ConfChangeCodec.TryRead(entry.Data, out ConfChange change) == System.Buffers.OperationStatus.Done)
            {
                ConfChanges.Add((index, change));
            }

            raft.Append(entry);
            lease?.Release();
            Bytes += encodedEntry.Length;
        }

        public void OnTruncate(ulong index)
        {
            raft.TruncateFrom(index);
            ConfChanges.RemoveAll(c => c.Index >= index);
        }

        public void OnHardState(ulong term, ulong vote, ulong commit) => HardState = new HardState(term, vote, commit);

        public void OnSnapshot(ulong index, ulong term, ReadOnlySpan<byte> confState)
        {
        }
    }
}
