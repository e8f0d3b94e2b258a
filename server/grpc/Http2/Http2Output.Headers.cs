namespace Perf.Grpc;

// Header blocks. All of it with the gate held: blocks must leave in the order in which they were made.
internal sealed partial class Http2Output
{
    private const int BlockBytesUsual = 64;

    // Positions in HPACK's dynamic table are counted back from its newest entry; ours are at most these two.
    private const int FirstDynamicIndex = 62;
    private const int TableBytesWanted = 256;
    private const int TableBytesDefault = 4096;

    private int _tableBytes = TableBytesDefault;
    private bool _tableChanged;
    private int _inserted;
    private int _contentTypeAt;
    private int _statusAt;

    /// <summary>The headers of a gRPC answer.</summary>
    public void GrpcHeaders(int stream, int httpStatus, Metadata? more)
    {
        Span<byte> start = stackalloc byte[BlockBytesUsual];
        var block = new HeaderBlock(start);
        BeginBlock(ref block);
        block.Status(httpStatus);
        ContentType(ref block);
        Add(ref block, more);
        Headers(stream, ref block, 0);
    }

    /// <summary>Headers and status in one: an answer without messages.</summary>
    public void GrpcTrailersOnly(int stream, int httpStatus, Metadata? headers, in StatusFields status)
    {
        Span<byte> start = stackalloc byte[BlockBytesUsual];
        var block = new HeaderBlock(start);
        BeginBlock(ref block);
        block.Status(httpStatus);
        ContentType(ref block);
        Add(ref block, headers);
        Status(ref block, status);
        Headers(stream, ref block, EndStream);
    }

    /// <summary>The status behind the messages.</summary>
    public void GrpcTrailers(int stream, in StatusFields status)
    {
        Span<byte> start = stackalloc byte[BlockBytesUsual];
        var block = new HeaderBlock(start);
        BeginBlock(ref block);
        Status(ref block, status);
        Headers(stream, ref block, EndStream);
    }

    /// <summary>Headers of any answer.</summary>
    public void HttpHeaders(int stream, int httpStatus, IEnumerable<KeyValuePair<string, string>> fields, bool endStream)
    {
        Span<byte> start = stackalloc byte[BlockBytesUsual];
        var block = new HeaderBlock(start);
        BeginBlock(ref block);
        block.Status(httpStatus);
        foreach ((string name, string value) in fields)
        {
            block.Literal(name, value);
        }

        Headers(stream, ref block, endStream ? EndStream : (byte)0);
    }

    /// <summary>The peer's SETTINGS_HEADER_TABLE_SIZE.</summary>
    public void ChangeTable(uint bytes)
    {
        if (bytes >= _tableBytes)
        {
            return;
        }

        _tableBytes = (int)bytes;
        _tableChanged = true;
        _inserted = 0;
        _contentTypeAt = 0;
        _statusAt = 0;
    }

    private static void Add(ref HeaderBlock block, Metadata? more)
    {
        if (more is not null)
        {
            foreach ((string name, string value) in more)
            {
                block.Literal(name, value);
            }
        }
    }

    private void BeginBlock(ref HeaderBlock block)
    {
        if (_tableChanged)
        {
            // Everything out, then the size that the peer allows, of which nothing more than that is used.
            _tableChanged = false;
            block.TableSize(0);
            block.TableSize(_tableBytes);
        }
    }

    private void ContentType(ref HeaderBlock block)
    {
        if (_contentTypeAt > 0)
        {
            block.Indexed(FirstDynamicIndex + _inserted - _contentTypeAt);
            return;
        }

        const int ContentTypeIndex = 31;
        bool insert = _tableBytes >= TableBytesWanted;
        block.LiteralOf(ContentTypeIndex, "application/grpc", insert);
        if (insert)
        {
            _contentTypeAt = ++_inserted;
        }
    }

    private void Status(ref HeaderBlock block, in StatusFields status)
    {
        if (status.Code != StatusCode.OK)
        {
            block.Literal("grpc-status", status.CodeText);
            if (status.Message.Length > 0)
            {
                block.Literal("grpc-message", WireText.EncodeMessage(status.Message));
            }
        }
        else if (_statusAt > 0)
        {
            block.Indexed(FirstDynamicIndex + _inserted - _statusAt);
        }
        else
        {
            bool insert = _tableBytes >= TableBytesWanted;
            block.Literal("grpc-status", "0", insert);
            if (insert)
            {
                _statusAt = ++_inserted;
            }
        }

        Add(ref block, status.Trailers);
    }

    private void Headers(int stream, ref HeaderBlock block, byte flags)
    {
        // Longer blocks go on in further frames; every peer takes frames of this size.
        const int FrameBytesMax = 16 << 10;
        ReadOnlySpan<byte> rest = block.Written;
        FrameType type = FrameType.Headers;
        do
        {
            ReadOnlySpan<byte> piece = rest[..Math.Min(rest.Length, FrameBytesMax)];
            rest = rest[piece.Length..];
            piece.CopyTo(Frame(type, rest.IsEmpty ? (byte)(flags | EndHeaders) : flags, stream, piece.Length));
            type = FrameType.Continuation;
            flags = 0;
        }
        while (!rest.IsEmpty);
        block.Dispose();
    }
}
