using Perf.Engine;
using Perf.Engine.Snap;
using Perf.Node.Consensus;
using Perf.Node.Peers;
using Perf.Raft;

namespace Perf.Node;

/// <summary>Snapshots between members: the ways to and from the peers; the rest is in Cluster/SnapshotIntake.</summary>
public sealed partial class EtcdNode
{
    private const int ReceiveBytes = 256 << 10;

    void IPeerOwner.SendSnapshot(RemotePeer peer, in Message message) => _snapshotSender!.Send(peer, message);

    WalWork IPipelineEvents.InstallSnapshot(Snapshot snapshot) =>
        _intake.Record(snapshot, () => Pipeline.OnApply(() => Install(snapshot)));

    /// <summary>
    /// Takes in what a peer posted and hands its message to raft; null, or what to answer instead of "done".
    /// </summary>
    internal async Task<string?> ReceiveSnapshotAsync(Message message, Stream database, CancellationToken cancel)
    {
        ulong index = message.Snapshot!.Metadata.Index;
        string path;
        try
        {
            using SnapDatabase arriving = _intake.Receive(index);
            byte[] buffer = new byte[ReceiveBytes];
            while (await database.ReadAsync(buffer, cancel).ConfigureAwait(false) is var read && read > 0)
            {
                arriving.Append(buffer.AsSpan(0, read));
            }

            path = arriving.Keep();
        }
        catch (DiskFullException e)
        {
            return $"failed to save KV snapshot ({e.Message})";
        }

        if (_intake.Refuse(path, index) is { } problem)
        {
            return $"failed to save KV snapshot ({problem})";
        }

        var stepped = new TaskCompletionSource<StepOutcome>(TaskCreationOptions.RunContinuationsAsynchronously);
        Pipeline.Receive(PeerInbound.Keep(message, null, stepped));
        StepOutcome outcome = await stepped.Task.WaitAsync(cancel).ConfigureAwait(false);
        if (outcome != StepOutcome.Done)
        {
            _intake.Discard(path);
        }

        return outcome is StepOutcome.Done or StepOutcome.Stale ? null : $"failed to process raft message ({outcome})";
    }

    private void Install(Snapshot snapshot)
    {
        _intake.Install(
            snapshot, Pipeline, _snapshots, (count, work) => Parallel.For(0, count, work), Environment.ProcessorCount);
        _peers?.Become(State.Machine.Members.Current.Members);
    }
}
