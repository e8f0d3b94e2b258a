using System.Net.Sockets;
using System.Threading.Tasks.Sources;

namespace Perf.Grpc;

/// <summary>
/// A socket as it is, watched by a <see cref="Poller"/>: the thread that finds it readable reads, and runs what waits for it. It
/// must not have been waited for by other means before, nor be afterwards, unless by <see cref="Detach"/>.
/// </summary>
internal sealed class SocketChannel : ByteChannel, IValueTaskSource<int>, IValueTaskSource, IThreadPoolWorkItem
{
    private readonly Socket _socket;
    private readonly Poller _poller;
    private readonly int _place;
    private int _events;
    private int _isClosed;
    private volatile bool _hasHungUp;

    // Whoever reads, or completes the read that waits.
    private readonly Readiness _readable = new();
    private ManualResetValueTaskSourceCore<int> _reading;
    private Memory<byte> _into;
    private bool _isDrained;

    // Whoever writes, or completes the write that waits.
    private readonly Readiness _writable = new();
    private ManualResetValueTaskSourceCore<bool> _writing;
    private ReadOnlyMemory<byte> _unsent;

    public SocketChannel(Socket socket, Poller poller)
    {
        _socket = socket;
        _poller = poller;
        socket.Blocking = false;
        _place = poller.Add(this, socket.SafeHandle);
    }

    public override ValueTask<int> ReadAsync(Memory<byte> buffer)
    {
        _into = buffer;
        while (true)
        {
            if (!_isDrained && TryRead(out int read))
            {
                return new ValueTask<int>(read);
            }

            _isDrained = false;
            _reading.Reset();
            var waiting = new ValueTask<int>(this, _reading.Version);
            if (_readable.TryWait())
            {
                ThrowIfClosed(_readable);
                return waiting;
            }
        }
    }

    public override ValueTask WriteAsync(ReadOnlyMemory<byte> bytes)
    {
        _unsent = bytes;
        while (!TryWrite())
        {
            _writing.Reset();
            var waiting = new ValueTask(this, _writing.Version);
            if (_writable.TryWait())
            {
                ThrowIfClosed(_writable);
                return waiting;
            }
        }

        return default;
    }

    public override ValueTask EndWritingAsync()
    {
        _socket.Shutdown(SocketShutdown.Send);
        return default;
    }

    public override ValueTask CloseAsync()
    {
        if (Interlocked.Exchange(ref _isClosed, 1) == 0)
        {
            _poller.Remove(_place, _socket.SafeHandle);
            _socket.Dispose();
            if (_readable.TryTake(isSignal: false))
            {
                ThreadPool.UnsafeQueueUserWorkItem(static channel => channel._reading.SetException(Closed()), this, preferLocal: false);
            }

            if (_writable.TryTake(isSignal: false))
            {
                ThreadPool.UnsafeQueueUserWorkItem(static channel => channel._writing.SetException(Closed()), this, preferLocal: false);
            }
        }

        return default;
    }

    /// <summary>Lets go of the socket, which stays open. Nobody reads or writes.</summary>
    public void Detach()
    {
        if (Interlocked.Exchange(ref _isClosed, 1) == 0)
        {
            _poller.Remove(_place, _socket.SafeHandle);
        }
    }

    /// <summary>Copies what can be read now and leaves it there: false when nothing can, zero bytes at the end.</summary>
    public bool TryPeek(Span<byte> into, out int bytes)
    {
        bytes = _socket.Receive(into, SocketFlags.Peek, out SocketError error);
        _isDrained = error == SocketError.WouldBlock;
        return !_isDrained && (error == SocketError.Success ? true : throw new SocketException((int)error));
    }

    /// <summary>What the poller has seen. Its threads.</summary>
    public void OnEvents(int events)
    {
        if ((events & Poller.HangUps) != 0)
        {
            _hasHungUp = true;
        }

        if ((events & Poller.Writable) != 0 && _writable.TryTake())
        {
            GoOnWriting();
        }

        if ((events & Poller.Readable) != 0 && _readable.TryTake())
        {
            GoOnReading();
        }
    }

    /// <summary>The same on the pool.</summary>
    public void OnEventsSoon(int events)
    {
        if (Interlocked.Or(ref _events, events) == 0)
        {
            ThreadPool.UnsafeQueueUserWorkItem(this, preferLocal: false);
        }
    }

