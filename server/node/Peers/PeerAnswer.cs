using System.Buffers;
using System.Globalization;
using System.Text;

namespace Perf.Node.Peers;

/// <summary>
/// A peer's answer: status, header, and a body that is read as it comes. HTTP/1.1 as far as peers speak it; whatever is
/// malformed or beyond a limit is an <see cref="InvalidDataException"/>. Owns the connection.
/// </summary>
public sealed class PeerAnswer : IDisposable
{
    private const int BufferBytes = 16 << 10;

    /// <summary>A chunk's size line with its extensions, or one trailer line.</summary>
    private const int LineBytesMax = 4 << 10;

    private const int TrailersMax = 64;

    private readonly PeerConnection _connection;
    private readonly PeerHttpOptions _options;
    private readonly Dictionary<string, string> _headers = new(StringComparer.OrdinalIgnoreCase);
    private byte[] _buffer = new byte[BufferBytes];
    private int _start;
    private int _end;

    /// <summary>Bytes left in the chunk or in the whole body; -1: until the connection ends.</summary>
    private long _left;

    private bool _isChunked;
    private bool _isBetweenChunks;

    /// <summary>The line end behind a chunk's data is still to be read.</summary>
    private bool _endsChunk;

    private bool _isAtEnd;

    /// <summary>The peer means to go on with this connection.</summary>
    private bool _isKept;

    private PeerAnswer(PeerConnection connection, PeerHttpOptions options)
    {
        _connection = connection;
        _options = options;
        Body = new BodyStream(this);
    }

    /// <summary>The status code.</summary>
    public int Status { get; private set; }

    /// <summary>The body, free of its chunks. One reader at a time.</summary>
    public Stream Body { get; }

    /// <summary>A header's value, or null.</summary>
    public string? Header(string name) => _headers.GetValueOrDefault(name);

    /// <summary>Reads the body to its end; for short ones.</summary>
    public async Task<byte[]> ReadAllAsync(int bytesMax, CancellationToken cancel)
    {
        var body = new ArrayBufferWriter<byte>();
        while (true)
        {
            int read = await ReadBodyAsync(body.GetMemory(1024), cancel).ConfigureAwait(false);
            if (read == 0)
            {
                return body.WrittenSpan.ToArray();
            }

            body.Advance(read);
            if (body.WrittenCount > bytesMax)
            {
                throw new InvalidDataException($"the answer is longer than {bytesMax} bytes");
            }
        }
    }

    /// <summary>Takes the connection instead of its being closed, when there is nothing left in it.</summary>
    internal Action<PeerConnection>? Keep { get; set; }

    /// <summary>Closes the connection, or hands it on to the next request.</summary>
    public void Dispose()
    {
        Action<PeerConnection>? keep = Keep;
        Keep = null;
        if (keep is not null && _isKept && _isAtEnd && _start == _end)
        {
            keep(_connection);
        }
        else
        {
            _connection.Dispose();
        }
    }

    /// <summary>Reads an answer's header off the connection.</summary>
    internal static async Task<PeerAnswer> ReadAsync(
        PeerConnection connection, PeerHttpOptions options, TimeSpan limit, CancellationToken cancel)
    {
        var answer = new PeerAnswer(connection, options);
        using var all = CancellationTokenSource.CreateLinkedTokenSource(cancel);
        all.CancelAfter(limit);
        try
        {
            do
            {
                await answer.ReadHeaderAsync(limit, all.Token).ConfigureAwait(false);
            }
            while (answer.Status is >= 100 and < 200);
        }
        catch (OperationCanceledException) when (!cancel.IsCancellationRequested)
        {
            throw new IOException($"no answer within {limit}");
        }

        answer.FindBody();
        return answer;
    }

