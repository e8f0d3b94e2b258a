using System.Runtime.CompilerServices;
using System.Threading.Channels;
using Google.Protobuf;

namespace Perf.Client;

/// <summary>What to watch and how.</summary>
public sealed record WatchOptions
{
    /// <summary>End of the half-open range; empty for one key, <see cref="Bytes.Zero"/> for no upper bound.</summary>
    public Bytes RangeEnd { get; init; }

    /// <summary>True to watch all keys that start with the key given.</summary>
    public bool Prefix { get; init; }

    /// <summary>First revision to report, history included; 0 for what comes after now.</summary>
    public long StartRevision { get; init; }

    /// <summary>True to report the pair before each change.</summary>
    public bool PrevKv { get; init; }

    /// <summary>True to be told now and then how far the stream is, even without events.</summary>
    public bool ProgressNotify { get; init; }

    /// <summary>True to leave puts out.</summary>
    public bool NoPut { get; init; }

    /// <summary>True to leave deletes out.</summary>
    public bool NoDelete { get; init; }

    /// <summary>True to end with <see cref="EtcdErrors.NoLeader"/> when the member loses its leader.</summary>
    public bool RequireLeader { get; init; }
}

/// <summary>Events of one or more whole revisions, or a note of progress.</summary>
public sealed class WatchResponse : EtcdResponse
{
    /// <summary>The events, ordered; all events of a revision are in one response.</summary>
    public IReadOnlyList<WatchEvent> Events { get; init; } = [];

    /// <summary>True when it says only that everything up to <see cref="ResponseHeader.Revision"/> was seen.</summary>
    public bool IsProgressNotify => Events.Count == 0;

    /// <summary>
    /// The response as one message, its parts merged; with a compact revision or as canceled, the form in which a
    /// server ends a watch.
    /// </summary>
    public byte[] ToProtobuf(long compactRevision, bool canceled)
    {
        Etcdserverpb.WatchResponse message = ((Etcdserverpb.WatchResponse?)Message)?.Clone() ?? new();
        message.Header ??= new Etcdserverpb.ResponseHeader();
        message.WatchId = 0;
        message.CompactRevision = compactRevision;
        message.Canceled = canceled;
        return message.ToByteArray();
    }
}

/// <summary>
/// Changes as they happen. Any number of watches share one stream; when it breaks, every watch resumes behind the last
/// revision it has delivered, on any member: no event is lost and none comes twice. Thread-safe.
/// </summary>
public sealed class Watches
{
    private readonly Caller _caller;
    private readonly WatchStream _plain;
    private readonly WatchStream _withLeader;
    private readonly Prefixing? _prefixing;

    internal Watches(Caller caller, bool requireLeader)
    {
        _caller = caller;
        _withLeader = new WatchStream(caller, requireLeader: true);
        _plain = requireLeader ? _withLeader : new WatchStream(caller, requireLeader: false);
    }

    /// <summary>The same streams, with another view of the keys.</summary>
    private Watches(Watches other, Prefixing prefixing)
    {
        _caller = other._caller;
        _withLeader = other._withLeader;
        _plain = other._plain;
        _prefixing = prefixing;
    }

    /// <summary>
    /// Watches until cancelled. Throws <see cref="CompactedException"/> when history it needs is gone, and
    /// <see cref="EtcdException"/> when the server refuses or ends the watch. The watch is opened when the
    /// enumeration starts; responses wait in memory for a slow reader.
    /// </summary>
    public async IAsyncEnumerable<WatchResponse> WatchAsync(
        Bytes key, WatchOptions? options = null, [EnumeratorCancellation] CancellationToken cancellation = default)
    {
        await using Watching watching = Start(key, options);
        await foreach (WatchResponse response in
            watching.Responses.ReadAllAsync(cancellation).ConfigureAwait(false))
        {
            yield return response;
        }
    }

    /// <summary>
    /// Like <see cref="WatchAsync"/>, but the request is sent at once and <see cref="Watching.Created"/> tells when
    /// the server has accepted it.
    /// </summary>
    public Watching Start(Bytes key, WatchOptions? options = null)
    {
        options ??= new WatchOptions();
        WatchStream stream = options.RequireLeader ? _withLeader : _plain;
        ObjectDisposedException.ThrowIf(_caller.Closed.IsCancellationRequested, typeof(EtcdClient));
        var watching = new Watching(stream, key, options, _prefixing);
        stream.Add(watching);
        return watching;
    }

    /// <summary>
    /// Asks the server to tell every watch of the stream how far it is. Answered as progress notes, and only once all
    /// watches have caught up.
    /// </summary>
    public void RequestProgress(bool requireLeader = false) =>
        (requireLeader ? _withLeader : _plain).RequestProgress();

    internal Watches Inside(Prefixing prefixing) => new(this, prefixing);
}

/// <summary>A watch that is open. Disposing it cancels it.</summary>
public sealed class Watching : IAsyncDisposable
{
    private readonly WatchStream _stream;
    private readonly Channel<WatchResponse> _responses = Channel.CreateUnbounded<WatchResponse>(
        new UnboundedChannelOptions { SingleReader = true, SingleWriter = true });
    private readonly TaskCompletionSource _created = new(TaskCreationOptions.RunContinuationsAsynchronously);

    private readonly Prefixing? _prefixing;

    internal Watching(WatchStream stream, Bytes key, WatchOptions options, Prefixing? prefixing)
    {
        _stream = stream;
        _prefixing = prefixing;
        Options = options;
        (Key, RangeEnd) = Range.Resolve(key, options.RangeEnd, options.Prefix);
        if (prefixing is not null)
        {
            (Google.Protobuf.ByteString start, Google.Protobuf.ByteString end) =
                prefixing.Range(Wire.String(Key), Wire.String(RangeEnd));
            (Key, RangeEnd) = (start.Memory, end.Memory);
        }

        NextRevision = options.StartRevision;
    }

    /// <summary>The responses; completes with the exception that ended the watch.</summary>
    public ChannelReader<WatchResponse> Responses => _responses.Reader;

    /// <summary>Completes when the server has accepted the watch (for the first time), or fails with the reason.</summary>
    public Task Created => _created.Task;

    internal Bytes Key { get; }

    internal Bytes RangeEnd { get; }

    internal WatchOptions Options { get; }

    /// <summary>First revision not yet delivered; 0 until the server has told where "now" is.</summary>
    internal long NextRevision { get; set; }

    internal long Id { get; set; } = -1;

    /// <summary>Parts of a response the server has split; delivered with the last one.</summary>
    internal List<WatchEvent>? Fragments { get; set; }

    internal List<Mvccpb.Event>? FragmentMessages { get; set; }

    /// <inheritdoc/>
    public ValueTask DisposeAsync()
    {
        _stream.Remove(this);
        _responses.Writer.TryComplete();
        _created.TrySetCanceled();
        return ValueTask.CompletedTask;
    }

    internal void Accepted() => _created.TrySetResult();

    internal void Deliver(WatchResponse response) => _responses.Writer.TryWrite(
        _prefixing?.OutOf(response) ?? response);

    internal void End(Exception? reason)
    {
        if (reason is not null && _created.TrySetException(reason))
        {
            _ = _created.Task.Exception;
        }

        _responses.Writer.TryComplete(reason);
    }
}
