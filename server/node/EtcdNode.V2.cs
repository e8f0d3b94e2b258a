using Perf.Node.Consensus;
using Perf.Raft;
using Perf.Store;
using Perf.Store.V2;

namespace Perf.Node;

/// <summary>Requests of the v2 API, which go into the log bare (FORMATS A.11).</summary>
public sealed partial class EtcdNode
{
    private const long NanosPerTick = 100;

    /// <summary>Proposes a request and waits for what it did.</summary>
    public async Task<(StoreError Error, V2Result Result)> DoV2Async(V2Request request)
    {
        ulong id = Pipeline.Ids.Next();
        byte[] payload = (request with { Id = id }).Encode();
        using PendingRequest pending = Pipeline.Submit(
            ProposalDraft.Raw(id, EntryType.Normal, payload), ProposalDeadline);
        await pending.Completion.ConfigureAwait(false);
        return (pending.Error, pending.Outcome.V2);
    }

    /// <summary>Leader: has everything removed whose time has come. Nobody waits for it.</summary>
    internal void SyncV2()
    {
        ulong id = Pipeline.Ids.Next();
        long now = (Clock.GetUtcNow().Ticks - DateTime.UnixEpoch.Ticks) * NanosPerTick;
        byte[] payload = new V2Request { Id = id, Method = "SYNC", Time = now }.Encode();
        Pipeline.Submit(ProposalDraft.Raw(id, EntryType.Normal, payload));
    }
}
