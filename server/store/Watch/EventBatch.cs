using Perf.Store.Commands;

namespace Perf.Store.Watch;

/// <summary>One matched event of a batch: bytes in a ring chunk or in the batch's own arena.</summary>
internal struct BatchEvent
{
    public long Revision;
    public byte[] Data;
    public int Offset;
    public int Length;
    public int BodyAt;
    public int KeyAt;
    public int KeyLength;
    public bool IsDelete;
    public bool IsCreate;

    /// <summary>The variant with prev_kv; null until somebody asks for it.</summary>
    public byte[]? PreviousData;
    public int PreviousOffset;
    public int PreviousLength;

    public readonly ReadOnlySpan<byte> Key => Data.AsSpan(KeyAt, KeyLength);

    public readonly ReadOnlySpan<byte> Body => Data.AsSpan(BodyAt, Offset + Length - BodyAt);
}

/// <summary>
/// The matched events of a few revisions, in order. Reused from turn to turn: what it hands out is good until
/// <see cref="Clear"/>.
/// </summary>
internal sealed class EventBatch
{
    private const int ArenaBytes = 64 << 10;

    private readonly ProtoBuffer _previous = new();
    private readonly List<byte[]> _blocks = [];
    private BatchEvent[] _events = new BatchEvent[64];
    private int _block = -1;
    private int _blockCount;

    public int Count { get; private set; }

    public ref BatchEvent this[int index] => ref _events[index];

    public void Clear()
    {
        Array.Clear(_events, 0, Count);
        Count = 0;
        _block = -1;
        _blockCount = 0;
        _blocks.RemoveAll(static block => block.Length > ArenaBytes);
    }

    public int Add(long revision, RingChunk chunk, in RingEvent e)
    {
        ref BatchEvent added = ref Append();
        added.Revision = revision;
        added.Data = chunk.Data;
        added.Offset = e.Offset;
        added.Length = e.Length;
        added.BodyAt = e.BodyAt;
        added.KeyAt = e.KeyAt;
        added.KeyLength = e.KeyLength;
        added.IsDelete = e.IsDelete;
        added.IsCreate = e.IsCreate;
        return Count - 1;
    }

    /// <summary>Adds an event from its stored record.</summary>
    public int Add(long revision, bool isDelete, bool isCreate, int keyLength, ReadOnlySpan<byte> stored)
    {
        int keyValueBytes = isDelete ? EventCodec.DeletedKeyValueBytes(stored.Length, revision) : stored.Length;
        int bodyBytes = EventCodec.BodyBytes(isDelete, keyValueBytes);
        int fieldBytes = EventCodec.FieldBytes(bodyBytes);
        byte[] data = Allocate(fieldBytes, out int offset);
        Span<byte> target = data.AsSpan(offset, fieldBytes);
        if (isDelete)
        {
            EventCodec.WriteDelete(target, stored, revision);
        }
        else
        {
            EventCodec.Write(target, isDelete: false, stored);
        }

        ref BatchEvent added = ref Append();
        added.Revision = revision;
        added.Data = data;
        added.Offset = offset;
        added.Length = fieldBytes;
        added.BodyAt = offset + fieldBytes - bodyBytes;
        added.KeyAt = offset + fieldBytes - keyValueBytes + EventCodec.KeyAt(keyLength);
        added.KeyLength = keyLength;
        added.IsDelete = isDelete;
        added.IsCreate = isCreate;
        return Count - 1;
    }

    /// <summary>Sees to it that the variant with prev_kv is there; the first caller pays for all.</summary>
    public void EnsurePrevious(ref BatchEvent e, IWatchHistory history)
    {
        if (e.PreviousData is not null)
        {
            return;
        }
        _previous.Clear();
        if (e.IsCreate || !history.TryGetAt(e.Key, e.Revision - 1, _previous))
        {
            e.PreviousData = e.Data;
            e.PreviousOffset = e.Offset;
            e.PreviousLength = e.Length;
            return;
        }
        ReadOnlySpan<byte> body = e.Body;
        int length = EventCodec.FieldBytes(EventCodec.BodyBytesWithPrevious(body.Length, _previous.Count));
        byte[] data = Allocate(length, out int offset);
        EventCodec.WriteWithPrevious(data.AsSpan(offset, length), body, _previous.Written);
        e.PreviousData = data;
        e.PreviousOffset = offset;
        e.PreviousLength = length;
    }

    private ref BatchEvent Append()
    {
        if (Count == _events.Length)
        {
            Array.Resize(ref _events, Count * 2);
        }
        return ref _events[Count++];
    }

    /// <summary>Blocks are never moved while the batch lives: events point into them.</summary>
    private byte[] Allocate(int bytes, out int offset)
    {
        if (_block < 0 || _blocks[_block].Length - _blockCount < bytes)
        {
            _block++;
            _blockCount = 0;
            if (bytes > ArenaBytes)
            {
                _blocks.Insert(_block, new byte[bytes]);
            }
            else if (_block == _blocks.Count)
            {
                _blocks.Add(new byte[ArenaBytes]);
            }
        }
        offset = _blockCount;
        _blockCount += bytes;
        return _blocks[_block];
    }
}
