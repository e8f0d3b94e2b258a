using System.Buffers.Binary;

namespace Perf.Grpc;

// What frames mean. The reading thread's, except where the gate is taken.
internal sealed partial class Http2Connection
{
    /// <summary>The size that HTTP/2 lets every peer send, and no larger one is asked for.</summary>
    private const int FrameBytesMax = 16 << 10;

    private const byte Padded = 8;
    private const byte HasPriority = 0x20;

    private readonly FloodGuard _guard;
    private readonly HpackDecoder _decoder = new();
    private readonly RecentHeaders _recent = new();
    private readonly HeaderFields _fields;

    private bool _prefaceSeen;
    private bool _settingsSeen;

    // A header block that goes on in CONTINUATION frames.
    private readonly MemoryStream _block = new();
    private int _blockStream;
    private byte _blockFlags;

    // Guarded by the gate; both only written by the reading thread.
    private int _lastStream;
    private bool _isLeaving;

    private static Http2Exception Broken(string what) => new(Http2Error.Protocol, what);

    /// <summary>Bytes of the preface, once it is whole.</summary>
    private int TakePreface()
    {
        if (_prefaceSeen)
        {
            return 0;
        }

        ReadOnlySpan<byte> seen = _buffer.AsSpan(0, Math.Min(_filled, Preface.Bytes.Length));
        if (!Preface.Bytes.StartsWith(seen))
        {
            throw Broken("the connection does not begin with HTTP/2's preface");
        }

        _prefaceSeen = seen.Length == Preface.Bytes.Length;
        return _prefaceSeen ? seen.Length : 0;
    }

    /// <summary>Takes one frame, if it is whole.</summary>
    private bool TryFrame(ReadOnlySpan<byte> bytes, ReadyBatch batch, out int taken)
    {
        taken = 0;
        if (bytes.Length < Http2Output.FrameHeaderBytes)
        {
            return false;
        }

        int length = (bytes[0] << 16) | (bytes[1] << 8) | bytes[2];
        if (length > FrameBytesMax)
        {
            throw new Http2Exception(Http2Error.FrameSize, $"a frame of {length} bytes, above {FrameBytesMax}");
        }

        if (bytes.Length < Http2Output.FrameHeaderBytes + length)
        {
            return false;
        }

        var type = (FrameType)bytes[3];
        byte flags = bytes[4];
        int stream = BinaryPrimitives.ReadInt32BigEndian(bytes[5..]) & int.MaxValue;
        taken = Http2Output.FrameHeaderBytes + length;
        OnFrame(type, flags, stream, bytes.Slice(Http2Output.FrameHeaderBytes, length), batch);
        return true;
    }

    private void OnFrame(FrameType type, byte flags, int stream, ReadOnlySpan<byte> payload, ReadyBatch batch)
    {
        if (!_settingsSeen && type != FrameType.Settings)
        {
            throw Broken("the first frame is not SETTINGS");
        }

        if (_blockStream != 0 && (type != FrameType.Continuation || stream != _blockStream))
        {
            throw Broken("a header block is interrupted");
        }

        switch (type)
        {
            case FrameType.Data:
                OnData(flags, stream, payload, batch);
                break;
            case FrameType.Headers:
                OnHeaders(flags, stream, payload, batch);
                break;
            case FrameType.Priority:
                _guard.OnEmptyFrame();
                Demand(payload.Length == 5, Http2Error.FrameSize, "PRIORITY");
                Demand(stream != 0, Http2Error.Protocol, "PRIORITY");
                break;
            case FrameType.ResetStream:
                OnResetStream(stream, payload, batch);
                break;
            case FrameType.Settings:
                OnSettings(flags, stream, payload);
                break;
            case FrameType.PushPromise:
                throw Broken("PUSH_PROMISE from a client");
            case FrameType.Ping:
                OnPing(flags, stream, payload);
                break;
            case FrameType.GoAway:
                Demand(stream == 0, Http2Error.Protocol, "GOAWAY");
                Demand(payload.Length >= 8, Http2Error.FrameSize, "GOAWAY");
                _guard.OnEmptyFrame();
                break;
            case FrameType.WindowUpdate:
                OnWindowUpdate(stream, payload);
                break;
            case FrameType.Continuation:
                OnContinuation(flags, stream, payload, batch);
                break;
            default:
                _guard.OnEmptyFrame();
                break;
        }
    }

    private static void Demand(bool holds, Http2Error error, string frame)
    {
        if (!holds)
        {
            throw new Http2Exception(error, $"{frame} of a wrong size or stream");
        }
    }

    private static ReadOnlySpan<byte> Unpad(byte flags, ReadOnlySpan<byte> payload)
    {
        if ((flags & Padded) == 0)
        {
            return payload;
        }

        if (payload.IsEmpty || payload[0] >= payload.Length)
        {
            throw Broken("padding longer than its frame");
        }

        return payload[1..^payload[0]];
    }

