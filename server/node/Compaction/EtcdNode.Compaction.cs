using System.Buffers;
using Perf.Node.Compaction;
using Perf.Node.Consensus;
using Perf.Store;
using Perf.Store.Commands;

namespace Perf.Node;

/// <summary>Compaction by itself.</summary>
public sealed partial class EtcdNode
{
    private AutoCompactor? CreateAutoCompactor() => AutoCompactor.Create(
        Config, Clock, Log, () => IsLeader, () => State.Machine.Kv.PublishedRevision, CompactAsync);

    private async ValueTask<StoreError> CompactAsync(long revision)
    {
        byte[] body = new byte[ProtoSize.Int64(1, revision)];
        new ProtoWriter(body).Int64(1, revision);
        using PendingRequest request = Propose(
            InternalField.Compaction, new ReadOnlySequence<byte>(body), RequestIdentity.None);
        await request.Completion.ConfigureAwait(false);
        return request.Error;
    }
}
