using Perf.Raft;

namespace Perf.Node.Peers;

/// <summary>
/// Single messages by POST /raft, while no stream is up: first votes mostly. Bounded like etcd's pipeline.
/// </summary>
internal sealed class PeerPosts(PeerTransport transport, RemotePeer peer)
{
    private const int ConnectionsMax = 4;
    private const int MessagesMax = 64;

    private readonly Queue<OutgoingMessage> _waiting = new();
    private int _running;
    private bool _closed;

    /// <summary>Queues a message, lent for the call; false when too many wait already.</summary>
    public bool TrySend(in Message message)
    {
        lock (_waiting)
        {
            if (_closed || _waiting.Count == MessagesMax)
            {
                return false;
            }

            _waiting.Enqueue(OutgoingMessage.Keep(message));
            if (_running < ConnectionsMax)
            {
                _running++;
                ThreadPool.UnsafeQueueUserWorkItem(_ => _ = RunAsync(), null);
            }
        }

        return true;
    }

    public void Close()
    {
        lock (_waiting)
        {
            _closed = true;
            while (_waiting.TryDequeue(out OutgoingMessage message))
            {
                message.Release();
            }
        }
    }

    private async Task RunAsync()
    {
        while (true)
        {
            byte[] body;
            lock (_waiting)
            {
                if (!_waiting.TryDequeue(out OutgoingMessage message))
                {
                    _running--;
                    return;
                }

                body = new byte[MessageCodec.Bytes(message.Message, transport.AlwaysSnapshot)];
                MessageCodec.Write(message.Message, body, transport.AlwaysSnapshot);
                message.Release();
            }

            if (!await PostAsync(body).ConfigureAwait(false))
            {
                peer.Urls.Failed();
                transport.Owner.ReportUnreachable(peer.Id);
            }
        }
    }

    private async Task<bool> PostAsync(byte[] body)
    {
        Uri? url = peer.Urls.Current;
        if (url is null)
        {
            return false;
        }

        try
        {
            var request = new PeerRequest("POST", new Uri(url, "/raft"))
            {
                Headers = transport.Identity.Headers(),
                ContentType = "application/protobuf",
                Body = body,
                KeepsConnection = true,
            };
            using PeerAnswer answer = await transport.Client.SendAsync(request, peer.Stopping).ConfigureAwait(false);
            if (answer.Status == 403)
            {
                byte[] text = await answer.ReadAllAsync(64 << 10, peer.Stopping).ConfigureAwait(false);
                if (text.AsSpan().IndexOf("removed member"u8) >= 0)
                {
                    transport.Owner.RemovedByPeers();
                }
            }

            return answer.Status == 204;
        }
        catch (Exception e) when (e is IOException or InvalidDataException or OperationCanceledException)
        {
            return false;
        }
    }
}