    private void OnData(byte flags, int id, ReadOnlySpan<byte> payload, ReadyBatch batch)
    {
        Demand(id != 0, Http2Error.Protocol, "DATA");
        ReadOnlySpan<byte> body = Unpad(flags, payload);
        bool ends = (flags & Http2Output.EndStream) != 0;
        if (body.IsEmpty && !ends)
        {
            _guard.OnEmptyFrame();
        }

        lock (Gate)
        {
            TakeFromConnection(payload.Length);
            if (!_streams.TryGetValue(id, out Http2Stream? stream))
            {
                // On its way when we ended the stream; another answer to it would only confuse the client.
                Demand(id <= _lastStream || _isLeaving, Http2Error.Protocol, "DATA");
                return;
            }

            if (stream.RequestEnded)
            {
                Reset(stream, Http2Error.StreamClosed, batch);
                return;
            }

            stream.ReceiveWindow -= payload.Length;
            stream.Uncredited += payload.Length;
            if (stream.ReceiveWindow < 0)
            {
                Reset(stream, Http2Error.FlowControl, batch);
                return;
            }

            stream.Receive(body);
            stream.RequestEnded = ends;
            long announced = stream.Headers.ContentLength;
            if (announced >= 0 && (stream.BodyBytes > announced || (ends && stream.BodyBytes < announced)))
            {
                Reset(stream, Http2Error.Protocol, batch);
                return;
            }

            stream.User.OnBody(batch);
            ReleaseIfOver(stream);
        }
    }

    private void OnHeaders(byte flags, int id, ReadOnlySpan<byte> payload, ReadyBatch batch)
    {
        Demand((id & 1) == 1, Http2Error.Protocol, "HEADERS");
        payload = Unpad(flags, payload);
        if ((flags & HasPriority) != 0)
        {
            Demand(payload.Length >= 5, Http2Error.FrameSize, "HEADERS");
            payload = payload[5..];
        }

        if ((flags & Http2Output.EndHeaders) != 0)
        {
            OnBlock(flags, id, payload, batch);
            return;
        }

        _blockStream = id;
        _blockFlags = flags;
        _block.SetLength(0);
        _block.Write(payload);
    }

    private void OnContinuation(byte flags, int id, ReadOnlySpan<byte> payload, ReadyBatch batch)
    {
        if (_blockStream == 0)
        {
            throw Broken("CONTINUATION of nothing");
        }

        if (payload.IsEmpty)
        {
            _guard.OnEmptyFrame();
        }

        _block.Write(payload);
        if (_block.Length > 2L * _options.HeaderBytesMax)
        {
            throw new Http2Exception(Http2Error.EnhanceYourCalm, "a header block without an end");
        }

        if ((flags & Http2Output.EndHeaders) != 0)
        {
            _blockStream = 0;
            OnBlock(_blockFlags, id, _block.GetBuffer().AsSpan(0, (int)_block.Length), batch);
        }
    }

    /// <summary>A whole header block: a request, or the trailers of one.</summary>
    private void OnBlock(byte flags, int id, ReadOnlySpan<byte> block, ReadyBatch batch)
    {
        // Only requests repeat themselves; trailers are told from them by their stream.
        bool isRequest = id > _lastStream;
        RequestHeaders? headers = isRequest ? _recent.Find(block, _decoder.Version) : null;
        if (headers is null)
        {
            // Decoded in any case: the table must keep up.
            int version = _decoder.Version;
            _fields.Clear();
            _decoder.Decode(block, _fields);
            headers = _fields.IsTooLarge || !isRequest ? null : RequestHeaders.TryMake(_fields.Fields, _application.Router);
            if (headers is not null && _decoder.Version == version)
            {
                _recent.Keep(block, version, headers);
            }
        }

        bool ends = (flags & Http2Output.EndStream) != 0;
        lock (Gate)
        {
            if (!isRequest)
            {
                OnTrailers(id, ends, batch);
                return;
            }

            if (_isLeaving || _isClosing)
            {
                // Behind the last stream that the GOAWAY names: the client asks again elsewhere.
                return;
            }

            _lastStream = id;
            if (headers is null)
            {
                _guard.OnReset();
                Output.ResetStream(id, _fields.IsTooLarge ? Http2Error.EnhanceYourCalm : Http2Error.Protocol);
                return;
            }

            if ((uint)_streams.Count >= _options.StreamsPerConnectionMax)
            {
                _guard.OnReset();
                Output.ResetStream(id, Http2Error.RefusedStream);
                return;
            }

            Open(id, headers, ends, batch);
        }
    }

