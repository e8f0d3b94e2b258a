using Perf.Store.Backend;

namespace Perf.Store.Mvcc;

/// <summary>One version of a key: where it stands, how long its record is, what came before it.</summary>
internal readonly record struct KeyVersion(long Main, int Sub, int Length, bool IsTombstone, uint Older);

/// <summary>
/// What is known of each key by its id: its bytes, its newest version and the chain of retained older ones. In
/// large arrays without references, so that the collector has nothing to follow. The apply thread writes; readers
/// inside an epoch read without locks: the newest version under a stamp per key, older ones as they are (they never
/// change but for the link that compaction cuts). Ids, chain links and key bytes are reused only when no reader is
/// left that could have seen them.
/// </summary>
internal sealed class KeyTable
{
    private const int ChunkShift = 12;
    private const int ChunkItems = 1 << ChunkShift;
    private const int ArenaShift = 20;
    private const int ArenaBytes = 1 << ArenaShift;
    private const int SmallKeyMax = 512;
    private const int KeyGrain = 8;
    private const int ReclaimedMax = 4096;

    private readonly ReaderEpochs _epochs;
    private readonly Queue<Retired> _retired = new();
    private readonly Stack<long>[] _freeKeys = new Stack<long>[(SmallKeyMax / KeyGrain) + 1];
    private readonly Stack<int> _freeArenas = new();
    private KeyRecord[][] _records = [new KeyRecord[ChunkItems]];
    private OlderVersion[][] _older = [new OlderVersion[ChunkItems]];
    private byte[][] _arenas = [[]];
    private int _arenaCount = 1;
    private int _arena;
    private int _arenaUsed = ArenaBytes;
    private uint _nextId = 1;
    private uint _freeId;
    private uint _nextOlder = 1;
    private uint _freeOlder;

    public KeyTable(ReaderEpochs epochs)
    {
        _epochs = epochs;
    }

    /// <summary>What only the apply thread asks about a key.</summary>
    [Flags]
    internal enum KeyMarks : uint
    {
        None = 0,

        /// <summary>Created or deleted since the last publication.</summary>
        Dirty = 1,

        /// <summary>Taken out of the tree; the id waits for its last reader.</summary>
        Gone = 2,
    }

    private enum RetiredKind
    {
        Id,
        Older,
    }

    /// <summary>The key's bytes, as long as the reader stays in its epoch.</summary>
    public ReadOnlySpan<byte> Key(uint id)
    {
        ref readonly KeyRecord record = ref Record(id);
        byte[] arena = Volatile.Read(ref _arenas)[(int)(record.KeyAt >> ArenaShift)];
        return arena.AsSpan((int)(record.KeyAt & (ArenaBytes - 1)), record.KeyBytes);
    }

    /// <summary>The apply thread's view of a key.</summary>
    public ref readonly KeyRecord Peek(uint id) => ref Record(id);

    /// <summary>The newest version, whole. Any thread.</summary>
    public KeyVersion Newest(uint id)
    {
        ref KeyRecord record = ref Record(id);
        var spin = default(SpinWait);
        while (true)
        {
            uint stamp = Volatile.Read(ref record.Stamp);
            if ((stamp & 1) == 0)
            {
                long main = record.Main;
                int sub = record.Sub;
                int length = record.Length;
                uint older = record.Older;
                Volatile.ReadBarrier();
                if (Volatile.Read(ref record.Stamp) == stamp)
                {
                    return Version(main, sub, length, older);
                }
            }
            spin.SpinOnce(-1);
        }
    }

    /// <summary>The key's version as of a revision; false when it had none or was deleted. Any thread.</summary>
    public bool TryVersionAt(uint id, long revision, out KeyVersion version)
    {
        version = Newest(id);
        while (version.Main > revision)
        {
            if (version.Older == 0)
            {
                return false;
            }
            version = OlderVersionOf(version.Older);
        }
        return !version.IsTombstone && version.Main != 0;
    }

    /// <summary>A link of the chain.</summary>
    public KeyVersion OlderVersionOf(uint link)
    {
        ref OlderVersion older = ref Link(link);
        return Version(older.Main, older.Sub, older.Length, Volatile.Read(ref older.Older));
    }