    private async ValueTask ReadHeaderAsync(TimeSpan limit, CancellationToken cancel)
    {
        _headers.Clear();
        int left = _options.HeaderBytesMax;
        string line = await ReadLineAsync(left, limit, cancel).ConfigureAwait(false);
        left -= line.Length + 2;
        if (line.Length < 12 || !line.StartsWith("HTTP/1.", StringComparison.Ordinal) || line[8] != ' '
            || !int.TryParse(line.AsSpan(9, 3), NumberStyles.None, CultureInfo.InvariantCulture, out int status)
            || status < 100 || (line.Length > 12 && line[12] != ' '))
        {
            throw new InvalidDataException("the answer is not HTTP/1.1");
        }

        Status = status;
        _isKept = line[7] == '1';
        while (true)
        {
            line = await ReadLineAsync(left, limit, cancel).ConfigureAwait(false);
            left -= line.Length + 2;
            if (line.Length == 0)
            {
                return;
            }

            int colon = line.IndexOf(':', StringComparison.Ordinal);
            if (colon <= 0 || line[0] is ' ' or '\t' || line[colon - 1] is ' ' or '\t')
            {
                throw new InvalidDataException("malformed header line");
            }

            string name = line[..colon];
            string value = line[(colon + 1)..].Trim(' ', '\t');
            if (!_headers.TryAdd(name, value))
            {
                _headers[name] += "," + value;
            }
        }
    }

    /// <summary>Decides how the body ends.</summary>
    private void FindBody()
    {
        string? length = Header("Content-Length");
        string? encoding = Header("Transfer-Encoding");
        _isKept &= Header("Connection")?.Contains("close", StringComparison.OrdinalIgnoreCase) != true;
        if (Status is 204 or 304)
        {
            _isAtEnd = true;
        }
        else if (encoding is not null)
        {
            if (length is not null || !encoding.Equals("chunked", StringComparison.OrdinalIgnoreCase))
            {
                throw new InvalidDataException("the answer's body has no clear end");
            }

            _isChunked = true;
            _isBetweenChunks = true;
        }
        else if (length is not null)
        {
            if (!long.TryParse(length, NumberStyles.None, CultureInfo.InvariantCulture, out _left))
            {
                throw new InvalidDataException("malformed Content-Length");
            }

            _isAtEnd = _left == 0;
        }
        else
        {
            _left = -1;
            _isKept = false;
        }
    }

    private async ValueTask<int> ReadBodyAsync(Memory<byte> target, CancellationToken cancel)
    {
        if (_isAtEnd || target.IsEmpty)
        {
            return 0;
        }

        if (_isBetweenChunks && !await StartChunkAsync(cancel).ConfigureAwait(false))
        {
            return 0;
        }

        if (_left >= 0 && target.Length > _left)
        {
            target = target[..(int)_left];
        }

        int read;
        if (_start < _end)
        {
            read = Math.Min(_end - _start, target.Length);
            _buffer.AsSpan(_start, read).CopyTo(target.Span);
            _start += read;
        }
        else if (target.Length >= _buffer.Length)
        {
            read = await _connection.ReadAsync(target, _options.ReadTimeout, cancel).ConfigureAwait(false);
        }
        else
        {
            // Small reads go through the buffer, which often brings the next chunk's head along.
            await FillAsync(_options.ReadTimeout, cancel).ConfigureAwait(false);
            read = Math.Min(_end - _start, target.Length);
            _buffer.AsSpan(_start, read).CopyTo(target.Span);
            _start += read;
        }

        if (read == 0)
        {
            _isAtEnd = true;
            return _left < 0 ? 0 : throw new EndOfStreamException("the connection ended within the answer");
        }

        if (_left >= 0)
        {
            _left -= read;
            if (_left == 0)
            {
                _isAtEnd = !_isChunked;
                if (_isChunked)
                {
                    _isBetweenChunks = true;
                    _endsChunk = true;
                }
            }
        }

        return read;
    }

