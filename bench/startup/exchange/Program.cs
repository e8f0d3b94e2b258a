using System.Buffers.Binary;
using System.Globalization;
using System.Net;
using System.Net.Sockets;
using System.Text;

// The least a .NET program can do to put a key: one blocking socket, one HTTP/2 stream, fixed bytes. It is what
// etcdctl's start-up is measured against. exchange PORT KEY VALUE
const byte Data = 0;
const byte Headers = 1;
const byte Settings = 4;
const byte EndStream = 1;
const byte EndHeaders = 4;
const byte Acknowledged = 1;

int port = int.Parse(args[0], CultureInfo.InvariantCulture);
byte[] key = Encoding.UTF8.GetBytes(args[1]);
byte[] value = Encoding.UTF8.GetBytes(args[2]);

// PutRequest: key = 1, value = 2; both short enough for a length of one byte.
byte[] message = [0x0a, (byte)key.Length, .. key, 0x12, (byte)value.Length, .. value];
byte[] body = [0, 0, 0, 0, (byte)message.Length, .. message];
byte[] fields =
[
    0x83, // :method POST
    0x86, // :scheme http
    .. Literal(":path", "/etcdserverpb.KV/Put"),
    .. Literal(":authority", "127.0.0.1"),
    .. Literal("content-type", "application/grpc"),
    .. Literal("te", "trailers"),
];
byte[] request =
[
    .. "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"u8,
    .. Frame(Settings, 0, 0, []),
    .. Frame(Headers, EndHeaders, 1, fields),
    .. Frame(Data, EndStream, 1, body),
];

using var socket = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp) { NoDelay = true };
socket.Connect(new IPEndPoint(IPAddress.Loopback, port));
socket.Send(request);
byte[] received = new byte[64 * 1024];
int held = 0;
bool answered = false;
while (true)
{
    int at = 0;
    while (held - at >= 9)
    {
        int length = BinaryPrimitives.ReadInt32BigEndian(received.AsSpan(at)) >> 8;
        if (held - at < 9 + length)
        {
            break;
        }

        byte type = received[at + 3];
        byte flags = received[at + 4];
        answered |= type == Data && length > 0;
        if (type == Settings && (flags & Acknowledged) == 0)
        {
            socket.Send(Frame(Settings, Acknowledged, 0, []));
        }
        else if (type == Headers && (flags & EndStream) != 0)
        {
            Console.Out.WriteLine(answered ? "OK" : "refused");
            return answered ? 0 : 1;
        }

        at += 9 + length;
    }

    received.AsSpan(at, held - at).CopyTo(received);
    held -= at;
    int read = socket.Receive(received.AsSpan(held));
    if (read == 0)
    {
        return 1;
    }

    held += read;
}

static byte[] Literal(string name, string text) =>
    [0, (byte)name.Length, .. Encoding.ASCII.GetBytes(name), (byte)text.Length, .. Encoding.ASCII.GetBytes(text)];

static byte[] Frame(byte type, byte flags, byte stream, ReadOnlySpan<byte> payload) =>
    [0, (byte)(payload.Length >> 8), (byte)payload.Length, type, flags, 0, 0, 0, stream, .. payload];
