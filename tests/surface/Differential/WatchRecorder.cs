using System.Diagnostics;
using Etcdserverpb;
using Google.Protobuf;
using Mvccpb;
using Perf.Grpc;
using Xunit;

namespace Perf.Surface.Tests.Differential;

/// <summary>
/// A watch stream and what it has brought, event by event for each watcher. That no revision is split between two answers,
/// and that revisions only grow, is checked as they come.
/// </summary>
internal sealed class WatchRecorder : IAsyncDisposable
{
    private static readonly TimeSpan _patience = TimeSpan.FromSeconds(60);
    private static readonly ClientMethod<WatchRequest, WatchResponse> _watch =
        new("/etcdserverpb.Watch/Watch", m => m.ToByteArray(), m => WatchResponse.Parser.ParseFrom(m.Span));

    private readonly ClientStream<WatchRequest, WatchResponse> _stream;
    private readonly Lock _lock = new();
    private readonly Dictionary<long, Watched> _watchers = [];
    private readonly List<WatchResponse> _controls = [];
    private readonly Task _reading;
    private readonly string _name;
    private WatchRequest? _last;
    private string? _broken;

    /// <param name="channel">Where the stream is opened.</param>
    /// <param name="name">What a failed wait says of the stream: the server's name, a number.</param>
    public WatchRecorder(GrpcChannel channel, string name = "")
    {
        _name = name;
        _stream = channel.Open(_watch);
        _reading = ReadAsync();
    }

    /// <summary>Creates a watcher; what the server answered.</summary>
    public async Task<WatchResponse> CreateAsync(WatchCreateRequest create)
    {
        int before = ControlCount;
        await SendAsync(new WatchRequest { CreateRequest = create });
        return await ControlAsync(before);
    }

    /// <summary>Cancels a watcher; what the server answered.</summary>
    public async Task<WatchResponse> CancelAsync(long id)
    {
        int before = ControlCount;
        await SendAsync(new WatchRequest { CancelRequest = new() { WatchId = id } });
        return await ControlAsync(before);
    }

    /// <summary>Sends what is to be left without an answer.</summary>
    public ValueTask SendAsync(WatchRequest request)
    {
        _last = request;
        return _stream.WriteAsync(request);
    }

    /// <summary>Asks how far all watchers of the stream are; what the server answered.</summary>
    public async Task<WatchResponse> ProgressAsync()
    {
        int before = ControlCount;
        await SendAsync(new WatchRequest { ProgressRequest = new() });
        return await ControlAsync(before);
    }

    /// <summary>The answer without events that follows the first so many.</summary>
    public async Task<WatchResponse> ControlAsync(int index)
    {
        await UntilAsync(() => _controls.Count > index, () => $"control answer {index}");
        lock (_lock)
        {
            return _controls[index];
        }
    }

    /// <summary>Answers without events so far.</summary>
    public int ControlCount
    {
        get
        {
            lock (_lock)
            {
                return _controls.Count;
            }
        }
    }

    /// <summary>Waits until a watcher has brought an event of that revision or a later one.</summary>
    public Task ReachedAsync(long id, long revision) =>
        UntilAsync(() => _watchers[id].LastRevision >= revision, () => $"revision {revision} at watcher {id}");

    /// <summary>Waits for so many events of a watcher and takes all that are there.</summary>
    public async Task<List<Event>> TakeAsync(long id, int count)
    {
        await UntilAsync(
            () => _watchers[id].Events.Count >= count,
            () => $"{count} events of watcher {id} (there are {_watchers[id].Events.Count})");
        lock (_lock)
        {
            List<Event> events = _watchers[id].Events;
            _watchers[id].Events = [];
            return events;
        }
    }

    public async ValueTask DisposeAsync()
    {
        await _stream.DisposeAsync();
        await _reading.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
    }

    private async Task ReadAsync()
    {
        try
        {
            while (await _stream.MoveNextAsync())
            {
                lock (_lock)
                {
                    Note(_stream.Current);
                }
            }

            _broken = "the stream has ended";
        }
        catch (Exception e) when (e is RpcException or InvalidDataException)
        {
            _broken = e.ToString();
        }
    }

    private void Note(WatchResponse response)
    {
        if (response.Events.Count == 0)
        {
            if (response is { Created: true, Canceled: false })
            {
                _watchers[response.WatchId] = new Watched();
            }

            _controls.Add(response);
            return;
        }

        if (!_watchers.TryGetValue(response.WatchId, out Watched? watched))
        {
            throw new InvalidDataException($"events of watcher {response.WatchId}, which was never said to be created: {response}");
        }

        long first = response.Events[0].Kv.ModRevision;
        long last = response.Events[^1].Kv.ModRevision;
        if (first < watched.LastRevision || (first == watched.LastRevision && !watched.IsPart))
        {
            _broken ??= $"watcher {response.WatchId}: revision {first} after {watched.LastRevision}";
        }

        if (response.Header.Revision < last)
        {
            _broken ??= $"watcher {response.WatchId}: header {response.Header.Revision} with an event of {last}";
        }

        watched.LastRevision = last;
        watched.IsPart = response.Fragment;
        watched.Events.AddRange(response.Events);
    }

    private async Task UntilAsync(Func<bool> condition, Func<string> what)
    {
        for (var waited = Stopwatch.StartNew(); ;)
        {
            lock (_lock)
            {
                Assert.True(_broken is null, $"{_name}: {_broken}");
                if (condition())
                {
                    return;
                }

                Assert.True(waited.Elapsed < _patience, $"{_name}: waited in vain for {what()}; last request: {_last}");
            }

            await (waited.ElapsedMilliseconds < 20 ? Task.Yield() : Pause());
        }

        static System.Runtime.CompilerServices.YieldAwaitable Pause()
        {
            Thread.Sleep(1);
            return Task.Yield();
        }
    }

    private sealed class Watched
    {
        public List<Event> Events { get; set; } = [];

        public long LastRevision { get; set; }

        /// <summary>True when the last answer said that the rest of its events follows.</summary>
        public bool IsPart { get; set; }
    }
}