    private async ValueTask<bool> StartChunkAsync(CancellationToken cancel)
    {
        string line;
        if (_endsChunk)
        {
            line = await ReadLineAsync(LineBytesMax, _options.ReadTimeout, cancel).ConfigureAwait(false);
            if (line.Length != 0)
            {
                throw new InvalidDataException("a chunk is longer than it says");
            }

            _endsChunk = false;
        }

        line = await ReadLineAsync(LineBytesMax, _options.ReadTimeout, cancel).ConfigureAwait(false);
        int digits = line.AsSpan().IndexOfAnyExcept("0123456789abcdefABCDEF");
        ReadOnlySpan<char> size = digits < 0 ? line : line.AsSpan(0, digits);
        if (size.Length is 0 or > 15 || (digits >= 0 && line[digits] is not (';' or ' ' or '\t')))
        {
            throw new InvalidDataException("malformed chunk size");
        }

        _left = long.Parse(size, NumberStyles.AllowHexSpecifier, CultureInfo.InvariantCulture);
        _isBetweenChunks = false;
        if (_left > 0)
        {
            return true;
        }

        _isAtEnd = true;
        for (int i = 0; i < TrailersMax; i++)
        {
            line = await ReadLineAsync(LineBytesMax, _options.ReadTimeout, cancel).ConfigureAwait(false);
            if (line.Length == 0)
            {
                return false;
            }
        }

        throw new InvalidDataException("too many trailers");
    }

    /// <summary>One line without its end, CR LF or LF.</summary>
    private async ValueTask<string> ReadLineAsync(int bytesMax, TimeSpan limit, CancellationToken cancel)
    {
        int searched = 0;
        while (true)
        {
            int at = _buffer.AsSpan(_start + searched, _end - _start - searched).IndexOf((byte)'\n');
            if (at >= 0)
            {
                int length = searched + at;
                if (length > bytesMax)
                {
                    throw new InvalidDataException("a line or the header is too long");
                }

                int end = _start + length;
                if (length > 0 && _buffer[end - 1] == '\r')
                {
                    end--;
                }

                string line = Encoding.Latin1.GetString(_buffer, _start, end - _start);
                _start += length + 1;
                return line;
            }

            searched = _end - _start;
            if (searched >= bytesMax)
            {
                throw new InvalidDataException("a line or the header is too long");
            }

            if (await FillAsync(limit, cancel).ConfigureAwait(false) == 0)
            {
                throw new EndOfStreamException("the connection ended within the answer");
            }
        }
    }

    private async ValueTask<int> FillAsync(TimeSpan limit, CancellationToken cancel)
    {
        if (_start == _end)
        {
            _start = 0;
            _end = 0;
        }
        else if (_end == _buffer.Length)
        {
            if (_start > 0)
            {
                _buffer.AsSpan(_start, _end - _start).CopyTo(_buffer);
                _end -= _start;
                _start = 0;
            }
            else
            {
                Array.Resize(ref _buffer, _buffer.Length * 2);
            }
        }

        int read = await _connection.ReadAsync(_buffer.AsMemory(_end), limit, cancel).ConfigureAwait(false);
        _end += read;
        return read;
    }

    private sealed class BodyStream(PeerAnswer answer) : Stream
    {
        public override bool CanRead => true;

        public override bool CanSeek => false;

        public override bool CanWrite => false;

        public override long Length => throw new NotSupportedException();

        public override long Position
        {
            get => throw new NotSupportedException();
            set => throw new NotSupportedException();
        }

        public override ValueTask<int> ReadAsync(Memory<byte> buffer, CancellationToken cancellationToken = default)
        {
            return answer.ReadBodyAsync(buffer, cancellationToken);
        }

        public override Task<int> ReadAsync(byte[] buffer, int offset, int count, CancellationToken cancellationToken)
        {
            return answer.ReadBodyAsync(buffer.AsMemory(offset, count), cancellationToken).AsTask();
        }

        public override int Read(byte[] buffer, int offset, int count)
        {
            return answer.ReadBodyAsync(buffer.AsMemory(offset, count), CancellationToken.None).AsTask().GetAwaiter().GetResult();
        }

        public override void Flush()
        {
        }

        public override long Seek(long offset, SeekOrigin origin) => throw new NotSupportedException();

        public override void SetLength(long value) => throw new NotSupportedException();

        public override void Write(byte[] buffer, int offset, int count) => throw new NotSupportedException();
    }
}
