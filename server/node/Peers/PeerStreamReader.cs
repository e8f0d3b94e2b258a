using System.Buffers;
using Perf.Engine.Memory;
using Perf.Raft;

namespace Perf.Node.Peers;

/// <summary>
/// Reads frames off a stream into slabs, in which the entries then stay: the log window, the WAL and apply share those
/// bytes. A slab lives as long as an entry of it does.
/// </summary>
/// <param name="source">The body of the peer's answer.</param>
/// <param name="decoder">For the kind of stream it is.</param>
/// <param name="entries">Reused for each message.</param>
public sealed class PeerStreamReader(Stream source, IPeerDecoder decoder, EntryBuffer entries) : IDisposable
{
    private const int SlabBytes = 256 << 10;

    /// <summary>With less room than this behind the unread bytes a new slab is begun.</summary>
    private const int RoomBytesMin = 16 << 10;

    private Slab? _slab;
    private SlabLease? _lease;
    private int _start;
    private int _end;

    /// <summary>The message read last. Good until the next read; who keeps its entries retains <see cref="Lease"/>.</summary>
    public Message Message { get; private set; }

    /// <summary>Keeps the bytes of the message read last.</summary>
    public IEntryLease? Lease => _lease;

    /// <summary>
    /// Goes to the next message, past signs of life; false when the peer ended the stream between two frames. Throws
    /// <see cref="InvalidDataException"/> for what is no frame and <see cref="EndOfStreamException"/> for half a one.
    /// </summary>
    public async ValueTask<bool> ReadAsync(CancellationToken cancel)
    {
        while (true)
        {
            int needed = 1;
            if (_slab is not null)
            {
                entries.Clear();
                OperationStatus status = decoder.Read(
                    _slab.Memory[_start.._end], _lease, entries, out PeerFrame frame, out Message message, out int bytes);
                if (status == OperationStatus.Done)
                {
                    _start += bytes;
                    if (frame == PeerFrame.LinkHeartbeat)
                    {
                        continue;
                    }

                    Message = message;
                    return true;
                }

                if (status != OperationStatus.NeedMoreData)
                {
                    throw new InvalidDataException("the peer sent what is no frame of this stream");
                }

                needed = bytes;
            }

            MakeRoom(needed);
            int read = await source.ReadAsync(_slab!.Memory[_end..], cancel).ConfigureAwait(false);
            if (read == 0)
            {
                return _start == _end ? false : throw new EndOfStreamException("the stream ends within a frame");
            }

            _end += read;
        }
    }

    /// <summary>Lets go of the slab; entries that others retained live on.</summary>
    public void Dispose()
    {
        _slab?.Release();
        _slab = null;
        _lease = null;
        _start = 0;
        _end = 0;
    }

    /// <summary>Room for a frame of this many bytes from the present start, and some to read into.</summary>
    private void MakeRoom(int frameBytes)
    {
        int unread = _end - _start;
        if (_slab is not null && _slab.Length - _start >= frameBytes && _slab.Length - _end >= RoomBytesMin)
        {
            return;
        }

        // A long frame gets its slab at once only in steps of what has really arrived: a length is only a claim.
        int bytes = Math.Max(SlabBytes, Math.Min(frameBytes, Math.Max(unread * 2, 1 << 20)) + RoomBytesMin);
        Slab next = Slab.Rent(bytes);
        if (_slab is not null)
        {
            _slab.Span[_start.._end].CopyTo(next.Span);
            _slab.Release();
        }

        _slab = next;
        _lease = new SlabLease(next);
        _start = 0;
        _end = unread;
    }

    private sealed class SlabLease(Slab slab) : IEntryLease
    {
        public void Retain() => slab.Retain();

        public void Release() => slab.Release();
    }
}