    /// <summary>A new key without versions.</summary>
    public uint Add(ReadOnlySpan<byte> key)
    {
        uint id = TakeId();
        ref KeyRecord record = ref Record(id);
        uint stamp = record.Stamp;
        record = default;
        record.Stamp = stamp;
        record.KeyAt = StoreKey(key);
        record.KeyBytes = key.Length;
        return id;
    }

    /// <summary>
    /// The key has a newer version; the one before it goes to the chain. Tombstones have create and version 0.
    /// </summary>
    public void SetNewest(
        uint id, long main, int sub, int length, bool isTombstone, long create, long version, long lease)
    {
        ref KeyRecord record = ref Record(id);
        uint older = record.Older;
        if (record.Main != 0)
        {
            older = TakeOlder();
            ref OlderVersion link = ref Link(older);
            link.Main = record.Main;
            link.Sub = record.Sub;
            link.Length = record.Length;
            link.Older = record.Older;
        }
        Volatile.Write(ref record.Stamp, record.Stamp + 1);
        Volatile.WriteBarrier();
        record.Main = main;
        record.Sub = sub;
        record.Length = isTombstone ? ~length : length;
        record.Older = older;
        record.Create = create;
        record.Version = version;
        record.Lease = lease;
        Volatile.Write(ref record.Stamp, record.Stamp + 1);
    }

    /// <summary>Compaction: nothing older than the newest version (link 0) or the given link is kept.</summary>
    public void CutBehind(uint id, uint link)
    {
        if (link != 0)
        {
            Volatile.Write(ref Link(link).Older, 0);
            return;
        }
        ref KeyRecord record = ref Record(id);
        Volatile.Write(ref record.Older, 0);
    }

    /// <summary>A link that nobody can reach from now on.</summary>
    public void RetireOlder(uint link) => Retire(RetiredKind.Older, link);

    /// <summary>A key that nobody can find from now on.</summary>
    public void RetireKey(uint id)
    {
        Mark(id, KeyMarks.Gone, true);
        Retire(RetiredKind.Id, id);
    }

    /// <summary>Sets or clears a note.</summary>
    public void Mark(uint id, KeyMarks mark, bool set)
    {
        ref KeyRecord record = ref Record(id);
        record.Marks = set ? record.Marks | mark : record.Marks & ~mark;
    }

    /// <summary>
    /// Makes what the last readers have left usable again; a few items per call, for behind a reader of many seconds there may be
    /// millions.
    /// </summary>
    public void Reclaim()
    {
        if (_retired.Count == 0)
        {
            return;
        }
        long oldest = _epochs.OldestReader();
        for (int i = 0; i < ReclaimedMax && _retired.TryPeek(out Retired item) && item.Tag < oldest; i++)
        {
            _retired.Dequeue();
            if (item.Kind == RetiredKind.Older)
            {
                Link(item.Number).Older = _freeOlder;
                _freeOlder = item.Number;
            }
            else
            {
                FreeKey(item.Number);
            }
        }
    }

    private static KeyVersion Version(long main, int sub, int length, uint older) =>
        new(main, sub, length < 0 ? ~length : length, length < 0, older);

    private ref KeyRecord Record(uint id) =>
        ref Volatile.Read(ref _records)[(int)(id >> ChunkShift)][id & (ChunkItems - 1)];

    private ref OlderVersion Link(uint link) =>
        ref Volatile.Read(ref _older)[(int)(link >> ChunkShift)][link & (ChunkItems - 1)];

    private void Retire(RetiredKind kind, uint number) =>
        _retired.Enqueue(new Retired(_epochs.Retire(), kind, number));

    private uint TakeId()
    {
        if (_freeId != 0)
        {
            uint id = _freeId;
            _freeId = Record(id).Older;
            return id;
        }
        Grow(ref _records, _nextId);
        return _nextId++;
    }

