using System.Buffers;
using System.Net;
using System.Net.Sockets;
using System.Runtime.CompilerServices;
using System.Security.Cryptography.X509Certificates;

namespace Perf.Grpc;

/// <summary>What calls may know of the connection below them.</summary>
internal sealed record ConnectionInfo(
    ListenEndpoint Endpoint, EndPoint? Local, EndPoint? Remote, bool IsTls, X509Certificate2? ClientCertificate);

/// <summary>
/// The server's side of one HTTP/2 connection (RFC 9113). One thread at a time reads: it takes frames apart, has the next read
/// started, and only then runs what the frames have brought about, on the spot. So a lone request meets no other thread on its
/// way, and a handler that takes long holds up nobody. This file: reading, and the end. Http2Connection.Frames.cs: what frames
/// mean. Http2Connection.Send.cs: how answers find room.
/// </summary>
internal sealed partial class Http2Connection : IOutputOwner, IThreadPoolWorkItem
{
    private const int ReadBytes = 32 << 10;
    private static readonly TimeSpan LingerTime = TimeSpan.FromSeconds(1);

    private readonly ByteChannel _channel;
    private readonly GrpcServerOptions _options;
    private readonly GrpcApplication _application;
    private readonly TaskCompletionSource _ended = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly Action _onRead;
    private ConfiguredValueTaskAwaitable<int>.ConfiguredValueTaskAwaiter _reading;

    // The reading thread's.
    private byte[] _buffer = [];
    private int _filled;
    private ReadyBatch? _spareBatch;
    private bool _hasStoppedReading;

    // Guarded by the gate.
    private bool _isClosing;
    private bool _hasEnded;

    public Http2Connection(ByteChannel channel, ConnectionInfo info, GrpcApplication application, GrpcServerOptions options)
    {
        _channel = channel;
        Info = info;
        _application = application;
        _options = options;
        _guard = new FloodGuard(options);
        _fields = new HeaderFields(options.HeaderBytesMax);
        _onRead = OnRead;
        Output = new Http2Output(channel, this);
        _timer = new Timer(static state => ((Http2Connection)state!).OnTimer(), this, Timeout.Infinite, Timeout.Infinite);
    }

    public ConnectionInfo Info { get; }

    public Http2Output Output { get; }

    public Lock Gate => Output.Gate;

    /// <summary>Serves until the connection has ended. Never throws.</summary>
    public Task RunAsync()
    {
        _headersDueAt = Environment.TickCount64 + (long)_options.PrefaceTimeout.TotalMilliseconds;
        lock (Gate)
        {
            SendSettings();
        }

        ArmTimer();
        Output.FlushSoon();
        ReadOn();
        return _ended.Task;
    }

    /// <summary>No new calls; when the last one has ended the connection does.</summary>
    public void Leave()
    {
        lock (Gate)
        {
            if (_isLeaving || _isClosing || _hasEnded)
            {
                return;
            }

            Output.GoAway(_lastStream, Http2Error.None, "");
            _isLeaving = true;
            CloseIfLeft();
        }

        Output.FlushSoon();
    }

    /// <summary>Ends the connection now.</summary>
    public void Abort() => End();

    /// <summary>The intake has let go.</summary>
    void IThreadPoolWorkItem.Execute() => ReadOn();

    void IOutputOwner.AllSent() => _ = LingerAsync();

    void IOutputOwner.Broken(Exception e) => End();

    private void ReadOn()
    {
        try
        {
            Read(ReadMore());
        }
        catch (Exception e) when (IsOfTheConnection(e))
        {
            End();
        }
    }

    private ConfiguredValueTaskAwaitable<int>.ConfiguredValueTaskAwaiter ReadMore()
    {
        if (_filled == 0 && _buffer.Length > 0)
        {
            ArrayPool<byte>.Shared.Return(_buffer);
            _buffer = [];
        }

        // Without a buffer of its own while it is silent.
        return _channel.ReadAsync(_buffer.AsMemory(_filled)).ConfigureAwait(false).GetAwaiter();
    }

    private void OnRead() => Read(_reading);

    private void Read(ConfiguredValueTaskAwaitable<int>.ConfiguredValueTaskAwaiter reading)
    {
        try
        {
            while (true)
            {
                if (!reading.IsCompleted)
                {
                    _reading = reading;
                    reading.UnsafeOnCompleted(_onRead);
                    return;
                }

                int read = reading.GetResult();
                if (_buffer.Length == 0)
                {
                    // There is something now.
                    _buffer = ArrayPool<byte>.Shared.Rent(ReadBytes);
                    reading = _channel.ReadAsync(_buffer).ConfigureAwait(false).GetAwaiter();
                    continue;
                }

                if (read == 0)
                {
                    End();
                    return;
                }

                _filled += read;
                Volatile.Write(ref _lastReadAt, Environment.TickCount64);
                if (!Serve(ref reading))
                {
                    return;
                }
            }
        }
        catch (Exception e)
        {
            if (!IsOfTheConnection(e))
            {
                _options.Trouble?.Invoke($"reading what {Info.Remote} sent failed", e);
            }

            End();
        }
    }

