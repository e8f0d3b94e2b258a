using System.Buffers.Binary;
using System.Globalization;
using System.Text;
using Perf.Raft;

namespace Perf.Node.Tests.Cluster;

/// <summary>
/// Listens to a message stream that passes by: HTTP's header, its chunks, and in them frames of a length and a message.
/// Proposals are left out: no TCP doubles one, and members cannot tell a doubled one from two.
/// </summary>
internal sealed class MessageTap(Action<byte[]> heard)
{
    private readonly List<byte> _raw = [];
    private readonly List<byte> _frames = [];
    private bool _isBehindHeader;

    public void Pass(ReadOnlySpan<byte> bytes)
    {
        _raw.AddRange(bytes);
        if (!_isBehindHeader)
        {
            int end = Raw.IndexOf("\r\n\r\n"u8);
            if (end < 0)
            {
                return;
            }

            _raw.RemoveRange(0, end + 4);
            _isBehindHeader = true;
        }

        while (TryChunk())
        {
        }

        while (TryFrame())
        {
        }
    }

    private ReadOnlySpan<byte> Raw => System.Runtime.InteropServices.CollectionsMarshal.AsSpan(_raw);

    private ReadOnlySpan<byte> Frames => System.Runtime.InteropServices.CollectionsMarshal.AsSpan(_frames);

    private bool TryChunk()
    {
        int line = Raw.IndexOf("\r\n"u8);
        if (line < 0
            || !int.TryParse(
                Encoding.ASCII.GetString(Raw[..line]), NumberStyles.AllowHexSpecifier, CultureInfo.InvariantCulture, out int bytes)
            || Raw.Length < line + 2 + bytes + 2)
        {
            return false;
        }

        _frames.AddRange(Raw.Slice(line + 2, bytes));
        _raw.RemoveRange(0, line + 2 + bytes + 2);
        return bytes > 0;
    }

    private bool TryFrame()
    {
        if (Frames.Length < sizeof(ulong))
        {
            return false;
        }

        int bytes = (int)BinaryPrimitives.ReadUInt64BigEndian(Frames);
        if (Frames.Length < sizeof(ulong) + bytes)
        {
            return false;
        }

        byte[] message = Frames.Slice(sizeof(ulong), bytes).ToArray();
        _frames.RemoveRange(0, sizeof(ulong) + bytes);
        if (MessageCodec.TryRead(message, null, new EntryBuffer(), out Message read) == System.Buffers.OperationStatus.Done
            && read.Type is not MessageType.Prop && read.From != 0)
        {
            heard(message);
        }

        return true;
    }
}
