using System.Buffers;
using System.Buffers.Binary;
using System.Text;
using Perf.Grpc;

namespace Perf.Fuzz.Targets;

/// <summary>
/// A client's bytes to the HTTP/2 server, over a channel in memory. Whatever comes, what goes out is HTTP/2: whole frames, header
/// blocks that decode, streams that end once, an echo that is what was sent, and no failure that is not the client's.
/// </summary>
internal sealed class Http2Target() : FuzzTarget("http2")
{
    private const string Echo = "/t.S/Echo";
    private const string Chat = "/t.S/Chat";
    private const byte Data = 0;
    private const byte Headers = 1;
    private const byte Reset = 3;
    private const byte SettingsFrame = 4;
    private const byte GoAway = 7;
    private const byte Ack = 1;
    private const byte EndStream = 1;
    private const byte EndHeaders = 4;

    /// <summary>Every message that went back, in its frame.</summary>
    private readonly HashSet<string> _echoed = [];

    private readonly GrpcRouter _router = new();
    private string _trouble = "";
    private bool _hasEntered;

    private GrpcApplication? _application;
    private GrpcServerOptions? _options;

    public override IEnumerable<byte[]> Seeds()
    {
        byte[] message = [0, 0, 0, 0, 3, 1, 2, 3];
        yield return [.. Settings(), .. Call(1, Echo), .. Frame(Data, EndStream, 1, message)];
        yield return
        [
            .. Settings(), .. Call(1, Chat), .. Frame(Data, 0, 1, message), .. Frame(8, 0, 1, [0, 0, 1, 0]),
            .. Frame(Data, 0, 1, [.. message, .. message[..4]]), .. Frame(Data, EndStream, 1, message[4..]),
        ];
        yield return
        [
            .. Settings([0, 4, 0, 0, 0, 2]), .. Call(1, Echo), .. Call(3, Echo), .. Frame(Data, EndStream, 3, message),
            .. Frame(Data, EndStream, 1, message), .. Frame(8, 0, 3, [0, 0, 0, 9]), .. Settings([0, 1, 0, 0, 0, 0]),
            .. Settings([0, 4, 0, 1, 0, 0]), .. Frame(6, 0, 0, [1, 2, 3, 4, 5, 6, 7, 8]), .. Frame(Reset, 0, 1, [0, 0, 0, 8]),
        ];
        byte[] block = Call(5, Echo)[9..];
        yield return
        [
            .. Settings(), .. Frame(Headers, 0x28, 5, [2, 0, 0, 0, 0, 9, .. block[..7], 0, 0]), .. Frame(9, 0, 5, block[7..11]),
            .. Frame(9, EndHeaders, 5, block[11..]), .. Frame(Data, 8, 5, [1, .. message, 0]), .. Frame(2, 0, 5, [0, 0, 0, 0, 1]),
            .. Frame(Headers, EndHeaders | EndStream, 5, [0, 1, (byte)'a', 1, (byte)'b']), .. Frame(0xcc, 3, 0, [1]),
            .. Frame(GoAway, 0, 0, new byte[8]),
        ];
        yield return [.. Settings(), .. Call(1, Echo, "grpc-timeout", "1S"), .. Frame(Data, EndStream, 1, [1, 0, 0, 0, 1, 0])];
    }

    /// <summary>Frames added, dropped, doubled, exchanged and changed within; lengths follow, most of the time.</summary>
    public override byte[] Change(Mutator mutator, IReadOnlyList<byte[]> corpus)
    {
        if (mutator.Chance(10))
        {
            return mutator.Bytes(corpus);
        }

        List<byte[]> frames = Split(corpus[mutator.Below(corpus.Count)]);
        List<byte[]> others = Split(corpus[mutator.Below(corpus.Count)]);
        for (int changes = 1 + mutator.Below(4); changes > 0 && frames.Count > 0; changes--)
        {
            int at = mutator.Below(frames.Count);
            switch (mutator.Below(6))
            {
                case 0 when others.Count > 0:
                    frames.Insert(at, others[mutator.Below(others.Count)]);
                    break;
                case 1:
                    frames.Insert(at, frames[mutator.Below(frames.Count)]);
                    break;
                case 2 when frames.Count > 1:
                    frames.RemoveAt(at);
                    break;
                case 3:
                    byte[] header = [.. frames[at]];
                    header[3 + mutator.Below(6)] = (byte)mutator.Below(mutator.Chance(50) ? 16 : 256);
                    frames[at] = header;
                    break;
                default:
                    byte[] payload = mutator.Bytes([frames[at][9..]]);
                    frames[at] = Frame(frames[at][3], frames[at][4], 0, payload);
                    frames[at][8] = (byte)(1 + (2 * mutator.Below(4)));
                    break;
            }
        }

        return [.. frames.SelectMany(frame => frame)];
    }