    /// <summary>
    /// Takes the frames that were read, has the next read started and runs what the frames have brought about. True when that read has
    /// ended already and is this thread's to look at. Where the intake holds the connection the next read is for the pool to start.
    /// </summary>
    private bool Serve(ref ConfiguredValueTaskAwaitable<int>.ConfiguredValueTaskAwaiter reading)
    {
        ReadyBatch batch = Interlocked.Exchange(ref _spareBatch, null) ?? new ReadyBatch();
        bool goesOn = TakeFrames(batch);

        // By the pool, whatever this thread does next: what frames alone ask for does not wait for a handler.
        Output.FlushAnythingSoon();
        OutputBatch.Begin();
        try
        {
            if (goesOn && IsHeld())
            {
                goesOn = false;
            }
            else if (goesOn)
            {
                reading = ReadMore();
                goesOn = reading.IsCompleted;
                if (!goesOn)
                {
                    // Another thread may read from here on.
                    _reading = reading;
                    reading.UnsafeOnCompleted(_onRead);
                }
            }

            batch.Run();
            Volatile.Write(ref _spareBatch, batch);
            return goesOn;
        }
        finally
        {
            OutputBatch.End();
        }
    }

    private bool IsHeld() =>
        _options.Intake is { } intake && _streams.Count >= IntakeGate.CallsMin && intake.TryHold(this);

    /// <summary>The socket's word, or TLS's, that the client is gone.</summary>
    private static bool IsOfTheConnection(Exception e) =>
        e is IOException or SocketException or ObjectDisposedException or OperationCanceledException or InvalidOperationException;

    /// <summary>All whole frames of the buffer. False when nothing more is to be read.</summary>
    private bool TakeFrames(ReadyBatch batch)
    {
        int at = 0;
        try
        {
            at = TakePreface();
            while (_prefaceSeen && TryFrame(_buffer.AsSpan(at, _filled - at), batch, out int bytes))
            {
                at += bytes;
            }
        }
        catch (Http2Exception e)
        {
            lock (Gate)
            {
                Volatile.Write(ref _hasStoppedReading, true);
                if (!_isClosing)
                {
                    Output.GoAway(_lastStream, e.Error, e.Message);
                    StartClosing();
                }
            }

            return false;
        }

        if (at > 0)
        {
            _buffer.AsSpan(at, _filled - at).CopyTo(_buffer);
            _filled -= at;
        }

        WatchHeaders();
        return true;
    }

    /// <summary>The writing side ends after what is written. Gate held.</summary>
    private void StartClosing()
    {
        _isClosing = true;
        ResetAll();
        Output.EndWhenSent();
    }

    /// <summary>
    /// Ends the writing side and waits a little for the client to do the same: closing with something unread would take our last
    /// words back from the client's socket.
    /// </summary>
    private async Task LingerAsync()
    {
        try
        {
            await _channel.EndWritingAsync().ConfigureAwait(false);

            // Whoever is reading goes on to the end; when nobody does, the rest is thrown away here.
            using var patience = new CancellationTokenSource(LingerTime);
            Task end = Volatile.Read(ref _hasStoppedReading) ? DrainAsync(patience.Token) : _ended.Task;
            await end.WaitAsync(patience.Token).ConfigureAwait(false);
        }
        catch (Exception)
        {
            // Gone, or too slow.
        }

        End();
    }

    private async Task DrainAsync(CancellationToken cancellation)
    {
        byte[] rest = new byte[ReadBytes];
        while (!cancellation.IsCancellationRequested && await _channel.ReadAsync(rest).ConfigureAwait(false) > 0)
        {
        }
    }

    /// <summary>The end of everything. Any thread, any number of times.</summary>
    private void End()
    {
        lock (Gate)
        {
            if (_hasEnded)
            {
                return;
            }

            _hasEnded = true;
            _isClosing = true;
            ResetAll();
            _application.SpareStreams.Give(_spare);
        }

        _timer.Dispose();
        Output.Abandon();
        _ = CloseAsync();
    }

    private async Task CloseAsync()
    {
        try
        {
            await _channel.CloseAsync().ConfigureAwait(false);
        }
        catch (Exception)
        {
            // It was broken before.
        }

        _ended.TrySetResult();
    }
}