    void IThreadPoolWorkItem.Execute() => OnEvents(Interlocked.Exchange(ref _events, 0));

    int IValueTaskSource<int>.GetResult(short token) => _reading.GetResult(token);

    ValueTaskSourceStatus IValueTaskSource<int>.GetStatus(short token) => _reading.GetStatus(token);

    void IValueTaskSource<int>.OnCompleted(
        Action<object?> continuation, object? state, short token, ValueTaskSourceOnCompletedFlags flags) =>
        _reading.OnCompleted(continuation, state, token, flags);

    void IValueTaskSource.GetResult(short token) => _writing.GetResult(token);

    ValueTaskSourceStatus IValueTaskSource.GetStatus(short token) => _writing.GetStatus(token);

    void IValueTaskSource.OnCompleted(
        Action<object?> continuation, object? state, short token, ValueTaskSourceOnCompletedFlags flags) =>
        _writing.OnCompleted(continuation, state, token, flags);

    private static ObjectDisposedException Closed() => new(nameof(SocketChannel));

    private void GoOnReading()
    {
        int read;
        try
        {
            while (!TryRead(out read))
            {
                if (_readable.TryWait())
                {
                    ThrowIfClosed(_readable);
                    return;
                }
            }
        }
        catch (Exception e)
        {
            _reading.SetException(e);
            return;
        }

        _reading.SetResult(read);
    }

    private void GoOnWriting()
    {
        try
        {
            while (!TryWrite())
            {
                if (_writable.TryWait())
                {
                    ThrowIfClosed(_writable);
                    return;
                }
            }
        }
        catch (Exception e)
        {
            _writing.SetException(e);
            return;
        }

        _writing.SetResult(true);
    }

    /// <summary>Whoever closes looks for waiters before or after it has said so: then the wait is its, or ours.</summary>
    private void ThrowIfClosed(Readiness waits)
    {
        if (Volatile.Read(ref _isClosed) != 0 && waits.TryTake(isSignal: false))
        {
            throw Closed();
        }
    }

    private bool TryRead(out int read)
    {
        read = 0;
        if (_into.IsEmpty)
        {
            // There is something, or may be.
            return true;
        }

        read = _socket.Receive(_into.Span, SocketFlags.None, out SocketError error);
        if (error == SocketError.WouldBlock)
        {
            return false;
        }

        Check(error);

        // Less than there is room for is all there was, and more will be told of. An end may have been told of already.
        _isDrained = read > 0 && read < _into.Length && !_hasHungUp;
        return true;
    }

    private bool TryWrite()
    {
        while (!_unsent.IsEmpty)
        {
            int sent = _socket.Send(_unsent.Span, SocketFlags.None, out SocketError error);
            if (error == SocketError.WouldBlock)
            {
                return false;
            }

            Check(error);
            _unsent = _unsent[sent..];
        }

        return true;
    }

    private static void Check(SocketError error)
    {
        if (error != SocketError.Success)
        {
            throw new SocketException((int)error);
        }
    }

    /// <summary>
    /// Whether somebody waits for one direction of the socket, or a signal has come that nobody has waited for. The poller tells of a
    /// change once: a signal between a look at the socket and the wait must not be lost.
    /// </summary>
    private sealed class Readiness
    {
        private const int Idle = 0;
        private const int Waiting = 1;
        private const int Signalled = 2;

        private int _state;

        /// <summary>From now on somebody waits; false when a signal was there, so that it is worth another look.</summary>
        public bool TryWait()
        {
            if (Interlocked.CompareExchange(ref _state, Waiting, Idle) == Idle)
            {
                return true;
            }

            Volatile.Write(ref _state, Idle);
            return false;
        }

        /// <summary>True when somebody has waited, for whom the caller goes on. Otherwise a signal is remembered.</summary>
        public bool TryTake(bool isSignal = true)
        {
            while (true)
            {
                int state = Volatile.Read(ref _state);
                if (state == Waiting)
                {
                    if (Interlocked.CompareExchange(ref _state, Idle, Waiting) == Waiting)
                    {
                        return true;
                    }
                }
                else if (state == Signalled || !isSignal
                    || Interlocked.CompareExchange(ref _state, Signalled, Idle) == Idle)
                {
                    return false;
                }
            }
        }
    }
}
