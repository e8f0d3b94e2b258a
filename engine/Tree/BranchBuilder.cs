using System.Buffers.Binary;
using Perf.Engine.Memory;
using Perf.Engine.Pages;

namespace Perf.Engine.Tree;

/// <summary>Collects children of one level in key order and turns them into full branches.</summary>
internal sealed class BranchBuilder(PageOutput output, TreeBuilder tree, int level) : IDisposable
{
    private const int FixedBytes = PageLayout.HeaderBytes + PageLayout.TrailerBytes;
    private const int EntryBytes = PageLayout.ElementBytes + PageLayout.ChildChecksumBytes;

    /// <summary>
    /// Left behind when a full branch is emitted, so that a lone last child never has to become a branch of
    /// its own: bbolt panics when it rebalances below such a branch.
    /// </summary>
    private const int KeptBack = 2;

    private readonly List<Entry> _entries = [];
    private Slab _keys = Slab.Rent(output.PageBytes);
    private int _keyBytes;

    public int Count => _entries.Count;

    /// <summary>The last child added.</summary>
    public Entry Last => _entries[^1];

    public ReadOnlySpan<byte> Key(Entry entry) => _keys.Span.Slice(entry.KeyAt, entry.KeyBytes);

    public Entry this[int index] => _entries[index];

    public void Add(ReadOnlySpan<byte> key, long child, uint checksum)
    {
        if (_entries.Count > 0)
        {
            tree.RequireAscending(Key(_entries[^1]), key);
        }

        if (_entries.Count >= 2 * KeptBack && Bytes(_entries.Count, _keyBytes) + EntryBytes + key.Length > output.PageBytes)
        {
            Emit(_entries.Count - KeptBack);
        }

        int needed = _keyBytes + key.Length;
        if (needed > _keys.Length)
        {
            Slab larger = Slab.Rent(needed);
            _keys.Span[.._keyBytes].CopyTo(larger.Span);
            _keys.Release();
            _keys = larger;
        }

        key.CopyTo(_keys.Span[_keyBytes..]);
        _entries.Add(new Entry(_keyBytes, key.Length, child, checksum));
        _keyBytes = needed;
    }

    /// <summary>Takes the last child back.</summary>
    public Entry RemoveLast()
    {
        Entry last = _entries[^1];
        _entries.RemoveAt(_entries.Count - 1);
        _keyBytes = last.KeyAt;
        return last;
    }

    /// <summary>Writes all pending children as one branch and hands its first key up.</summary>
    public void EmitAll() => Emit(_entries.Count);

    public void Clear()
    {
        _entries.Clear();
        _keyBytes = 0;
    }

    public void Dispose() => _keys.Release();

    private static int Bytes(int count, int keyBytes) => FixedBytes + (count * EntryBytes) + keyBytes;

    private void Emit(int count)
    {
        Check.That(count >= 2);
        int keyBytes = count < _entries.Count ? _entries[count].KeyAt : _keyBytes;
        int bytes = (Bytes(count, keyBytes) + output.PageBytes - 1) / output.PageBytes * output.PageBytes;
        ReadOnlySpan<byte> keys = _keys.Span;
        Span<byte> page = output.Reserve(bytes, out long id);
        PageHeader.Write(page, id, PageLayout.BranchFlag, count, (uint)((bytes / output.PageBytes) - 1));

        int at = PageLayout.HeaderBytes;
        int keysAt = at + (count * PageLayout.ElementBytes);
        int checksumAt = bytes - PageLayout.TrailerBytes - (count * PageLayout.ChildChecksumBytes);
        keys[..keyBytes].CopyTo(page[keysAt..]);
        for (int i = 0; i < count; i++)
        {
            Entry entry = _entries[i];
            Span<byte> element = page.Slice(at, PageLayout.ElementBytes);
            BinaryPrimitives.WriteInt32LittleEndian(element, keysAt + entry.KeyAt - at);
            BinaryPrimitives.WriteInt32LittleEndian(element[4..], entry.KeyBytes);
            BinaryPrimitives.WriteInt64LittleEndian(element[8..], entry.Child);
            BinaryPrimitives.WriteUInt32LittleEndian(page[checksumAt..], entry.Checksum);
            at += PageLayout.ElementBytes;
            checksumAt += PageLayout.ChildChecksumBytes;
        }

        uint checksum = PageTrailer.Write(page, PageLayout.BranchTrailerMagic, output.Txid);
        tree.AddChild(level + 1, keys[.._entries[0].KeyBytes], id, checksum);
        Drop(count, keyBytes);
    }

    private void Drop(int count, int keyBytes)
    {
        Span<byte> keys = _keys.Span;
        keys[keyBytes.._keyBytes].CopyTo(keys);
        _keyBytes -= keyBytes;
        _entries.RemoveRange(0, count);
        for (int i = 0; i < _entries.Count; i++)
        {
            _entries[i] = _entries[i] with { KeyAt = _entries[i].KeyAt - keyBytes };
        }
    }

    internal readonly record struct Entry(int KeyAt, int KeyBytes, long Child, uint Checksum);
}
