using System.Buffers.Binary;

namespace Perf.Grpc;

// Streams and windows. All of it with the gate held, unless it says otherwise.
internal sealed partial class Http2Connection
{
    private const int WindowBytesDefault = 65535;

    /// <summary>Streams kept for the next calls.</summary>
    private const int SpareStreamsMax = 4096;

    private readonly Dictionary<int, Http2Stream> _streams = [];
    private readonly Stack<Http2Stream> _spare = new();
    private readonly Queue<Http2Stream> _queue = new();
    private long _sendWindow = WindowBytesDefault;
    private long _initialWindow = WindowBytesDefault;
    private int _receiveWindow;
    private int _uncredited;
    private bool _hasAnswered;

    void IOutputOwner.HasRoom() => PumpQueued();

    /// <summary>
    /// Frames what the stream has to send, as far as both windows and the output have room, and its end behind the last of it.
    /// </summary>
    public void Pump(Http2Stream stream)
    {
        if (stream.IsReset || stream.ResponseEnded)
        {
            return;
        }

        int sent = 0;
        while (stream.Unsent.Length > 0)
        {
            int length = (int)Math.Min(
                Math.Min(stream.Unsent.Length, FrameBytesMax),
                Math.Min(Math.Min(stream.SendWindow, _sendWindow), Output.DataRoom));
            if (length <= 0)
            {
                break;
            }

            if (sent == 0)
            {
                stream.User.WriteHeaders(Output);
            }

            stream.Unsent[..length].CopyTo(Output.Frame(FrameType.Data, 0, stream.Id, length));
            stream.Framed(length);
            stream.SendWindow -= length;
            _sendWindow -= length;
            sent += length;
        }

        if (sent > 0)
        {
            _hasAnswered = true;
            stream.User.OnSent();
        }

        if (stream.Unsent.Length > 0)
        {
            // For its own window it is its own WINDOW_UPDATE that it waits for.
            if (stream.SendWindow > 0 && !stream.IsQueued)
            {
                stream.IsQueued = true;
                _queue.Enqueue(stream);
            }
        }
        else if (stream.EndWanted)
        {
            stream.User.WriteEnd(Output);
            stream.ResponseEnded = true;
            _hasAnswered = true;
            if (!stream.RequestEnded)
            {
                // Answered before all was asked: nothing more is read (as grpc-go does it).
                Output.ResetStream(stream.Id, Http2Error.None);
            }
        }
    }

    /// <summary>Headers or data go out: whoever is being answered may ping.</summary>
    public void NoteAnswer() => _hasAnswered = true;

    /// <summary>Gives received bytes back to the client's window, when they are worth a frame.</summary>
    public void Credit(Http2Stream stream, int bytes)
    {
        // What is credited later is told with what is credited then.
        int window = _options.StreamWindowBytes;
        if (stream.RequestEnded || bytes <= 0)
        {
            return;
        }

        stream.Creditable += bytes;
        stream.Uncredited -= bytes;
        if (stream.Creditable >= window / 2)
        {
            Output.WindowUpdate(stream.Id, stream.Creditable);
            stream.ReceiveWindow += stream.Creditable;
            stream.Creditable = 0;
            Output.FlushSoon();
        }
    }

    /// <summary>Lets go of the stream when nothing more comes, goes or runs.</summary>
    public void ReleaseIfOver(Http2Stream stream)
    {
        if (stream.Id == 0 || !(stream.ResponseEnded || stream.IsReset))
        {
            return;
        }

        // For the client it is over; what still runs here is our affair.
        _streams.Remove(stream.Id);
        if (stream.User.IsDone)
        {
            bool isReusable = stream.User.TryRecycle();
            stream.Close();
            if (isReusable && !stream.IsQueued && _spare.Count < SpareStreamsMax)
            {
                _spare.Push(stream);
            }
        }

        CloseIfLeft();
    }

