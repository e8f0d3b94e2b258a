using Perf.Node.Consensus;
using Perf.Node.Peers;
using Perf.Raft;
using Perf.Store;
using Perf.Store.Membership;
using ConfChange = Perf.Store.Membership.ConfChange;

namespace Perf.Node;

/// <summary>Changing who is a member, and who leads.</summary>
public sealed partial class EtcdNode
{
    /// <summary>Members that were connected this long count as healthy (etcd's HealthInterval).</summary>
    private static readonly TimeSpan HealthyAfter = TimeSpan.FromSeconds(5);

    /// <summary>A learner may be promoted when it holds this much of the leader's log.</summary>
    private const double ReadyShare = 0.9;

    /// <summary>Adds a member that has not started yet; its id comes back.</summary>
    public async Task<(StoreError Error, ulong Id)> AddMemberAsync(IReadOnlyList<string> peerUrls, bool isLearner)
    {
        string[] urls = [.. peerUrls.Order(StringComparer.Ordinal)];
        var member = new Member
        {
            Id = MemberIds.Compute(urls, "", Clock.GetUtcNow().ToUnixTimeSeconds()),
            PeerUrls = urls,
            IsLearner = isLearner,
        };
        StoreError error = MayAdd(member);
        if (error == StoreError.None)
        {
            error = await ChangeMembersAsync(ConfChange.Add(Pipeline.Ids.Next(), member)).ConfigureAwait(false);
        }

        return (error, member.Id);
    }

    /// <summary>Removes a member, whoever it is; its id never comes back.</summary>
    public async Task<StoreError> RemoveMemberAsync(ulong id)
    {
        StoreError error = MayRemove(id);
        return error == StoreError.None
            ? await ChangeMembersAsync(ConfChange.Remove(Pipeline.Ids.Next(), id)).ConfigureAwait(false)
            : error;
    }

    /// <summary>Gives a member other peer URLs.</summary>
    public Task<StoreError> UpdateMemberAsync(ulong id, IReadOnlyList<string> peerUrls) => ChangeMembersAsync(
        ConfChange.Update(Pipeline.Ids.Next(), id, [.. peerUrls.Order(StringComparer.Ordinal)]));

    /// <summary>Gives a learner a vote; asks the leader to when that is another member.</summary>
    public async Task<StoreError> PromoteMemberAsync(ulong id)
    {
        long deadline = ProposalDeadline;
        while (Clock.GetTimestamp() < deadline)
        {
            StoreError error = await PromoteHereAsync(id).ConfigureAwait(false);
            if (error != StoreError.NotLeader)
            {
                return error;
            }

            if (await AskLeaderToPromoteAsync(id).ConfigureAwait(false) is { } answer)
            {
                return answer;
            }

            await Task.Delay(100).ConfigureAwait(false);
        }

        return StoreError.Timeout;
    }

    /// <summary>Hands leadership over; returns when the new leader is known here.</summary>
    public async Task<StoreError> MoveLeaderAsync(ulong target)
    {
        if (!IsLeader)
        {
            return StoreError.NotLeader;
        }

        if (State.Machine.Members.Current.Find(target) is not { IsLearner: false })
        {
            return StoreError.BadLeaderTransferee;
        }

        TransferOutcome outcome = await AskCoreAsync(core => core.TransferLeader(target)).ConfigureAwait(false);
        if (outcome is TransferOutcome.NotAVoter)
        {
            return StoreError.BadLeaderTransferee;
        }

        long end = Clock.GetTimestamp() + ToTicks(TimeSpan.FromMilliseconds(Config.ElectionMs));
        while (Raft.Leader != target)
        {
            if (Clock.GetTimestamp() > end)
            {
                return StoreError.TimeoutDueToLeaderFail;
            }

            await Task.Delay(10).ConfigureAwait(false);
        }

        return StoreError.None;
    }

    /// <summary>Everything that is committed now is applied within the time.</summary>
    internal async Task<bool> AppliedAsync(TimeSpan timeout)
    {
        ulong index = Raft.Commit;
        long end = Clock.GetTimestamp() + ToTicks(timeout);
        while (Pipeline.AppliedIndex < index)
        {
            if (Clock.GetTimestamp() > end)
            {
                return false;
            }

            await Task.Delay(2).ConfigureAwait(false);
        }

        return true;
    }

