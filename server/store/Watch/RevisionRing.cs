using Perf.Store.Mvcc;

namespace Perf.Store.Watch;

/// <summary>Where one event lies in its chunk.</summary>
internal struct RingEvent
{
    public int Offset;
    public int Length;
    public int BodyAt;
    public int KeyAt;
    public int KeyLength;
    public bool IsDelete;
    public bool IsCreate;
}

/// <summary>Encoded events of consecutive revisions. Written once; who holds a reference may read what was there.</summary>
internal sealed class RingChunk
{
    /// <summary>Below the large object heap's threshold.</summary>
    public const int BytesNormal = 64 << 10;

    public readonly byte[] Data;
    public RingEvent[] Events = new RingEvent[256];
    public int DataCount;
    public int EventCount;

    /// <summary>Revisions of this chunk that the ring still holds.</summary>
    public int Revisions;
    public long LastRevision;

    public RingChunk(int bytes)
    {
        Data = new byte[bytes];
    }
}

/// <summary>One revision of the ring: a run of events of one chunk.</summary>
internal struct RingEntry
{
    public RingChunk Chunk;
    public int FirstEvent;
    public int EventCount;
    public int Bytes;
}

/// <summary>
/// The last revisions, each event encoded once. The apply thread appends and drops the oldest; pumps copy out entries
/// under the same short lock and read the chunks without it. A chunk that a pump may be reading is left to the
/// garbage collector, any other is used again.
/// </summary>
internal sealed class RevisionRing
{
    private const int PoolChunksMax = 64;

    private readonly Lock _gate = new();
    private readonly int _bytesMax;
    private readonly int _revisionsMax;
    private readonly long[] _pins;
    private readonly Stack<RingChunk> _pool = new();
    private RingEntry[] _entries = new RingEntry[256];
    private RingChunk? _active;
    private long _first;
    private int _count;
    private long _bytes;
    private long _eventsTotal;

    public RevisionRing(int shards, int bytesMax, int revisionsMax, long next)
    {
        _pins = new long[shards];
        Array.Fill(_pins, long.MaxValue);
        _bytesMax = bytesMax;
        _revisionsMax = revisionsMax;
        _first = next;
    }

    /// <summary>Events ever appended; a pump's lag is counted with it.</summary>
    public long EventsTotal => Volatile.Read(ref _eventsTotal);

    /// <summary>The oldest revision that is here, or the next one when the ring is empty.</summary>
    public long First
    {
        get
        {
            lock (_gate)
            {
                return _first;
            }
        }
    }

    /// <summary>Appends a transaction. Apply thread.</summary>
    public void Append(long revision, ReadOnlySpan<RevisionEvent> events)
    {
        long bytes = 0;
        foreach (ref readonly RevisionEvent e in events)
        {
            bytes += EventCodec.FieldBytes(EventCodec.BodyBytes(e.IsDelete, e.KeyValue.Length));
        }
        lock (_gate)
        {
            if (revision != _first + _count || bytes > Array.MaxLength)
            {
                // A hole, or a transaction too large to hold: who needs it reads it from the store.
                ClearLocked(bytes > Array.MaxLength ? revision + 1 : revision);
                if (bytes > Array.MaxLength)
                {
                    return;
                }
            }
            RingChunk chunk = ChunkForLocked((int)bytes, events.Length);
            int firstEvent = chunk.EventCount;
            foreach (ref readonly RevisionEvent e in events)
            {
                ReadOnlySpan<byte> keyValue = e.KeyValue.Span;
                int bodyBytes = EventCodec.BodyBytes(e.IsDelete, keyValue.Length);
                int fieldBytes = EventCodec.FieldBytes(bodyBytes);
                int offset = chunk.DataCount;
                EventCodec.Write(chunk.Data.AsSpan(offset, fieldBytes), e.IsDelete, keyValue);
                chunk.Events[chunk.EventCount++] = new RingEvent
                {
                    Offset = offset,
                    Length = fieldBytes,
                    BodyAt = offset + fieldBytes - bodyBytes,
                    KeyAt = offset + fieldBytes - keyValue.Length + EventCodec.KeyAt(e.Key.Length),
                    KeyLength = e.Key.Length,
                    IsDelete = e.IsDelete,
                    IsCreate = e.IsCreate,
                };
                chunk.DataCount += fieldBytes;
            }
            chunk.Revisions++;
            chunk.LastRevision = revision;
            PushLocked(new RingEntry
            {
                Chunk = chunk,
                FirstEvent = firstEvent,
                EventCount = events.Length,
                Bytes = (int)bytes,
            });
            Volatile.Write(ref _eventsTotal, _eventsTotal + events.Length);
        }
    }