    private uint TakeOlder()
    {
        if (_freeOlder != 0)
        {
            uint link = _freeOlder;
            _freeOlder = Link(link).Older;
            return link;
        }
        Grow(ref _older, _nextOlder);
        return _nextOlder++;
    }

    /// <summary>Makes room for an item that nobody can have heard of yet, so that readers may hold the smaller array.</summary>
    private static void Grow<T>(ref T[][] chunks, uint next)
    {
        int index = (int)(next >> ChunkShift);
        if ((next & (ChunkItems - 1)) != 0)
        {
            return;
        }

        T[][] room = chunks;
        if (index == room.Length)
        {
            room = new T[index * 2][];
            chunks.CopyTo(room, 0);
        }

        // Written before it is read: what is read first costs a second fault, and other threads a flush.
        var chunk = new T[ChunkItems];
        chunk.AsSpan().Clear();
        Volatile.Write(ref room[index], chunk);
        Volatile.Write(ref chunks, room);
    }

    private void FreeKey(uint id)
    {
        ref KeyRecord record = ref Record(id);
        int grains = Grains(record.KeyBytes);
        if (record.KeyBytes <= SmallKeyMax)
        {
            (_freeKeys[grains] ??= new Stack<long>()).Push(record.KeyAt);
        }
        else
        {
            int arena = (int)(record.KeyAt >> ArenaShift);
            _arenas[arena] = [];
            _freeArenas.Push(arena);
        }
        record.KeyBytes = 0;
        record.KeyAt = 0;
        record.Older = _freeId;
        _freeId = id;
    }

    private static int Grains(int bytes) => (bytes + KeyGrain - 1) / KeyGrain;

    private long StoreKey(ReadOnlySpan<byte> key)
    {
        if (key.Length > SmallKeyMax)
        {
            // Rare: an array of its own, so that it goes when the key goes.
            int own = TakeArena(key.ToArray());
            return (long)own << ArenaShift;
        }

        int grains = Grains(key.Length);
        if (_freeKeys[grains] is { Count: > 0 } free)
        {
            long at = free.Pop();
            key.CopyTo(_arenas[(int)(at >> ArenaShift)].AsSpan((int)(at & (ArenaBytes - 1))));
            return at;
        }
        if (ArenaBytes - _arenaUsed < grains * KeyGrain)
        {
            _arena = TakeArena(new byte[ArenaBytes]);
            _arenaUsed = 0;
        }
        int offset = _arenaUsed;
        key.CopyTo(_arenas[_arena].AsSpan(offset));
        _arenaUsed += grains * KeyGrain;
        return ((long)_arena << ArenaShift) | (uint)offset;
    }

    private int TakeArena(byte[] bytes)
    {
        if (_freeArenas.TryPop(out int arena))
        {
            Volatile.Write(ref _arenas[arena], bytes);
            return arena;
        }
        if (_arenaCount == _arenas.Length)
        {
            byte[][] grown = new byte[_arenas.Length * 2][];
            _arenas.CopyTo(grown, 0);
            grown[_arenaCount] = bytes;
            Volatile.Write(ref _arenas, grown);
        }
        else
        {
            Volatile.Write(ref _arenas[_arenaCount], bytes);
        }
        return _arenaCount++;
    }

    /// <summary>64 bytes per key.</summary>
    internal struct KeyRecord
    {
        public long KeyAt;
        public long Main;

        /// <summary>Main revision of the first put of this life; 0 when deleted.</summary>
        public long Create;

        /// <summary>Puts in this life; 0 when deleted.</summary>
        public long Version;
        public long Lease;
        public int Sub;

        /// <summary>Bytes of the record; the complement for a tombstone.</summary>
        public int Length;
        public uint Older;
        public int KeyBytes;

        /// <summary>Odd while the newest version changes.</summary>
        public uint Stamp;

        /// <summary>The apply thread's own notes.</summary>
        public KeyMarks Marks;

        public readonly bool IsTombstone => Length < 0;
    }

    private struct OlderVersion
    {
        public long Main;
        public int Sub;
        public int Length;
        public uint Older;
    }

    private readonly record struct Retired(long Tag, RetiredKind Kind, uint Number);
}
