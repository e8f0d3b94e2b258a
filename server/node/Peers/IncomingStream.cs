using Perf.Raft;
using Perf.Store.Membership;

namespace Perf.Node.Peers;

/// <summary>Dials a peer for one of its streams, hands on what comes, and dials again when it breaks.</summary>
internal sealed class IncomingStream(PeerTransport transport, RemotePeer peer, StreamKind kind)
{
    /// <summary>Messages that may wait for the core; then we stop reading, and TCP slows the sender down.</summary>
    private const int MessagesMax = 1024;

    private static readonly TimeSpan RetryInterval = TimeSpan.FromMilliseconds(100);

    private readonly SemaphoreSlim _places = new(MessagesMax);
    private string? _lastTrouble;

    public bool IsUp { get; private set; }

    /// <summary>Runs until the peer is removed or the member stops.</summary>
    public async Task RunAsync(CancellationToken stop)
    {
        while (!stop.IsCancellationRequested)
        {
            try
            {
                await ReadOnceAsync(stop).ConfigureAwait(false);
                Trouble("the peer ended the stream");
            }
            catch (OperationCanceledException) when (stop.IsCancellationRequested)
            {
                return;
            }
            catch (Exception e) when (e is IOException or InvalidDataException or OperationCanceledException)
            {
                Trouble(e.Message);
                peer.Urls.Failed();
            }
            finally
            {
                IsUp = false;
                peer.UpdateActivity();
            }

            await Task.Delay(RetryInterval, stop).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        }
    }

    private async Task ReadOnceAsync(CancellationToken stop)
    {
        Uri? url = peer.Urls.Current;
        if (url is null)
        {
            return;
        }

        var target = new Uri(url, PeerIdentity.StreamPath(kind) + MemberIds.Hex(transport.Identity.MemberId));
        using PeerAnswer answer = await transport.Client
            .GetAsync(target, transport.Identity.Headers(peer.Id), stop).ConfigureAwait(false);
        if (answer.Status != 200)
        {
            await RefusedAsync(answer, stop).ConfigureAwait(false);
            return;
        }

        IPeerDecoder decoder = kind == StreamKind.App
            ? new MsgAppV2Decoder(transport.Identity.MemberId, peer.Id)
            : new MessageStreamDecoder();
        using var reader = new PeerStreamReader(answer.Body, decoder, new EntryBuffer());
        IsUp = true;
        _lastTrouble = null;
        peer.UpdateActivity();
        transport.Log.Info(
            "established TCP streaming connection with remote peer",
            ("stream-reader-type", Name),
            ("local-member-id", MemberIds.Hex(transport.Identity.MemberId)),
            ("remote-peer-id", MemberIds.Hex(peer.Id)));
        while (await reader.ReadAsync(stop).ConfigureAwait(false))
        {
            if (reader.Message.Type == MessageType.Snap)
            {
                // Its database can only come by a post.
                continue;
            }

            await _places.WaitAsync(stop).ConfigureAwait(false);
            transport.Owner.Receive(PeerInbound.Keep(reader.Message, _places));
        }
    }

    private string Name => kind == StreamKind.App ? "stream MsgApp v2" : "stream Message";

    private async Task RefusedAsync(PeerAnswer answer, CancellationToken stop)
    {
        if (answer.Status == 410)
        {
            transport.Owner.RemovedByPeers();
            return;
        }

        byte[] text = await answer.ReadAllAsync(64 << 10, stop).ConfigureAwait(false);
        throw new IOException($"{answer.Status} {System.Text.Encoding.UTF8.GetString(text).Trim()}");
    }

    /// <summary>Says the same thing once, not ten times a second.</summary>
    private void Trouble(string what)
    {
        if (what != _lastTrouble)
        {
            _lastTrouble = what;
            transport.Log.Warn(
                "lost TCP streaming connection with remote peer",
                ("stream-reader-type", Name),
                ("local-member-id", MemberIds.Hex(transport.Identity.MemberId)),
                ("remote-peer-id", MemberIds.Hex(peer.Id)),
                ("error", what));
        }
    }
}
