using Perf.Node.Peers;
using Perf.Raft;

namespace Perf.Node;

/// <summary>Snapshots between members.</summary>
public sealed partial class EtcdNode
{
    void IPeerOwner.SendSnapshot(RemotePeer peer, in Message message)
    {
        ulong id = peer.Id;
        Pipeline.OnCore(core => core.ReportSnapshot(id, succeeded: false));
    }

    internal Task<string?> ReceiveSnapshotAsync(Message message, Stream database, CancellationToken cancel) =>
        Task.FromResult<string?>("not yet");
}