    /// <summary>The promotion as only the leader can decide it; NotLeader elsewhere.</summary>
    internal async Task<StoreError> PromoteHereAsync(ulong id)
    {
        RaftStatus status = await AskCoreAsync(core => core.GetStatus()).ConfigureAwait(false);
        if (status.Role != RaftRole.Leader)
        {
            return StoreError.NotLeader;
        }

        ProgressView? learner = null;
        ulong own = status.LastIndex;
        foreach (ProgressView member in status.Progress)
        {
            if (member.Id == id)
            {
                learner = member;
            }

            if (member.Id == MemberId)
            {
                own = member.Match;
            }
        }

        if (learner is not { } found)
        {
            return StoreError.MemberNotFound;
        }

        if (!found.IsLearner)
        {
            return StoreError.MemberNotLearner;
        }

        if (found.Match < own * ReadyShare)
        {
            return StoreError.LearnerNotReady;
        }

        if (Config.StrictReconfigCheck && !State.Machine.Members.Current.IsReadyToPromote())
        {
            return StoreError.MemberNotEnoughStarted;
        }

        return await ChangeMembersAsync(ConfChange.Promote(Pipeline.Ids.Next(), id)).ConfigureAwait(false);
    }

    /// <summary>Asks something of the core, in its turn.</summary>
    private Task<T> AskCoreAsync<T>(Func<RaftCore, T> question)
    {
        var answer = new TaskCompletionSource<T>(TaskCreationOptions.RunContinuationsAsynchronously);
        Pipeline.OnCore(core => answer.TrySetResult(question(core)));
        return answer.Task;
    }

    private StoreError MayAdd(Member member)
    {
        MembershipView members = State.Machine.Members.Current;
        if (!Config.StrictReconfigCheck)
        {
            return StoreError.None;
        }

        if (!member.IsLearner && !members.IsReadyToAddVoter())
        {
            return StoreError.MemberNotEnoughStarted;
        }

        return CountHealthy(members) == members.VoterIds.Count() ? StoreError.None : StoreError.Unhealthy;
    }

    private StoreError MayRemove(ulong id)
    {
        MembershipView members = State.Machine.Members.Current;
        if (!Config.StrictReconfigCheck || members.Find(id) is { IsLearner: true })
        {
            return StoreError.None;
        }

        if (!members.IsReadyToRemoveVoter(id))
        {
            return StoreError.MemberNotEnoughStarted;
        }

        if (ActiveSince(id) == 0)
        {
            // One that is down is not part of what keeps the quorum.
            return StoreError.None;
        }

        int voters = members.VoterIds.Count();
        return CountHealthy(members) - 1 < 1 + ((voters - 1) / 2) ? StoreError.Unhealthy : StoreError.None;
    }

    /// <summary>Voters whose streams have come in for a while.</summary>
    private int CountHealthy(MembershipView members)
    {
        long since = Clock.GetTimestamp() - ToTicks(HealthyAfter);
        return members.VoterIds.Count(id => id == MemberId || (ActiveSince(id) != 0 && ActiveSince(id) <= since));
    }

    private async Task<StoreError> ChangeMembersAsync(ConfChange change)
    {
        byte[] payload = change.Encode();
        long deadline = ProposalDeadline;
        while (true)
        {
            using PendingRequest request = Pipeline.Submit(
                ProposalDraft.Raw(change.RequestId, EntryType.ConfChange, payload), deadline);
            await request.Completion.ConfigureAwait(false);
            if (request.Error != StoreError.TooManyRequests || Clock.GetTimestamp() > deadline)
            {
                return request.Error;
            }

            // Another change is not applied yet.
            await Task.Delay(20).ConfigureAwait(false);
        }
    }

    /// <summary>Null: the leader could not be asked; try again.</summary>
    private async Task<StoreError?> AskLeaderToPromoteAsync(ulong id)
    {
        foreach (Uri url in LeaderUrls())
        {
            try
            {
                var request = new PeerRequest("POST", new Uri(url, $"/members/promote/{id}"))
                {
                    Headers = _peers!.Identity.Headers(),
                    AnswerTimeout = ProposalTimeout,
                    Body = ReadOnlyMemory<byte>.Empty,
                };
                using PeerAnswer answer = await _peers.Client.SendAsync(request, CancellationToken.None).ConfigureAwait(false);
                byte[] body = await answer.ReadAllAsync(1 << 20, CancellationToken.None).ConfigureAwait(false);
                return answer.Status switch
                {
                    200 => await AppliedAsync(ProposalTimeout).ConfigureAwait(false) ? StoreError.None : StoreError.Timeout,
                    404 => StoreError.MemberNotFound,
                    408 => StoreError.Timeout,
                    412 when body.AsSpan().IndexOf("in sync with leader"u8) >= 0 => StoreError.LearnerNotReady,
                    412 => StoreError.MemberNotLearner,
                    _ => null,
                };
            }
            catch (Exception e) when (e is IOException or InvalidDataException)
            {
                // Its other address, or the next leader.
            }
        }

        return null;
    }

    private IReadOnlyList<Uri> LeaderUrls() => _peers?.Find(Raft.Leader)?.Urls.All ?? [];
}