    /// <summary>Nobody watches: notes only that the revision went by. Apply thread.</summary>
    public void Skip(long revision) => Clear(revision + 1);

    /// <summary>Forgets everything; the next revision is given. Apply thread.</summary>
    public void Clear(long next)
    {
        lock (_gate)
        {
            ClearLocked(next);
        }
    }

    /// <summary>
    /// Copies the entries of [from, to], at most as many as the target holds, and keeps their chunks from being used
    /// again until <see cref="Unpin"/>. -1 when <paramref name="from"/> is not here any more.
    /// </summary>
    public int Pin(int shard, long from, long to, Span<RingEntry> target)
    {
        lock (_gate)
        {
            if (from < _first)
            {
                return -1;
            }
            int count = (int)Math.Min(Math.Min(to, _first + _count - 1) - from + 1, target.Length);
            for (int i = 0; i < count; i++)
            {
                target[i] = _entries[(from + i) & (_entries.Length - 1)];
            }
            _pins[shard] = from;
            return Math.Max(count, 0);
        }
    }

    public void Unpin(int shard)
    {
        lock (_gate)
        {
            _pins[shard] = long.MaxValue;
        }
    }

    private RingChunk ChunkForLocked(int bytes, int events)
    {
        RingChunk? chunk = _active;
        if (chunk is null || chunk.Data.Length - chunk.DataCount < bytes)
        {
            if (chunk is not null && chunk.Revisions == 0)
            {
                RetireLocked(chunk);
            }
            chunk = bytes <= RingChunk.BytesNormal && _pool.TryPop(out RingChunk? pooled)
                ? pooled
                : new RingChunk(Math.Max(bytes, RingChunk.BytesNormal));
            _active = chunk;
        }
        if (chunk.Events.Length - chunk.EventCount < events)
        {
            // A pump may be reading the old array: it keeps its own reference and its own, complete, events.
            Array.Resize(ref chunk.Events, Math.Max(chunk.EventCount + events, chunk.Events.Length * 2));
        }
        return chunk;
    }

    private void PushLocked(in RingEntry entry)
    {
        if (_count == _entries.Length)
        {
            Grow();
        }
        _entries[(_first + _count) & (_entries.Length - 1)] = entry;
        _count++;
        _bytes += entry.Bytes;
        while (_count > 1 && (_bytes > _bytesMax || _count > _revisionsMax))
        {
            DropLocked();
        }
    }

    private void Grow()
    {
        var grown = new RingEntry[_entries.Length * 2];
        for (int i = 0; i < _count; i++)
        {
            grown[(_first + i) & (grown.Length - 1)] = _entries[(_first + i) & (_entries.Length - 1)];
        }
        _entries = grown;
    }

    private void DropLocked()
    {
        ref RingEntry oldest = ref _entries[_first & (_entries.Length - 1)];
        RingChunk chunk = oldest.Chunk;
        _bytes -= oldest.Bytes;
        oldest = default;
        _first++;
        _count--;
        if (--chunk.Revisions == 0 && !ReferenceEquals(chunk, _active))
        {
            RetireLocked(chunk);
        }
    }

    private void ClearLocked(long next)
    {
        while (_count > 0)
        {
            DropLocked();
        }
        _first = next;
    }

    private void RetireLocked(RingChunk chunk)
    {
        if (chunk.Data.Length != RingChunk.BytesNormal || _pool.Count >= PoolChunksMax)
        {
            return;
        }
        foreach (long pin in _pins)
        {
            if (pin <= chunk.LastRevision)
            {
                return;
            }
        }
        chunk.DataCount = 0;
        chunk.EventCount = 0;
        _pool.Push(chunk);
    }
}