    public override void Run(ReadOnlySpan<byte> input)
    {
        Prepare();
        _echoed.Clear();
        _trouble = "";
        _hasEntered = false;
        int piece = input.Length > 0 ? 1 + (input[^1] % 64) : 1;
        foreach (int pieceBytes in (int[])[int.MaxValue, piece])
        {
            var channel = new Channel([.. "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"u8, .. input], pieceBytes);
            var info = new ConnectionInfo(_options!.Endpoints[0], null, null, IsTls: false, ClientCertificate: null);
            var connection = new Http2Connection(channel, info, _application!, _options);

            // Within a batch what is written leaves at its end, by this thread: outside of one it would leave by the pool, or too late.
            OutputBatch.Begin();
            try
            {
                _ = connection.RunAsync();
            }
            finally
            {
                OutputBatch.End();
            }

            byte[] sent = channel.Sent();
            connection.Abort();
            Check(sent);
            Require(_trouble.Length == 0, _trouble);
        }
    }

    private void Prepare()
    {
        if (_application is not null)
        {
            return;
        }

        _router.Map(Echo, MethodKind.Unary, call =>
        {
            Answer(call);
            return default;
        });
        _router.Map(Chat, MethodKind.Duplex, async call =>
        {
            while (await call.ReadMessageAsync())
            {
                Answer(call);
                await call.FlushAsync();
            }
        });
        _options = new GrpcServerOptions
        {
            Endpoints = [new ListenEndpoint { Url = "http://127.0.0.1:1" }],
            ReceiveBytesMax = 1000,
            Trouble = (what, e) => _trouble = what + ": " + e,
        };
        _application = new GrpcApplication(_router, _options);
    }

    private void Answer(ServerCall call)
    {
        byte[] message = call.Message.ToArray();
        call.WriteMessage(message);
        byte[] framed = new byte[5 + message.Length];
        BinaryPrimitives.WriteInt32BigEndian(framed.AsSpan(1), message.Length);
        message.CopyTo(framed, 5);
        _echoed.Add(Convert.ToHexString(framed));
    }

    private void Check(byte[] sent)
    {
        var decoder = new HpackDecoder();
        var bodies = new Dictionary<int, MemoryStream>();
        var ended = new HashSet<int>();
        var whole = new HashSet<int>();
        bool isFirst = true;
        for (int at = 0; at < sent.Length;)
        {
            Require(sent.Length - at >= 9, "half a frame header");
            int length = (sent[at] << 16) | (sent[at + 1] << 8) | sent[at + 2];
            Require(length <= 16 << 10 && sent.Length - at >= 9 + length, "half a frame");
            byte type = sent[at + 3];
            byte flags = sent[at + 4];
            int stream = BinaryPrimitives.ReadInt32BigEndian(sent.AsSpan(at + 5));
            ReadOnlySpan<byte> payload = sent.AsSpan(at + 9, length);
            at += 9 + length;
            Require(!isFirst || type == 4, "the first frame is not SETTINGS");
            isFirst = false;
            if (type == Reset)
            {
                ended.Add(stream);
            }

            if (type == SettingsFrame && flags == Ack)
            {
                // Preface and SETTINGS, which every connection begins with, were good.
                EnterOnce();
            }

            if (type is not (Data or Headers))
            {
                continue;
            }

            Require(!ended.Contains(stream), $"frame {type} behind the end of stream {stream}");
            if (type == Headers)
            {
                var fields = new HeaderFields(1 << 16);
                decoder.Decode(payload, fields);
                Require(fields.Fields.Count > 0, "an empty header block");
                bodies.TryAdd(stream, new MemoryStream());
            }
            else
            {
                Require(bodies.ContainsKey(stream), "DATA before HEADERS");
                bodies[stream].Write(payload);
            }

            if ((flags & EndStream) != 0)
            {
                ended.Add(stream);
                whole.Add(stream);
            }
        }

        foreach (int stream in whole)
        {
            RequireEchoes(bodies[stream].ToArray());
        }
    }

    private void EnterOnce()
    {
        if (!_hasEntered)
        {
            _hasEntered = true;
            Enter();
        }
    }

    private void RequireEchoes(byte[] body)
    {
        for (int at = 0; at < body.Length;)
        {
            Require(body.Length - at >= 5, "half a message");
            int end = at + 5 + BinaryPrimitives.ReadInt32BigEndian(body.AsSpan(at + 1));
            Require(end <= body.Length, "half a message");
            string message = Convert.ToHexString(body.AsSpan(at, end - at));
            bool isMistaken = IsPlanted && end - at > 5 && body[at + 5] > 0x20;
            Require(_echoed.Contains(message) && !isMistaken, $"{message} was never asked for");
            at = end;
        }
    }

