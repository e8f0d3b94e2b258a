using Perf.Engine.Transactions;
using Perf.Node.Consensus;
using Perf.Node.Logging;
using Perf.Node.Peers;
using Perf.Raft;
using Perf.Store.Membership;

namespace Perf.Node.Cluster;

/// <summary>
/// Sends snapshots to followers that are below the log's start: an image of the data file at exactly the index that
/// the message names, on a connection of its own.
/// </summary>
internal sealed class SnapshotSender(Pipeline pipeline, PeerTransport transport, SnapshotKeeper keeper, Log log)
{
    /// <summary>Each pins pages of the data file and takes disk bandwidth.</summary>
    private const int SendsMax = 2;

    /// <summary>The receiver writes, checks and syncs the whole database before it answers.</summary>
    private static readonly TimeSpan AnswerTimeout = TimeSpan.FromMinutes(10);

    private readonly SemaphoreSlim _places = new(SendsMax);

    /// <summary>Core thread.</summary>
    public void Send(RemotePeer peer, in Message message)
    {
        keeper.Hold();
        Message copy = message;
        _ = SendAsync(peer, copy);
    }

    private async Task SendAsync(RemotePeer peer, Message message)
    {
        bool succeeded = false;
        try
        {
            await Task.Yield();
            await _places.WaitAsync(peer.Stopping).ConfigureAwait(false);
            try
            {
                succeeded = await CaptureAndPostAsync(peer, message).ConfigureAwait(false);
            }
            finally
            {
                _places.Release();
            }
        }
        catch (Exception e) when (e is IOException or InvalidDataException or OperationCanceledException)
        {
            log.Warn(
                "failed to send database snapshot",
                ("remote-peer-id", MemberIds.Hex(peer.Id)),
                ("error", e.Message));
            peer.Urls.Failed();
        }
        finally
        {
            keeper.ReleaseHold();
            pipeline.OnCore(core => core.ReportSnapshot(peer.Id, succeeded));
        }
    }

    private async Task<bool> CaptureAndPostAsync(RemotePeer peer, Message message)
    {
        var captured = new TaskCompletionSource<(Snapshot Snapshot, DataImage Image)>(
            TaskCreationOptions.RunContinuationsAsynchronously);
        Snapshot? snapshot = null;
        pipeline.Capture(
            () => snapshot = SnapshotKeeper.Describe(pipeline),
            () => captured.SetResult((snapshot!, pipeline.State.Backend.File.OpenImage())));
        (Snapshot own, DataImage image) = await captured.Task.WaitAsync(peer.Stopping).ConfigureAwait(false);
        using (image)
        {
            message.Snapshot = own;
            Uri url = peer.Urls.Current ?? throw new IOException("the peer has no address");
            log.Info(
                "sending database snapshot",
                ("snapshot-index", own.Metadata.Index),
                ("remote-peer-id", MemberIds.Hex(peer.Id)),
                ("bytes", image.Length));
            var request = new PeerRequest("POST", new Uri(url, "/raft/snapshot"))
            {
                Headers = transport.Identity.Headers(),
                ContentType = "application/octet-stream",
                AnswerTimeout = AnswerTimeout,
                BodyWriter = async (body, cancel) => await SnapshotPost.WriteAsync(
                    message, (target, at) => image.Read(target.Span, at), body, transport.AlwaysSnapshot, cancel)
                    .ConfigureAwait(false),
            };
            using PeerAnswer answer = await transport.Client.SendAsync(request, peer.Stopping).ConfigureAwait(false);
            if (answer.Status == 204)
            {
                log.Info(
                    "sent database snapshot",
                    ("snapshot-index", own.Metadata.Index),
                    ("remote-peer-id", MemberIds.Hex(peer.Id)));
                return true;
            }

            byte[] text = await answer.ReadAllAsync(64 << 10, peer.Stopping).ConfigureAwait(false);
            throw new IOException($"{answer.Status} {System.Text.Encoding.UTF8.GetString(text).Trim()}");
        }
    }
}
