using System.Buffers;
using System.Buffers.Binary;
using System.IO.Pipelines;
using System.Runtime.CompilerServices;
using System.Threading.Tasks.Sources;
using Microsoft.AspNetCore.Connections;

namespace Perf.Grpc;

/// <summary>
/// Watches the frames of one HTTP/2 connection on their way to Kestrel, which answers every ping and counts no frame that does
/// nothing. A client that pings more often than it may, by grpc-go's rules, or floods, is sent away: GOAWAY ENHANCE_YOUR_CALM, then
/// the end of the connection.
/// </summary>
/// <remarks>
/// The reader and the writer of a connection are each used by one thread at a time. They share _verdict, written by the reader
/// before Kestrel sees the frame that caused it, and _answered.
/// </remarks>
internal sealed class FrameGuard : IDuplexPipe
{
    private const int FrameHeaderBytes = 9;
    private const int PingStrikesMax = 2;

    private const long WindowMillis = 1000;

    private static readonly TimeSpan PingWithoutCallsMin = TimeSpan.FromHours(2);

    private readonly long _minMillis;
    private readonly bool _permitWithoutStream;
    private int _calls;
    private int _answered;

    private long _lastPingAt = long.MinValue / 2;
    private int _pingStrikes;
    private Budget _emptyFrames;
    private Budget _resets;
    private volatile string? _verdict;
    private bool _sentAway;

    private FrameGuard(IDuplexPipe inner, GrpcServerOptions options)
    {
        _minMillis = (long)options.KeepAliveMinTime.TotalMilliseconds;
        _emptyFrames = new Budget(options.EmptyFramesPerSecondMax);
        _resets = new Budget(options.ResetsPerSecondMax);
        _permitWithoutStream = options.KeepAlivePermitWithoutStream;
        Input = new Reader(this, inner.Input);
        Output = new Writer(this, inner.Output);
    }

    public PipeReader Input { get; }

    public PipeWriter Output { get; }

    public static void Install(ConnectionContext connection, GrpcServerOptions options)
    {
        var guard = new FrameGuard(connection.Transport, options);
        connection.Transport = guard;
        connection.Features.Set(guard);
    }

    public void CallBegan() => Interlocked.Increment(ref _calls);

    public void CallEnded() => Interlocked.Decrement(ref _calls);

    /// <summary>Something goes out to the client, small perhaps: whoever is being answered may ping.</summary>
    public void Answering() => Volatile.Write(ref _answered, 1);

    private void OnFrame(ReadOnlySpan<byte> header)
    {
        int length = (header[0] << 16) | (header[1] << 8) | header[2];
        byte type = header[3];
        bool flag = (header[4] & 1) != 0;
        switch (type)
        {
            case 0x6 when !flag:
                OnPing(Environment.TickCount64);
                break;
            case 0x3:
                if (!_resets.TrySpend(Environment.TickCount64))
                {
                    _verdict = "too_many_resets";
                }

                break;
            case 0x0 when length == 0 && !flag:
            case 0x2:
            case 0x4 when !flag:
            case 0x9 when length == 0:
            case > 0x9:
                if (!_emptyFrames.TrySpend(Environment.TickCount64))
                {
                    _verdict = "too_many_empty_frames";
                }

                break;
        }
    }

    private void OnPing(long now)
    {
        long last = _lastPingAt;
        _lastPingAt = now;
        if (Interlocked.Exchange(ref _answered, 0) == 1)
        {
            _pingStrikes = 0;
            return;
        }

        bool idle = Volatile.Read(ref _calls) == 0 && !_permitWithoutStream;
        long apart = idle ? (long)PingWithoutCallsMin.TotalMilliseconds : _minMillis;
        if (_minMillis > 0 && now - last < apart && ++_pingStrikes > PingStrikesMax)
        {
            _verdict = "too_many_pings";
        }
    }

    /// <summary>So many in a second.</summary>
    private struct Budget(int max)
    {
        private long _windowStart;
        private int _spent;

        public bool TrySpend(long now)
        {
            if (now - _windowStart > WindowMillis)
            {
                _windowStart = now;
                _spent = 0;
            }

            return ++_spent <= max;
        }
    }

    /// <summary>Passes everything on, and reads the frame headers in it.</summary>
    private sealed class Reader : PipeReader, IValueTaskSource<ReadResult>
    {
        private readonly FrameGuard _guard;
        private readonly PipeReader _inner;

        // One read is under way at most: its completion needs no allocation.
        private readonly Action _onRead;
        private ManualResetValueTaskSourceCore<ReadResult> _source;
        private ConfiguredValueTaskAwaitable<ReadResult>.ConfiguredValueTaskAwaiter _awaiter;

        private readonly byte[] _header = new byte[FrameHeaderBytes];
        private ReadOnlySequence<byte> _buffer;
        private int _headerBytes;
        private ReadResult _pending;
        private long _seenAhead;
        private long _skip = Preface.Bytes.Length;

        public Reader(FrameGuard guard, PipeReader inner)
        {
            _guard = guard;
            _inner = inner;
            _onRead = OnRead;
        }

        public override ValueTask<ReadResult> ReadAsync(CancellationToken cancellationToken = default)
        {
            if (_guard._verdict is not null && !_inner.TryRead(out _pending))
            {
                // Nothing is left of what was read before the verdict, and nothing more is waited for.
                return new(new ReadResult(default, isCanceled: false, isCompleted: true));
            }

            ValueTask<ReadResult> read = _guard._verdict is null ? _inner.ReadAsync(cancellationToken) : new(_pending);
            if (read.IsCompletedSuccessfully)
            {
                return new(Look(read.Result));
            }

            _source.Reset();
            _awaiter = read.ConfigureAwait(false).GetAwaiter();
            _awaiter.UnsafeOnCompleted(_onRead);
            return new(this, _source.Version);
        }

