using System.IO.Pipelines;
using System.Net;
using System.Security.Cryptography.X509Certificates;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Http.Features;
using Microsoft.Extensions.Primitives;

namespace Perf.Grpc;

/// <summary>
/// A request over HTTP/2 that is not gRPC, as ASP.NET's features show it to the fallback. Made for one request: nothing here is
/// asked often.
/// </summary>
internal sealed class FallbackRequest : IStreamUser, IReady, IThreadPoolWorkItem, IHttpRequestFeature,
    IHttpResponseFeature, IHttpResponseBodyFeature, IHttpRequestLifetimeFeature, IHttpConnectionFeature, IHttpRequestBodyDetectionFeature,
    ITlsConnectionFeature, IListenFeature
{
    private const int UnsentBytesMax = 64 << 10;

    private readonly GrpcApplication _application;
    private readonly Http2Stream _stream;
    private readonly Http2Connection _connection;
    private readonly CancellationTokenSource _aborted = new();
    private readonly BodyStream _body;
    private readonly PipeWriter _writer;
    private readonly List<(Func<object, Task> Callback, object State)> _onStarting = [];
    private readonly List<(Func<object, Task> Callback, object State)> _onCompleted = [];
    private byte[] _draft = [];

    // Guarded by the gate.
    private TaskCompletionSource? _bodyWanted;
    private TaskCompletionSource? _roomWanted;
    private bool _isDone;
    private bool _headersWritten;

    public FallbackRequest(GrpcApplication application, Http2Stream stream)
    {
        _application = application;
        _stream = stream;
        _connection = stream.Connection;
        _body = new BodyStream(this);
        _writer = PipeWriter.Create(_body, new StreamPipeWriterOptions(leaveOpen: true));
        RequestAborted = _aborted.Token;
        Body = _body;
    }

    bool IStreamUser.IsDone => _isDone;

    public string Protocol { get; set; } = "HTTP/2";

    public string Scheme { get; set; } = "";

    public string Method { get; set; } = "";

    public string PathBase { get; set; } = "";

    public string Path { get; set; } = "";

    public string QueryString { get; set; } = "";

    public string RawTarget { get; set; } = "";

    public IHeaderDictionary Headers { get; set; } = new HeaderDictionary();

    public Stream Body { get; set; }

    public int StatusCode { get; set; } = 200;

    public string? ReasonPhrase { get; set; }

    public bool HasStarted { get; private set; }

    IHeaderDictionary IHttpResponseFeature.Headers { get; set; } = new HeaderDictionary();

    Stream IHttpResponseFeature.Body
    {
        get => _body;
        set => throw new NotSupportedException();
    }

    public Stream Stream => _body;

    public PipeWriter Writer => _writer;

    public CancellationToken RequestAborted { get; set; }

    public bool CanHaveBody { get; private set; }

    public string ConnectionId { get; set; } = "";

    public IPAddress? RemoteIpAddress { get; set; }

    public IPAddress? LocalIpAddress { get; set; }

    public int RemotePort { get; set; }

    public int LocalPort { get; set; }

    public X509Certificate2? ClientCertificate { get; set; }

    public ListenEndpoint Endpoint => _connection.Info.Endpoint;

    public Task<X509Certificate2?> GetClientCertificateAsync(CancellationToken cancellationToken) => Task.FromResult(ClientCertificate);

    void IStreamUser.OnOpen(ReadyBatch batch) => batch.Add(this);

    bool IStreamUser.TryExpire() => false;

    void IStreamUser.OnBody(ReadyBatch batch)
    {
        if (_isDone)
        {
            _stream.Consume(_stream.Unread.Length);
        }

        Wake(ref _bodyWanted);
    }

    void IStreamUser.OnReset(ReadyBatch? batch)
    {
        Wake(ref _bodyWanted);
        Wake(ref _roomWanted);
        Cancellation.FireSoon(_aborted);
    }

    void IStreamUser.OnSent()
    {
        if (_stream.Unsent.Length <= UnsentBytesMax / 2)
        {
            Wake(ref _roomWanted);
        }
    }

    void IStreamUser.WriteHeaders(Http2Output output)
    {
        if (!_headersWritten)
        {
            _headersWritten = true;
            _connection.NoteAnswer();
            output.HttpHeaders(_stream.Id, StatusCode, ResponseFields(), endStream: false);
        }
    }

    void IStreamUser.WriteEnd(Http2Output output)
    {
        if (_headersWritten)
        {
            output.Frame(FrameType.Data, Http2Output.EndStream, _stream.Id, 0);
        }
        else
        {
            _headersWritten = true;
            output.HttpHeaders(_stream.Id, StatusCode, ResponseFields(), endStream: true);
        }
    }

    bool IStreamUser.TryRecycle()
    {
        Http2Stream.Trim(ref _draft, 0);
        return true;
    }

    /// <summary>Away from the reading thread: nobody knows how long a page takes.</summary>
    void IReady.Go(int what, bool isAlone) => ThreadPool.UnsafeQueueUserWorkItem(this, preferLocal: false);

    void IThreadPoolWorkItem.Execute() => _ = ServeAsync();

    public void OnStarting(Func<object, Task> callback, object state) => _onStarting.Add((callback, state));

    public void OnCompleted(Func<object, Task> callback, object state) => _onCompleted.Add((callback, state));

    public void DisableBuffering()
    {
    }

    public async Task StartAsync(CancellationToken cancellationToken = default)
    {
        await BeginAsync();
        await SendAsync(ReadOnlyMemory<byte>.Empty, flush: true, cancellationToken);
    }

    public Task SendFileAsync(string path, long offset, long? count, CancellationToken cancellationToken = default) =>
        SendFileFallback.SendFileAsync(_body, path, offset, count, cancellationToken);

    public async Task CompleteAsync() => await _writer.FlushAsync();

    public void Abort()
    {
        lock (_connection.Gate)
        {
            if (_stream.Id != 0 && !_stream.IsReset && !_stream.ResponseEnded)
            {
                _connection.Reset(_stream, Http2Error.Cancel, batch: null);
            }
        }

        _connection.Output.FlushSoon();
    }

    /// <summary>As Kestrel does it: an escaped slash stays one, or it would divide what it stands in.</summary>
    private static string Decode(string path) => path.Contains('%', StringComparison.Ordinal)
        ? Uri.UnescapeDataString(path.Replace("%2f", "%252F", StringComparison.OrdinalIgnoreCase))
        : path;

    private static void Wake(ref TaskCompletionSource? waiter)
    {
        waiter?.TrySetResult();
        waiter = null;
    }

    private static Task Wait(ref TaskCompletionSource? waiter)
    {
        waiter = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        return waiter.Task;
    }

    private void TakeHeaders()
    {
        RequestHeaders headers = _stream.Headers;
        Method = headers.Method;
        Scheme = headers.Scheme;
        RawTarget = headers.Path;
        int query = headers.Path.IndexOf('?', StringComparison.Ordinal);
        Path = Decode(query < 0 ? headers.Path : headers.Path[..query]);
        QueryString = query < 0 ? "" : headers.Path[query..];
        if (headers.Authority.Length > 0)
        {
            Headers.Host = headers.Authority;
        }

        foreach ((string name, string value) in headers.Fields)
        {
            if (name != "host")
            {
                Headers.Append(name, value);
            }
        }

        CanHaveBody = !_stream.RequestEnded;
        ClientCertificate = _connection.Info.ClientCertificate;
        (RemoteIpAddress, RemotePort) = _connection.Info.Remote is IPEndPoint remote ? (remote.Address, remote.Port) : (null, 0);
        (LocalIpAddress, LocalPort) = _connection.Info.Local is IPEndPoint local ? (local.Address, local.Port) : (null, 0);
    }

    private async Task ServeAsync()
    {
        try
        {
            TakeHeaders();
            var features = new FeatureCollection();
            features.Set<IHttpRequestFeature>(this);
            features.Set<IHttpResponseFeature>(this);
            features.Set<IHttpResponseBodyFeature>(this);
            features.Set<IHttpRequestLifetimeFeature>(this);
            features.Set<IHttpConnectionFeature>(this);
            features.Set<IHttpRequestBodyDetectionFeature>(this);
            features.Set<IListenFeature>(this);
            if (_connection.Info.IsTls)
            {
                features.Set<ITlsConnectionFeature>(this);
            }

            await _application.FallbackAsync(features);
            await BeginAsync();
            await _writer.FlushAsync();
        }
        catch (Exception e)
        {
            Fail(e);
        }

        foreach ((Func<object, Task> callback, object state) in _onCompleted)
        {
            try
            {
                await callback(state);
            }
            catch (Exception e)
            {
                _application.Trouble?.Invoke($"what follows {Path} failed", e);
            }
        }

        lock (_connection.Gate)
        {
            _isDone = true;
            if (!_stream.IsReset)
            {
                _stream.EndWanted = true;
                _connection.Pump(_stream);
            }

            _connection.ReleaseIfOver(_stream);
        }

        _connection.Output.FlushSoon();
        _aborted.Dispose();
    }

    private void Fail(Exception e)
    {
        bool isGone;
        lock (_connection.Gate)
        {
            isGone = _stream.IsReset;
        }

        if (isGone)
        {
            return;
        }

        _application.Trouble?.Invoke($"serving {Path} failed", e);
        if (HasStarted)
        {
            // Half an answer must not look like a whole one.
            Abort();
        }
        else
        {
            StatusCode = StatusCodes.Status500InternalServerError;
            ((IHttpResponseFeature)this).Headers.Clear();
        }
    }

    private async ValueTask BeginAsync()
    {
        if (HasStarted)
        {
            return;
        }

        for (int i = _onStarting.Count - 1; i >= 0; i--)
        {
            await _onStarting[i].Callback(_onStarting[i].State);
        }

        HasStarted = true;
    }

    private List<KeyValuePair<string, string>> ResponseFields()
    {
        var fields = new List<KeyValuePair<string, string>>();
        foreach ((string name, StringValues values) in ((IHttpResponseFeature)this).Headers)
        {
            string lower = name.ToLowerInvariant();
            if (lower is "connection" or "transfer-encoding" or "keep-alive" or "upgrade")
            {
                continue;
            }

            foreach (string? value in values)
            {
                fields.Add(new(lower, value ?? ""));
            }
        }

        return fields;
    }

    private async ValueTask SendAsync(ReadOnlyMemory<byte> bytes, bool flush, CancellationToken cancellation)
    {
        await BeginAsync();
        Task room = Task.CompletedTask;
        lock (_connection.Gate)
        {
            ObjectDisposedException.ThrowIf(_isDone, this);
            if (_stream.IsReset)
            {
                throw new OperationCanceledException("the client has gone");
            }

            Http2Stream.Grow(ref _draft, 0, bytes.Length);
            bytes.Span.CopyTo(_draft);
            _stream.Send(ref _draft, bytes.Length);
            if (flush)
            {
                ((IStreamUser)this).WriteHeaders(_connection.Output);
            }

            if (Method == "HEAD")
            {
                _stream.Framed(_stream.Unsent.Length);
            }

            _connection.Pump(_stream);
            if (_stream.Unsent.Length > UnsentBytesMax)
            {
                room = Wait(ref _roomWanted);
            }
        }

        _connection.Output.FlushSoon();
        await room.WaitAsync(cancellation);
    }

    private async ValueTask<int> ReceiveAsync(Memory<byte> target, CancellationToken cancellation)
    {
        while (true)
        {
            Task body;
            lock (_connection.Gate)
            {
                if (_stream.IsReset)
                {
                    throw new IOException("the client has gone");
                }

                int bytes = Math.Min(target.Length, _stream.Unread.Length);
                if (bytes > 0 || _stream.RequestEnded || target.IsEmpty)
                {
                    _stream.Unread[..bytes].CopyTo(target.Span);
                    _stream.Consume(bytes);
                    _connection.Credit(_stream, _stream.Unread.IsEmpty ? _stream.Uncredited : bytes);
                    return bytes;
                }

                body = Wait(ref _bodyWanted);
            }

            await body.WaitAsync(cancellation);
        }
    }

    /// <summary>The request's body to read, the answer's to write.</summary>
    private sealed class BodyStream(FallbackRequest request) : Stream
    {
        public override bool CanRead => true;

        public override bool CanSeek => false;

        public override bool CanWrite => true;

        public override long Length => throw new NotSupportedException();

        public override long Position
        {
            get => throw new NotSupportedException();
            set => throw new NotSupportedException();
        }

        public override void Flush() => FlushAsync(CancellationToken.None).GetAwaiter().GetResult();

        public override Task FlushAsync(CancellationToken cancellationToken) =>
            request.SendAsync(ReadOnlyMemory<byte>.Empty, flush: true, cancellationToken).AsTask();

        public override int Read(byte[] buffer, int offset, int count) =>
            request.ReceiveAsync(buffer.AsMemory(offset, count), CancellationToken.None).AsTask().GetAwaiter().GetResult();

        public override ValueTask<int> ReadAsync(Memory<byte> buffer, CancellationToken cancellationToken = default) =>
            request.ReceiveAsync(buffer, cancellationToken);

        public override Task<int> ReadAsync(byte[] buffer, int offset, int count, CancellationToken cancellationToken) =>
            request.ReceiveAsync(buffer.AsMemory(offset, count), cancellationToken).AsTask();

        public override void Write(byte[] buffer, int offset, int count) =>
            request.SendAsync(buffer.AsMemory(offset, count), flush: false, CancellationToken.None).AsTask().GetAwaiter().GetResult();

        public override ValueTask WriteAsync(ReadOnlyMemory<byte> buffer, CancellationToken cancellationToken = default) =>
            request.SendAsync(buffer, flush: false, cancellationToken);

        public override Task WriteAsync(byte[] buffer, int offset, int count, CancellationToken cancellationToken) =>
            request.SendAsync(buffer.AsMemory(offset, count), flush: false, cancellationToken).AsTask();

        public override long Seek(long offset, SeekOrigin origin) => throw new NotSupportedException();

        public override void SetLength(long value) => throw new NotSupportedException();
    }
}