    private void Open(int id, RequestHeaders headers, bool ends, ReadyBatch batch)
    {
        if (!_spare.TryPop(out Http2Stream? stream) && !_application.SpareStreams.TryTake(this, out stream))
        {
            stream = new Http2Stream(this);
        }

        IStreamUser user = headers.IsGrpc
            ? stream.Call ??= new Http2Call(_application, stream)
            : new FallbackRequest(_application, stream);
        stream.Open(id, user, headers, _initialWindow, _options.StreamWindowBytes);
        stream.RequestEnded = ends;
        _streams.Add(id, stream);
        user.OnOpen(batch);
    }

    /// <summary>Ends a stream that has broken a rule.</summary>
    public void Reset(Http2Stream stream, Http2Error error, ReadyBatch? batch)
    {
        Output.ResetStream(stream.Id, error);
        Forget(stream, batch);
    }

    /// <summary>Ends a stream without a word.</summary>
    private void Forget(Http2Stream stream, ReadyBatch? batch)
    {
        stream.IsReset = true;
        stream.User.OnReset(batch);
        ReleaseIfOver(stream);
    }

    private void ResetAll()
    {
        foreach (Http2Stream stream in _streams.Values.ToArray())
        {
            Forget(stream, batch: null);
        }
    }

    private void CloseIfLeft()
    {
        if (_isLeaving && !_isClosing && _streams.Count == 0)
        {
            _isClosing = true;
            Output.EndWhenSent();
        }
    }

    private void PumpAll()
    {
        foreach (Http2Stream stream in _streams.Values.ToArray())
        {
            Pump(stream);
            ReleaseIfOver(stream);
        }
    }

    /// <summary>One turn for each of those that wait for room.</summary>
    private void PumpQueued()
    {
        for (int turns = _queue.Count; turns > 0 && _sendWindow > 0 && Output.DataRoom > 0; turns--)
        {
            Http2Stream stream = _queue.Dequeue();
            stream.IsQueued = false;
            if (stream.Id != 0)
            {
                Pump(stream);
                ReleaseIfOver(stream);
            }
        }
    }

    private void ChangeWindows(long initial)
    {
        long change = initial - _initialWindow;
        _initialWindow = initial;
        foreach (Http2Stream stream in _streams.Values)
        {
            stream.SendWindow += change;
            if (stream.SendWindow > int.MaxValue)
            {
                throw new Http2Exception(Http2Error.FlowControl, "a window above the largest");
            }
        }
    }

    private void TakeFromConnection(int bytes)
    {
        _receiveWindow -= bytes;
        if (_receiveWindow < 0)
        {
            throw new Http2Exception(Http2Error.FlowControl, "more data than the connection's window allows");
        }

        // At once: what a slow handler holds back is its stream's, and others must go on.
        _uncredited += bytes;
        if (_uncredited >= _options.ConnectionWindowBytes / 2)
        {
            Output.WindowUpdate(0, _uncredited);
            _receiveWindow += _uncredited;
            _uncredited = 0;
        }
    }

    private void SendSettings()
    {
        const int MaxConcurrentStreams = 3;
        const int InitialWindowSize = 4;
        const int MaxHeaderListSize = 6;
        Span<(int Name, uint Value)> settings =
        [
            (InitialWindowSize, (uint)_options.StreamWindowBytes),
            (MaxHeaderListSize, (uint)_options.HeaderBytesMax),
            (MaxConcurrentStreams, _options.StreamsPerConnectionMax),
        ];
        if (_options.StreamsPerConnectionMax == uint.MaxValue)
        {
            settings = settings[..2];
        }

        Span<byte> payload = Output.Frame(FrameType.Settings, 0, 0, settings.Length * 6);
        foreach ((int name, uint value) in settings)
        {
            BinaryPrimitives.WriteUInt16BigEndian(payload, (ushort)name);
            BinaryPrimitives.WriteUInt32BigEndian(payload[2..], value);
            payload = payload[6..];
        }

        _receiveWindow = Math.Max(WindowBytesDefault, _options.ConnectionWindowBytes);
        if (_receiveWindow > WindowBytesDefault)
        {
            Output.WindowUpdate(0, _receiveWindow - WindowBytesDefault);
        }
    }
}