    private static List<byte[]> Split(byte[] input)
    {
        var frames = new List<byte[]>();
        for (int at = 0; input.Length - at >= 9;)
        {
            int length = Math.Min((input[at] << 16) | (input[at + 1] << 8) | input[at + 2], input.Length - at - 9);
            frames.Add(input[at..(at + 9 + length)]);
            at += 9 + length;
        }

        return frames;
    }

    private static byte[] Settings(params byte[] settings) => Frame(4, 0, 0, settings);

    private static byte[] Frame(byte type, int flags, int stream, byte[] payload)
    {
        byte[] frame = new byte[9 + payload.Length];
        BinaryPrimitives.WriteInt32BigEndian(frame, (payload.Length << 8) | type);
        frame[4] = (byte)flags;
        BinaryPrimitives.WriteInt32BigEndian(frame.AsSpan(5), stream);
        payload.CopyTo(frame, 9);
        return frame;
    }

    private static byte[] Call(int stream, string path, params string[] more)
    {
        var block = new List<byte> { 0x83, 0x86 };
        string[] fields = [":path", path, "content-type", "application/grpc", "te", "trailers", .. more];
        for (int i = 0; i < fields.Length; i += 2)
        {
            block.Add(0x40);
            foreach (string text in (string[])[fields[i], fields[i + 1]])
            {
                block.Add((byte)text.Length);
                block.AddRange(Encoding.ASCII.GetBytes(text));
            }
        }

        return Frame(Headers, EndHeaders, stream, [.. block]);
    }

    /// <summary>Hands out the input, then nothing more, and keeps what is written. All on one thread.</summary>
    private sealed class Channel(byte[] input, int pieceBytes) : ByteChannel
    {
        private readonly MemoryStream _sent = new();
        private readonly TaskCompletionSource<int> _silence = new();
        private int _at;

        public byte[] Sent()
        {
            lock (_sent)
            {
                return _sent.ToArray();
            }
        }

        public override ValueTask<int> ReadAsync(Memory<byte> buffer)
        {
            int count = Math.Min(Math.Min(input.Length - _at, buffer.Length), pieceBytes);
            if (_at == input.Length)
            {
                return new(_silence.Task);
            }

            input.AsMemory(_at, count).CopyTo(buffer);
            _at += count;
            return new(count);
        }

        public override ValueTask WriteAsync(ReadOnlyMemory<byte> bytes)
        {
            lock (_sent)
            {
                _sent.Write(bytes.Span);
            }

            return default;
        }

        public override ValueTask EndWritingAsync() => default;

        public override ValueTask CloseAsync()
        {
            _silence.TrySetException(new IOException("closed"));
            return default;
        }
    }
}

/// <summary>
/// Header blocks and Huffman texts: refused as broken, or fields that are the same however often the block is read, with a table
/// that stays within its size.
/// </summary>
internal sealed class HpackTarget() : FuzzTarget("hpack")
{
    public override IEnumerable<byte[]> Seeds() =>
    [
        Convert.FromHexString("828684410f7777772e6578616d706c652e636f6d"),
        Convert.FromHexString("828785bf408825a849e95ba97d7f8925a849e95bb8e8b4bf"),
        Convert.FromHexString("3fe10148033330325807707269766174656100"),
        Convert.FromHexString("400a637573746f6d2d6b65790d637573746f6d2d686561646572be"),
        Convert.FromHexString("20821f1089a8eb10649cbf0461626364"),
    ];

    public override void Run(ReadOnlySpan<byte> input)
    {
        RequireEqual(Decode(input), Decode(input), "a block read twice");
        byte[] target = new byte[Huffman.DecodedBytesMax(input.Length)];
        int written = Huffman.Decode(input, target);
        Require(written >= -1 && written <= target.Length, "more bytes than so many codes can stand for");
        if (IsPlanted && written > 4)
        {
            written--;
        }

        if (written >= 0)
        {
            Enter();
            long bits = 0;
            foreach (byte b in target.AsSpan(0, written))
            {
                bits += Huffman.Lengths[b];
            }

            RequireEqual(input.Length, (int)((bits + 7) / 8), "bytes of the codes and their padding");
        }
    }

    private static string Decode(ReadOnlySpan<byte> input)
    {
        var decoder = new HpackDecoder();
        var fields = new HeaderFields(1 << 12);
        try
        {
            decoder.Decode(input, fields);
            decoder.Decode(input, fields);
        }
        catch (Http2Exception e)
        {
            return e.Error + string.Join(';', fields.Fields);
        }

        return string.Join(';', fields.Fields);
    }
}
