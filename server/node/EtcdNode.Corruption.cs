using System.Buffers;
using System.Diagnostics;
using Perf.Node.Consensus;
using Perf.Node.Corruption;
using Perf.Store;
using Perf.Store.Commands;
using Perf.Store.Maintenance;
using Perf.Store.Membership;
using Perf.Store.Mvcc;

namespace Perf.Node;

/// <summary>Comparing data with the other members.</summary>
public sealed partial class EtcdNode
{
    internal CompactionHashes CompactionHashes { get; } = new();

    /// <summary>
    /// Hash of the keys as of a revision, 0 for now: what was found when that revision was compacted, else by reading
    /// all of them. Any thread.
    /// </summary>
    public StoreError HashByRevision(long revision, out HashKvResult result)
    {
        MvccStore kv = State.Machine.Kv;
        if (!CompactionHashes.TryGet(revision, out result))
        {
            long start = Stopwatch.GetTimestamp();
            StoreError error = kv.HashKv(revision, out result);
            HashRevisionTimes.ObserveSince(start);
            return error;
        }

        result = result with { CurrentRevision = kv.PublishedRevision };
        return StoreError.None;
    }

    /// <summary>Has the alarm CORRUPT raised for a member, 0 where it is not known whose data is wrong.</summary>
    internal async Task RaiseCorruptAsync(ulong member)
    {
        if (State.Machine.Alarms.Active.Contains(new AlarmMember(member, AlarmKind.Corrupt)))
        {
            return;
        }

        Log.Error("raising CORRUPT alarm", ("member-id", MemberIds.Hex(member)));
        byte[] body = new AlarmRequest(AlarmAction.Activate, member, AlarmKind.Corrupt).Encode();
        using PendingRequest request = Propose(
            InternalField.Alarm, new ReadOnlySequence<byte>(body), RequestIdentity.None);
        await request.Completion.ConfigureAwait(false);
    }
}
