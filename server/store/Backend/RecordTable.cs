using Perf.Engine;
using Perf.Engine.Memory;

namespace Perf.Store.Backend;

/// <summary>
/// The part of bucket <c>key</c> that is not in the file yet: records in revision order, their bytes in slabs.
/// The apply thread appends; readers on any thread find what was appended before they looked. Nothing is moved or
/// removed until <see cref="Clear"/>, which the owner calls when no reader is left.
/// </summary>
internal sealed class RecordTable
{
    private const int ChunkShift = 12;
    private const int ChunkEntries = 1 << ChunkShift;
    private const int SlabBytesMin = 64 << 10;
    private const int SlabBytesMax = 4 << 20;

    private readonly List<Deletion> _deletes = [];
    private Entry[][] _chunks = [];
    private Slab[] _slabs = new Slab[4];
    private int _slabCount;
    private int _slabUsed;
    private int _slabBytesNext = SlabBytesMin;
    private int _count;
    private long _firstMain;

    /// <summary>Records appended.</summary>
    public int Count => Volatile.Read(ref _count);

    /// <summary>Records of older commits to be removed.</summary>
    public int DeleteCount => _deletes.Count;

    /// <summary>Bytes of the records with an estimate for what surrounds them.</summary>
    public long Bytes { get; private set; }

    /// <summary>Room for a record; the writer fills it, then calls <see cref="Append"/>.</summary>
    public Memory<byte> Reserve(int bytes, out Slab owner)
    {
        if (_slabCount == 0 || _slabs[_slabCount - 1].Length - _slabUsed < bytes)
        {
            StartSlab(bytes);
        }
        owner = _slabs[_slabCount - 1];
        return owner.Memory.Slice(_slabUsed, bytes);
    }

    /// <summary>
    /// Makes the record that was written into the last reservation visible. Of the bytes reserved the first
    /// <paramref name="recordBytes"/> are stored; the rest only has to live as long.
    /// </summary>
    public void Append(long main, int sub, bool isTombstone, int recordBytes, int reservedBytes)
    {
        int at = _count;
        if (at == _chunks.Length << ChunkShift)
        {
            var chunks = new Entry[_chunks.Length + 1][];
            _chunks.CopyTo(chunks, 0);
            chunks[^1] = new Entry[ChunkEntries];
            Volatile.Write(ref _chunks, chunks);
        }
        if (at == 0)
        {
            _firstMain = main;
        }
        ref Entry entry = ref _chunks[at >> ChunkShift][at & (ChunkEntries - 1)];
        entry.Main = main;
        entry.Sub = sub;
        entry.Length = isTombstone ? ~recordBytes : recordBytes;
        entry.Slab = _slabCount - 1;
        entry.Offset = _slabUsed;
        _slabUsed += reservedBytes;
        Bytes += reservedBytes + 64;
        Volatile.Write(ref _count, at + 1);
    }

    /// <summary>The commit is to remove this record, wherever it is.</summary>
    public void Delete(in Deletion deletion)
    {
        _deletes.Add(deletion);
        Bytes += 32;
    }

    /// <summary>Finds a record's bytes, deleted since or not. Any thread.</summary>
    public bool TryGet(long main, int sub, out ReadOnlySpan<byte> value)
    {
        value = default;
        int count = Volatile.Read(ref _count);
        if (count == 0 || main < _firstMain)
        {
            return false;
        }
        int at = LowerBound(main, sub, count);
        if (at == count)
        {
            return false;
        }
        ref readonly Entry entry = ref EntryAt(at);
        if (entry.Main != main || entry.Sub != sub)
        {
            return false;
        }
        value = ValueOf(in entry);
        return true;
    }

    /// <summary>Position of the first record at or behind (main, sub); <see cref="Count"/> when there is none.</summary>
    public int LowerBound(long main, int sub)
    {
        int count = Volatile.Read(ref _count);
        return count == 0 || main < _firstMain ? 0 : LowerBound(main, sub, count);
    }

    /// <summary>The record at a position.</summary>
    public ReadOnlySpan<byte> At(int position, out long main, out int sub, out bool isTombstone)
    {
        ref readonly Entry entry = ref EntryAt(position);
        main = entry.Main;
        sub = entry.Sub;
        isTombstone = entry.Length < 0;
        return ValueOf(in entry);
    }

    /// <summary>The deletions in key order. The committer's, when nobody adds to the table any more.</summary>
    public List<Deletion> SortedDeletes()
    {
        _deletes.Sort();
        return _deletes;
    }

    /// <summary>Gives the slabs back; no reader may be left. Keeps its arrays for the next use.</summary>
    public void Clear()
    {
        for (int i = 0; i < _slabCount; i++)
        {
            _slabs[i].Release();
            _slabs[i] = null!;
        }
        _slabCount = 0;
        _slabUsed = 0;
        _slabBytesNext = SlabBytesMin;
        _count = 0;
        _deletes.Clear();
        Bytes = 0;
    }

    private ReadOnlySpan<byte> ValueOf(in Entry entry)
    {
        int length = entry.Length < 0 ? ~entry.Length : entry.Length;
        return Volatile.Read(ref _slabs)[entry.Slab].Span.Slice(entry.Offset, length);
    }

    private ref readonly Entry EntryAt(int position) =>
        ref Volatile.Read(ref _chunks)[position >> ChunkShift][position & (ChunkEntries - 1)];

    /// <summary>
    /// Revisions are dense: main's first record lies at or behind (main - first main), and exactly there while
    /// transactions have one change. So gallop from that guess.
    /// </summary>
    private int LowerBound(long main, int sub, int count)
    {
        long guess = main - _firstMain;
        if (guess >= count)
        {
            return count;
        }
        int low = (int)guess;
        int step = 1;
        int high = low;
        while (high < count && IsBefore(high, main, sub))
        {
            low = high + 1;
            high = (int)Math.Min((long)high + step, count);
            step *= 2;
        }
        while (low < high)
        {
            int middle = low + ((high - low) / 2);
            if (IsBefore(middle, main, sub))
            {
                low = middle + 1;
            }
            else
            {
                high = middle;
            }
        }
        return low;
    }

    private bool IsBefore(int position, long main, int sub)
    {
        ref readonly Entry entry = ref EntryAt(position);
        return entry.Main < main || (entry.Main == main && entry.Sub < sub);
    }

    private void StartSlab(int bytes)
    {
        if (_slabCount == _slabs.Length)
        {
            var slabs = new Slab[_slabs.Length * 2];
            _slabs.CopyTo(slabs, 0);
            Volatile.Write(ref _slabs, slabs);
        }
        _slabs[_slabCount++] = Slab.Rent(Math.Max(bytes, _slabBytesNext));
        _slabUsed = 0;
        _slabBytesNext = Math.Min(_slabBytesNext * 2, SlabBytesMax);
        Check.That(_slabs[_slabCount - 1].Length >= bytes);
    }

    /// <summary>A record to remove.</summary>
    internal readonly record struct Deletion(long Main, int Sub, bool IsTombstone) : IComparable<Deletion>
    {
        public int CompareTo(Deletion other)
        {
            int order = Main.CompareTo(other.Main);
            order = order != 0 ? order : Sub.CompareTo(other.Sub);
            return order != 0 ? order : IsTombstone.CompareTo(other.IsTombstone);
        }
    }

    private struct Entry
    {
        public long Main;
        public int Sub;

        /// <summary>Bytes of the record; the complement for a tombstone.</summary>
        public int Length;
        public int Slab;
        public int Offset;
    }
}