        public override bool TryRead(out ReadResult result)
        {
            if (!_inner.TryRead(out result))
            {
                return false;
            }

            result = Look(result);
            return true;
        }

        public override void AdvanceTo(SequencePosition consumed) => AdvanceTo(consumed, consumed);

        public override void AdvanceTo(SequencePosition consumed, SequencePosition examined)
        {
            _seenAhead = _buffer.Slice(consumed).Length;
            _buffer = default;
            _inner.AdvanceTo(consumed, examined);
        }

        public override void CancelPendingRead() => _inner.CancelPendingRead();

        public override void Complete(Exception? exception = null) => _inner.Complete(exception);

        public override ValueTask CompleteAsync(Exception? exception = null) => _inner.CompleteAsync(exception);

        ReadResult IValueTaskSource<ReadResult>.GetResult(short token) => _source.GetResult(token);

        ValueTaskSourceStatus IValueTaskSource<ReadResult>.GetStatus(short token) => _source.GetStatus(token);

        void IValueTaskSource<ReadResult>.OnCompleted(
            Action<object?> continuation, object? state, short token, ValueTaskSourceOnCompletedFlags flags) =>
            _source.OnCompleted(continuation, state, token, flags);

        private void OnRead()
        {
            ReadResult result;
            try
            {
                result = Look(_awaiter.GetResult());
            }
            catch (Exception e)
            {
                _source.SetException(e);
                return;
            }

            _source.SetResult(result);
        }

        private ReadResult Look(in ReadResult result)
        {
            _buffer = result.Buffer;
            Scan(_buffer.Slice(_seenAhead));

            // Once judged, this is the end of what Kestrel gets to read. It says farewell, and that flush carries our reason.
            return _guard._verdict is not null ? new ReadResult(result.Buffer, result.IsCanceled, isCompleted: true) : result;
        }

        private void Scan(in ReadOnlySequence<byte> bytes)
        {
            foreach (ReadOnlyMemory<byte> memory in bytes)
            {
                ReadOnlySpan<byte> span = memory.Span;
                while (!span.IsEmpty)
                {
                    if (_skip > 0)
                    {
                        int skipped = (int)Math.Min(_skip, span.Length);
                        _skip -= skipped;
                        span = span[skipped..];
                        continue;
                    }

                    if (_headerBytes == 0 && span.Length >= FrameHeaderBytes)
                    {
                        Enter(span[..FrameHeaderBytes]);
                        span = span[FrameHeaderBytes..];
                        continue;
                    }

                    int taken = Math.Min(FrameHeaderBytes - _headerBytes, span.Length);
                    span[..taken].CopyTo(_header.AsSpan(_headerBytes));
                    _headerBytes += taken;
                    span = span[taken..];
                    if (_headerBytes == FrameHeaderBytes)
                    {
                        _headerBytes = 0;
                        Enter(_header);
                    }
                }
            }
        }

        private void Enter(ReadOnlySpan<byte> header)
        {
            _skip = (header[0] << 16) | (header[1] << 8) | header[2];
            _guard.OnFrame(header);
        }
    }

    /// <summary>
    /// Passes everything on. Kestrel flushes at the end of frames, so a flush is the place to put one of our own behind them; the
    /// answer to the offending ping brings one.
    /// </summary>
    private sealed class Writer(FrameGuard guard, PipeWriter inner) : PipeWriter
    {
        // Two answered pings. More than that in one flush is headers or data, part of a large answer perhaps.
        private const int ControlBytesMax = 34;

        private int _bytes;

        public override bool CanGetUnflushedBytes => inner.CanGetUnflushedBytes;

        public override long UnflushedBytes => inner.UnflushedBytes;

        public override void Advance(int bytes)
        {
            _bytes += bytes;
            inner.Advance(bytes);
        }

        public override Memory<byte> GetMemory(int sizeHint = 0) => inner.GetMemory(sizeHint);

        public override Span<byte> GetSpan(int sizeHint = 0) => inner.GetSpan(sizeHint);

        public override void CancelPendingFlush() => inner.CancelPendingFlush();

        public override void Complete(Exception? exception = null) => inner.Complete(exception);

        public override ValueTask CompleteAsync(Exception? exception = null) => inner.CompleteAsync(exception);

        public override ValueTask<FlushResult> FlushAsync(CancellationToken cancellationToken = default)
        {
            if (guard._verdict is { } reason && !guard._sentAway)
            {
                SendAway(reason);
            }

            if (_bytes > ControlBytesMax)
            {
                guard.Answering();
            }

            _bytes = 0;
            return inner.FlushAsync(cancellationToken);
        }

        private void SendAway(string reason)
        {
            const int FixedBytes = 8;
            const byte GoAway = 7;
            const int StreamIdMax = int.MaxValue;
            const int EnhanceYourCalm = 0xb;
            Span<byte> frame = inner.GetSpan(FrameHeaderBytes + FixedBytes + reason.Length);
            frame[..FrameHeaderBytes].Clear();
            frame[2] = (byte)(FixedBytes + reason.Length);
            frame[3] = GoAway;
            BinaryPrimitives.WriteInt32BigEndian(frame[FrameHeaderBytes..], StreamIdMax);
            BinaryPrimitives.WriteInt32BigEndian(frame[(FrameHeaderBytes + 4)..], EnhanceYourCalm);
            System.Text.Encoding.ASCII.GetBytes(reason, frame[(FrameHeaderBytes + FixedBytes)..]);
            inner.Advance(FrameHeaderBytes + FixedBytes + reason.Length);
            guard._sentAway = true;
        }
    }
}
