using Perf.Raft;

namespace Perf.Node.Peers;

/// <summary>One other member: its addresses, streams and posts.</summary>
internal sealed class RemotePeer
{
    private readonly PeerTransport _transport;
    private readonly CancellationTokenSource _stop = new();
    private readonly PeerPosts _posts;
    private readonly IncomingStream _appIn;
    private readonly IncomingStream _messageIn;
    private long _activeSince;
    private int _unreachable;
    private Task _running = Task.CompletedTask;

    public RemotePeer(PeerTransport transport, ulong id, IReadOnlyList<string> urls)
    {
        _transport = transport;
        Id = id;
        Urls = new PeerUrls(urls);
        Stopping = _stop.Token;
        _posts = new PeerPosts(transport, this);
        _appIn = new IncomingStream(transport, this, StreamKind.App);
        _messageIn = new IncomingStream(transport, this, StreamKind.Message);
    }

    public ulong Id { get; }

    public PeerUrls Urls { get; }

    public OutgoingStream App { get; } = new();

    public OutgoingStream Messages { get; } = new();

    /// <summary>Cancelled when the peer is removed or the member stops.</summary>
    public CancellationToken Stopping { get; }

    /// <summary>Since when (clock ticks) a stream of it comes in without a break; 0: none does.</summary>
    public long ActiveSince => Volatile.Read(ref _activeSince);

    /// <summary>The last measured round trip; zero: none yet.</summary>
    public TimeSpan RoundTrip { get; private set; }

    public void Start() => _running = Task.WhenAll(
        Task.Run(() => _appIn.RunAsync(Stopping)),
        Task.Run(() => _messageIn.RunAsync(Stopping)),
        Task.Run(ProbeAsync));

    public async Task StopAsync()
    {
        await _stop.CancelAsync().ConfigureAwait(false);
        App.Close();
        Messages.Close();
        _posts.Close();
        await _running.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
    }

    public OutgoingStream Outgoing(StreamKind kind) => kind == StreamKind.App ? App : Messages;

    /// <summary>Queues a message, lent for the call. Core thread; does not block.</summary>
    public void Send(in Message message)
    {
        bool sent;
        if (message.Type == MessageType.App && App.IsUp)
        {
            sent = App.TrySend(message);
        }
        else if (Messages.IsUp)
        {
            sent = Messages.TrySend(message);
        }
        else
        {
            sent = _posts.TrySend(message);
        }

        if (!sent && Interlocked.Exchange(ref _unreachable, 1) == 0)
        {
            _transport.Owner.ReportUnreachable(Id);
            Volatile.Write(ref _unreachable, 0);
        }
    }

    /// <summary>A stream came up or went down.</summary>
    public void UpdateActivity()
    {
        bool isActive = _appIn.IsUp || _messageIn.IsUp;
        if (!isActive)
        {
            Volatile.Write(ref _activeSince, 0);
        }
        else if (ActiveSince == 0)
        {
            Volatile.Write(ref _activeSince, Math.Max(1, _transport.Clock.GetTimestamp()));
        }
    }

    /// <summary>Measures round trips, for the figures alone.</summary>
    private async Task ProbeAsync()
    {
        using var timer = new PeriodicTimer(TimeSpan.FromSeconds(4), _transport.Clock);
        try
        {
            while (await timer.WaitForNextTickAsync(Stopping).ConfigureAwait(false))
            {
                if (ActiveSince == 0 || Urls.Current is not { } url)
                {
                    continue;
                }

                try
                {
                    long start = _transport.Clock.GetTimestamp();
                    using PeerAnswer answer = await _transport.Client
                        .GetAsync(new Uri(url, "/raft/probing"), _transport.Identity.Headers(), Stopping)
                        .ConfigureAwait(false);
                    await answer.ReadAllAsync(4096, Stopping).ConfigureAwait(false);
                    RoundTrip = _transport.Clock.GetElapsedTime(start);
                }
                catch (Exception e) when (e is IOException or InvalidDataException)
                {
                    RoundTrip = TimeSpan.Zero;
                }
            }
        }
        catch (OperationCanceledException)
        {
            // The member stops.
        }
    }
}
