using Perf.Node.Consensus;
using Perf.Node.Peers;
using Perf.Store;
using Perf.Store.Commands;
using Perf.Store.Lease;

namespace Perf.Node;

/// <summary>What only the leader may answer about leases.</summary>
public sealed partial class EtcdNode
{
    /// <summary>A lease may have many keys.</summary>
    private const int LeaseAnswerBytesMax = 64 << 20;

    /// <summary>Between two attempts to reach a leader (etcd's throttle).</summary>
    private static readonly TimeSpan LeaseRetryInterval = TimeSpan.FromMilliseconds(50);

    private static readonly TimeSpan LeaseAppliedTimeout = TimeSpan.FromSeconds(1);

    /// <summary>Renews a lease, by the leader; the TTL that runs now. LeaseNotFound when it is gone.</summary>
    public async ValueTask<(StoreError Error, long TtlSeconds)> RenewLeaseAsync(long id)
    {
        long deadline = ProposalDeadline;
        while (Clock.GetTimestamp() < deadline && _stopping == 0)
        {
            if (IsLeader)
            {
                (StoreError error, long ttl) = await RenewLeaseHereAsync(id).ConfigureAwait(false);
                if (error != StoreError.NotLeader)
                {
                    return (error, ttl);
                }
            }
            else
            {
                var body = new ProtoBuffer(16);
                body.Int64(1, id);
                (int status, byte[] answer) = await AskLeaderAsync("/leases", body).ConfigureAwait(false);
                if (status == 404)
                {
                    return (StoreError.LeaseNotFound, 0);
                }

                if (status == 408)
                {
                    return (StoreError.TimeoutWaitAppliedIndex, 0);
                }

                if (status == 200 && TryReadTtl(answer, out long ttl))
                {
                    return (StoreError.None, ttl);
                }
            }

            await Task.Delay(LeaseRetryInterval).ConfigureAwait(false);
        }

        return (StoreError.Timeout, 0);
    }

    /// <summary>
    /// Renews a lease on the leader; NotLeader on a follower. A leader that cannot confirm its leadership renews
    /// nothing (etcd issue 15247).
    /// </summary>
    internal async ValueTask<(StoreError Error, long TtlSeconds)> RenewLeaseHereAsync(long id)
    {
        long deadline = ProposalDeadline;
        while (Clock.GetTimestamp() < deadline)
        {
            if (!IsLeader)
            {
                return (StoreError.NotLeader, 0);
            }

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

    /// <summary>What the leader knows of a lease; LeaseNotFound when there is none.</summary>
    public async ValueTask<(StoreError Error, LeaseInfo? Info)> LeaseTimeToLiveAsync(long id, bool withKeys)
    {
        long deadline = ProposalDeadline;
        while (Clock.GetTimestamp() < deadline && _stopping == 0)
        {
            if (IsLeader)
            {
                if (!await AppliedAsync(LeaseAppliedTimeout).ConfigureAwait(false))
                {
                    return (StoreError.TimeoutWaitAppliedIndex, null);
                }

                StoreError error = State.Machine.Leases.TimeToLive(id, withKeys, out LeaseInfo? info);
                if (error != StoreError.NotLeader)
                {
                    return (error, info);
                }
            }
            else
            {
                var body = new ProtoBuffer(32);
                int at = body.BeginMessage(1);
                body.Int64(1, id);
                body.Bool(2, withKeys);
                body.EndMessage(at);
                (int status, byte[] answer) = await AskLeaderAsync("/leases/internal", body).ConfigureAwait(false);
                if (status == 404)
                {
                    return (StoreError.LeaseNotFound, null);
                }

                if (status == 408)
                {
                    return (StoreError.TimeoutWaitAppliedIndex, null);
                }

                if (status == 200 && TryReadInfo(answer, out LeaseInfo? info))
                {
                    return (StoreError.None, info);
                }
            }

            await Task.Delay(LeaseRetryInterval).ConfigureAwait(false);
        }

        return (StoreError.Timeout, null);
    }

    /// <summary>One request to the leader's peer port; status 0: no leader, or it does not answer.</summary>
    private async Task<(int Status, byte[] Body)> AskLeaderAsync(string path, ProtoBuffer body)
    {
        foreach (Uri url in LeaderUrls())
        {
            try
            {
                var request = new PeerRequest("POST", new Uri(url, path))
                {
                    Headers = _peers!.Identity.Headers(),
                    ContentType = "application/protobuf",
                    Body = body.WrittenMemory,
                    KeepsConnection = true,
                };
                using PeerAnswer answer = await _peers.Client.SendAsync(request, CancellationToken.None).ConfigureAwait(false);
                return (answer.Status, await answer.ReadAllAsync(LeaseAnswerBytesMax, CancellationToken.None).ConfigureAwait(false));
            }
            catch (Exception e) when (e is IOException or InvalidDataException)
            {
                // Its other address, or the next leader.
            }
        }

        return (0, []);
    }

    private static bool TryReadTtl(ReadOnlySpan<byte> response, out long ttl)
    {
        ttl = 0;
        var reader = new ProtoReader(response);
        while (reader.Next())
        {
            if (reader.Field == 3)
            {
                ttl = (long)reader.UInt64;
            }
        }

        return !reader.Failed;
    }

    private static bool TryReadInfo(ReadOnlySpan<byte> response, out LeaseInfo? info)
    {
        info = null;
        var outer = new ProtoReader(response);
        while (outer.Next())
        {
            if (outer.Field != 1)
            {
                continue;
            }

            long id = 0;
            long ttl = 0;
            long granted = 0;
            var keys = new List<byte[]>();
            var reader = new ProtoReader(outer.Bytes);
            while (reader.Next())
            {
                switch (reader.Field)
                {
                    case 2:
                        id = (long)reader.UInt64;
                        break;
                    case 3:
                        ttl = (long)reader.UInt64;
                        break;
                    case 4:
                        granted = (long)reader.UInt64;
                        break;
                    case 5:
                        keys.Add(reader.Bytes.ToArray());
                        break;
                }
            }

            if (reader.Failed)
            {
                return false;
            }

            info = new LeaseInfo(id, ttl, granted, keys);
        }

        return !outer.Failed && info is not null;
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