    private void OnTrailers(int id, bool ends, ReadyBatch batch)
    {
        if (!_streams.TryGetValue(id, out Http2Stream? stream))
        {
            // On its way when we ended the stream.
            _guard.OnEmptyFrame();
            return;
        }

        if (stream.RequestEnded)
        {
            Reset(stream, Http2Error.StreamClosed, batch);
        }
        else if (!ends || _fields.IsTooLarge || !RequestHeaders.AreTrailers(_fields.Fields)
            || (stream.Headers.ContentLength >= 0 && stream.BodyBytes != stream.Headers.ContentLength))
        {
            Reset(stream, Http2Error.Protocol, batch);
        }
        else
        {
            stream.RequestEnded = true;
            stream.User.OnBody(batch);
            ReleaseIfOver(stream);
        }
    }

    private void OnResetStream(int id, ReadOnlySpan<byte> payload, ReadyBatch batch)
    {
        Demand(payload.Length == 4, Http2Error.FrameSize, "RST_STREAM");
        lock (Gate)
        {
            Demand(id != 0 && (id <= _lastStream || _isLeaving), Http2Error.Protocol, "RST_STREAM");
            if (_streams.TryGetValue(id, out Http2Stream? stream))
            {
                Forget(stream, batch);
            }
        }

        _guard.OnReset();
    }

    private void OnSettings(byte flags, int id, ReadOnlySpan<byte> payload)
    {
        Demand(id == 0, Http2Error.Protocol, "SETTINGS");
        if ((flags & Http2Output.Ack) != 0)
        {
            Demand(payload.IsEmpty && _settingsSeen, Http2Error.FrameSize, "SETTINGS");
            return;
        }

        Demand(payload.Length % 6 == 0, Http2Error.FrameSize, "SETTINGS");
        _guard.OnEmptyFrame();
        _settingsSeen = true;
        lock (Gate)
        {
            for (; !payload.IsEmpty; payload = payload[6..])
            {
                OnSetting(BinaryPrimitives.ReadUInt16BigEndian(payload), BinaryPrimitives.ReadUInt32BigEndian(payload[2..]));
            }

            Output.Frame(FrameType.Settings, Http2Output.Ack, 0, 0);
            PumpAll();
        }
    }

    private void OnSetting(int name, uint value)
    {
        const int HeaderTableSize = 1;
        const int EnablePush = 2;
        const int InitialWindowSize = 4;
        const int MaxFrameSize = 5;
        switch (name)
        {
            case HeaderTableSize:
                Output.ChangeTable(value);
                break;
            case EnablePush when value > 1:
                throw Broken("SETTINGS_ENABLE_PUSH that is neither 0 nor 1");
            case InitialWindowSize:
                if (value > int.MaxValue)
                {
                    throw new Http2Exception(Http2Error.FlowControl, "SETTINGS_INITIAL_WINDOW_SIZE above the largest window");
                }

                ChangeWindows(value);
                break;
            case MaxFrameSize when value is < (16 << 10) or > 0xffffff:
                throw Broken("SETTINGS_MAX_FRAME_SIZE out of its range");
        }
    }

    private void OnPing(byte flags, int id, ReadOnlySpan<byte> payload)
    {
        Demand(id == 0, Http2Error.Protocol, "PING");
        Demand(payload.Length == 8, Http2Error.FrameSize, "PING");
        if ((flags & Http2Output.Ack) != 0)
        {
            return;
        }

        lock (Gate)
        {
            _guard.OnPing(_hasAnswered, _streams.Count > 0);
            _hasAnswered = false;
            payload.CopyTo(Output.Frame(FrameType.Ping, Http2Output.Ack, 0, payload.Length));
        }
    }

    private void OnWindowUpdate(int id, ReadOnlySpan<byte> payload)
    {
        Demand(payload.Length == 4, Http2Error.FrameSize, "WINDOW_UPDATE");
        int increment = BinaryPrimitives.ReadInt32BigEndian(payload) & int.MaxValue;
        lock (Gate)
        {
            if (id == 0)
            {
                Demand(increment > 0, Http2Error.Protocol, "WINDOW_UPDATE");
                if ((_sendWindow += increment) > int.MaxValue)
                {
                    throw new Http2Exception(Http2Error.FlowControl, "a window above the largest");
                }

                PumpQueued();
                return;
            }

            Demand(id <= _lastStream || _isLeaving, Http2Error.Protocol, "WINDOW_UPDATE");
            if (!_streams.TryGetValue(id, out Http2Stream? stream))
            {
                return;
            }

            if (increment == 0 || (stream.SendWindow += increment) > int.MaxValue)
            {
                Reset(stream, increment == 0 ? Http2Error.Protocol : Http2Error.FlowControl, batch: null);
                return;
            }

            Pump(stream);
            ReleaseIfOver(stream);
        }
    }
}
