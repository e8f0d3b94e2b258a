using System.Buffers.Binary;
using System.Net;
using System.Net.Http.Headers;
using System.Net.Sockets;
using System.Text;
using Xunit;

namespace Perf.Grpc.Tests;

/// <summary>What a client's library would not let us do.</summary>
internal static class RawClient
{
    public static readonly byte[] Preface = Encoding.ASCII.GetBytes("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");

    /// <summary>Posts any bytes as a call over HTTP/2; the answer with its body read to the end.</summary>
    public static async Task<HttpResponseMessage> PostAsync(
        string url, string path, byte[] body, string contentType = "application/grpc", params (string, string)[] headers)
    {
        using var http = new HttpMessageInvoker(new SocketsHttpHandler { UseProxy = false });
        using var request = new HttpRequestMessage(HttpMethod.Post, url + path)
        {
            Version = HttpVersion.Version20,
            VersionPolicy = HttpVersionPolicy.RequestVersionExact,
            Content = new ByteArrayContent(body),
        };
        request.Content.Headers.ContentType = contentType.Length == 0 ? null : MediaTypeHeaderValue.Parse(contentType);
        foreach ((string name, string value) in headers)
        {
            request.Headers.TryAddWithoutValidation(name, value);
        }

        HttpResponseMessage response = await http.SendAsync(request, CancellationToken.None);
        await response.Content.LoadIntoBufferAsync();
        return response;
    }

    public static (int Status, string Message) StatusOf(HttpResponseMessage response)
    {
        HttpResponseHeaders source =
            response.Headers.Contains("grpc-status") ? response.Headers : response.TrailingHeaders;
        int status = int.Parse(source.GetValues("grpc-status").Single(), System.Globalization.CultureInfo.InvariantCulture);
        return (status, source.TryGetValues("grpc-message", out IEnumerable<string>? m) ? WireText.DecodeMessage(m.Single()) : "");
    }

    public static byte[] Message(string text, byte flag = 0, int? length = null)
    {
        byte[] payload = Encoding.UTF8.GetBytes(text);
        byte[] frame = new byte[5 + payload.Length];
        frame[0] = flag;
        BinaryPrimitives.WriteInt32BigEndian(frame.AsSpan(1), length ?? payload.Length);
        payload.CopyTo(frame, 5);
        return frame;
    }

    public static async Task<NetworkStream> ConnectAsync(int port)
    {
        var socket = new Socket(SocketType.Stream, ProtocolType.Tcp) { NoDelay = true };
        await socket.ConnectAsync(IPAddress.Loopback, port);
        return new NetworkStream(socket, ownsSocket: true);
    }

    /// <summary>A connection that has begun as HTTP/2: preface and SETTINGS are sent.</summary>
    public static async Task<NetworkStream> OpenAsync(int port)
    {
        NetworkStream stream = await ConnectAsync(port);
        await stream.WriteAsync((byte[])[.. Preface, .. Frame(4, 0, 0)]);
        return stream;
    }

    public static byte[] Frame(byte type, byte flags, int stream, params byte[] payload)
    {
        byte[] frame = new byte[9 + payload.Length];
        frame[0] = (byte)(payload.Length >> 16);
        frame[1] = (byte)(payload.Length >> 8);
        frame[2] = (byte)payload.Length;
        frame[3] = type;
        frame[4] = flags;
        BinaryPrimitives.WriteInt32BigEndian(frame.AsSpan(5), stream);
        payload.CopyTo(frame, 9);
        return frame;
    }

    /// <summary>A HEADERS frame that opens a call; literals without compression.</summary>
    public static byte[] Call(int stream, string path, params (string, string)[] more)
    {
        var block = new MemoryStream();
        (string, string)[] headers =
        [
            (":method", "POST"), (":scheme", "http"), (":path", path), (":authority", "test"),
            ("content-type", "application/grpc"), ("te", "trailers"), .. more,
        ];
        foreach ((string name, string value) in headers)
        {
            block.WriteByte(0);
            foreach (string text in (string[])[name, value])
            {
                Assert.True(text.Length < 127);
                block.WriteByte((byte)text.Length);
                block.Write(Encoding.ASCII.GetBytes(text));
            }
        }

        return Frame(1, 0x4, stream, block.ToArray());
    }

    /// <summary>The next frame, or type 255 when the server has closed the connection.</summary>
    public static async Task<(byte Type, byte Flags, int Stream, byte[] Payload)> ReadFrameAsync(Stream stream)
    {
        using var patience = new CancellationTokenSource(TimeSpan.FromSeconds(20));
        byte[] header = new byte[9];
        try
        {
            await stream.ReadExactlyAsync(header, patience.Token);
            byte[] payload = new byte[(header[0] << 16) | (header[1] << 8) | header[2]];
            await stream.ReadExactlyAsync(payload, patience.Token);
            return (header[3], header[4], BinaryPrimitives.ReadInt32BigEndian(header.AsSpan(5)), payload);
        }
        catch (Exception e) when (e is EndOfStreamException or IOException)
        {
            return (255, 0, 0, []);
        }
    }
}
