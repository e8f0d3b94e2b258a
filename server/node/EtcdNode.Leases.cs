using Perf.Node.Consensus;
using Perf.Store;
using Perf.Store.Commands;
using Perf.Store.Lease;

namespace Perf.Node;

/// <summary>What only the leader may answer about leases.</summary>
public sealed partial class EtcdNode
{
    /// <summary>
    /// Renews a lease; the TTL that runs now. NotLeader on a follower, LeaseNotFound when it is gone. A leader that
    /// cannot confirm its leadership renews nothing (etcd issue 15247).
    /// </summary>
    public async ValueTask<(StoreError Error, long TtlSeconds)> RenewLeaseAsync(long id)
    {
        long deadline = ProposalDeadline;
        while (Clock.GetTimestamp() < deadline)
        {
            StoreError error = await LinearizableAsync().ConfigureAwait(false);
            if (error != StoreError.None)
            {
                return (error, 0);
            }

            RenewResult result = State.Machine.Leases.Renew(id);
            switch (result.Outcome)
            {
                case RenewOutcome.Renewed:
                    return (StoreError.None, result.TtlSeconds);
                case RenewOutcome.NotFound:
                    return (StoreError.LeaseNotFound, 0);
                case RenewOutcome.NotLeader:
                    return (StoreError.NotLeader, 0);
                case RenewOutcome.ClearCheckpointFirst:
                    await ClearCheckpointAsync(id).ConfigureAwait(false);
                    break;
                default:
                    // Past its expiry: the truth is known when the revocation has been applied.
                    await result.Settled!.WaitAsync(ProposalTimeout).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
                    break;
            }
        }

        return (StoreError.Timeout, 0);
    }

    /// <summary>What is known of a lease; LeaseNotFound when there is none.</summary>
    public ValueTask<(StoreError Error, LeaseInfo? Info)> LeaseTimeToLiveAsync(long id, bool withKeys)
    {
        StoreError error = State.Machine.Leases.TimeToLive(id, withKeys, out LeaseInfo? info);
        return new ValueTask<(StoreError, LeaseInfo?)>((error, info));
    }

    private async Task ClearCheckpointAsync(long id)
    {
        var body = new ProtoBuffer(32);
        int at = body.BeginMessage(1);
        body.Int64(1, id);
        body.EndMessage(at);
        using PendingRequest request = Propose(
            InternalField.LeaseCheckpoint,
            new System.Buffers.ReadOnlySequence<byte>(body.WrittenMemory),
            RequestIdentity.None);
        await request.Completion.ConfigureAwait(false);
    }
}
