using System.Globalization;
using System.Text;

namespace Perf.Node.Peers;

/// <summary>
/// HTTP/1.1 towards peers, as little of it as they need: endless answers, bodies of unknown length, a connection per
/// request or, for the short ones, kept for the next. Thread-safe. Failures of the network are <see cref="IOException"/>s, answers that are not HTTP
/// <see cref="InvalidDataException"/>s.
/// </summary>
public sealed class PeerHttpClient(PeerHttpOptions options)
{
    private static readonly byte[] NoChunks = "0\r\n\r\n"u8.ToArray();
    private static readonly byte[] LastChunk = "\r\n0\r\n\r\n"u8.ToArray();

    private readonly IdleConnections _idle = new();

    /// <summary>
    /// Sends a request and reads the header of its answer. The caller disposes the answer, which closes the
    /// connection, or keeps it when the request allows that and the answer was read to its end.
    /// </summary>
    public async Task<PeerAnswer> SendAsync(PeerRequest request, CancellationToken cancel)
    {
        byte[] head = WriteHead(request);
        PeerConnection? kept = request.KeepsConnection ? _idle.Take(request.Url) : null;
        PeerConnection connection = kept
            ?? await PeerConnection.ConnectAsync(request.Url, options, cancel).ConfigureAwait(false);
        return await ExchangeAsync(connection, request, head, cancel).ConfigureAwait(false);
    }

    /// <summary>Closes the connections that wait for another request.</summary>
    public void Close() => _idle.Close();

    private async Task<PeerAnswer> ExchangeAsync(
        PeerConnection connection, PeerRequest request, byte[] head, CancellationToken cancel)
    {
        try
        {
            TimeSpan answerLimit = request.AnswerTimeout ?? options.AnswerTimeout;
            try
            {
                await connection.WriteAsync(head, options.WriteTimeout, cancel).ConfigureAwait(false);
                await WriteBodyAsync(connection, request, cancel).ConfigureAwait(false);
            }
            catch (ConnectionWriteException)
            {
                // A peer that refuses answers before it has read the whole body, and closes: the answer tells why.
                return await PeerAnswer.ReadAsync(connection, options, options.AnswerTimeout, cancel).ConfigureAwait(false);
            }

            PeerAnswer answer = await PeerAnswer.ReadAsync(connection, options, answerLimit, cancel).ConfigureAwait(false);
            if (request.KeepsConnection)
            {
                answer.Keep = done => _idle.Return(request.Url, done);
            }

            return answer;
        }
        catch
        {
            connection.Dispose();
            throw;
        }
    }

    /// <summary>GET; the answer's body may be endless.</summary>
    public Task<PeerAnswer> GetAsync(
        Uri url, IReadOnlyList<KeyValuePair<string, string>> headers, CancellationToken cancel)
    {
        return SendAsync(new PeerRequest("GET", url) { Headers = headers }, cancel);
    }

    private static byte[] WriteHead(PeerRequest request)
    {
        var head = new StringBuilder();
        head.Append(request.Method).Append(' ').Append(request.Url.PathAndQuery).Append(" HTTP/1.1\r\n");
        Append("Host", request.Url.Authority);
        foreach ((string name, string value) in request.Headers)
        {
            Append(name, value);
        }

        if (request.BodyWriter is not null)
        {
            Append("Content-Type", request.ContentType);
            Append("Transfer-Encoding", "chunked");
        }
        else if (request.Body is { } body)
        {
            Append("Content-Type", request.ContentType);
            Append("Content-Length", body.Length.ToString(CultureInfo.InvariantCulture));
        }

        if (request.Method != "GET" && !request.KeepsConnection)
        {
            Append("Connection", "close");
        }

        return Encoding.Latin1.GetBytes(head.Append("\r\n").ToString());

        void Append(string name, string value)
        {
            if (name.AsSpan().IndexOfAny("\r\n\0:") >= 0 || value.AsSpan().IndexOfAny("\r\n\0") >= 0)
            {
                throw new ArgumentException($"header {name} holds what would end it");
            }

            head.Append(name).Append(": ").Append(value).Append("\r\n");
        }
    }

    private async ValueTask WriteBodyAsync(PeerConnection connection, PeerRequest request, CancellationToken cancel)
    {
        if (request.BodyWriter is not null)
        {
            var body = new ChunkedWriter(connection, options.WriteTimeout);
            await request.BodyWriter(body, cancel).ConfigureAwait(false);
            await body.EndAsync(cancel).ConfigureAwait(false);
        }
        else if (request.Body is { Length: > 0 } body)
        {
            try
            {
                await connection.WriteAsync(body, options.WriteTimeout, cancel).ConfigureAwait(false);
            }
            catch (IOException e)
            {
                throw new ConnectionWriteException(e);
            }
        }
    }

    /// <summary>The connection took no more; told apart from a body's source that failed.</summary>
    private sealed class ConnectionWriteException(IOException inner) : IOException(inner.Message, inner);

    /// <summary>Sends each write as one chunk.</summary>
    private sealed class ChunkedWriter(PeerConnection connection, TimeSpan limit) : Stream
    {
        private readonly byte[] _line = new byte[20];
        private bool _hasChunks;

        public override bool CanRead => false;

        public override bool CanSeek => false;

        public override bool CanWrite => true;

        public override long Length => throw new NotSupportedException();

        public override long Position
        {
            get => throw new NotSupportedException();
            set => throw new NotSupportedException();
        }

        public override async ValueTask WriteAsync(
            ReadOnlyMemory<byte> buffer, CancellationToken cancellationToken = default)
        {
            if (buffer.IsEmpty)
            {
                return;
            }

            // The line that ends a chunk's data goes out with the next chunk's size.
            "\r\n"u8.CopyTo(_line);
            int start = _hasChunks ? 0 : 2;
            buffer.Length.TryFormat(_line.AsSpan(2), out int digits, "x", CultureInfo.InvariantCulture);
            "\r\n"u8.CopyTo(_line.AsSpan(2 + digits));
            _hasChunks = true;
            await WriteRawAsync(_line.AsMemory(start, 2 + digits + 2 - start), cancellationToken).ConfigureAwait(false);
            await WriteRawAsync(buffer, cancellationToken).ConfigureAwait(false);
        }

        public ValueTask EndAsync(CancellationToken cancel) => WriteRawAsync(_hasChunks ? LastChunk : NoChunks, cancel);

        public override Task WriteAsync(byte[] buffer, int offset, int count, CancellationToken cancellationToken)
        {
            return WriteAsync(buffer.AsMemory(offset, count), cancellationToken).AsTask();
        }

        private async ValueTask WriteRawAsync(ReadOnlyMemory<byte> bytes, CancellationToken cancel)
        {
            try
            {
                await connection.WriteAsync(bytes, limit, cancel).ConfigureAwait(false);
            }
            catch (IOException e)
            {
                throw new ConnectionWriteException(e);
            }
        }

        public override void Write(byte[] buffer, int offset, int count)
        {
            WriteAsync(buffer.AsMemory(offset, count)).AsTask().GetAwaiter().GetResult();
        }

        public override void Flush()
        {
        }

        public override Task FlushAsync(CancellationToken cancellationToken) => Task.CompletedTask;

        public override int Read(byte[] buffer, int offset, int count) => throw new NotSupportedException();

        public override long Seek(long offset, SeekOrigin origin) => throw new NotSupportedException();

        public override void SetLength(long value) => throw new NotSupportedException();
    }
}
