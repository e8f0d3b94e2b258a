using System.Buffers.Binary;
using Perf.Engine.Memory;
using Perf.Engine.Pages;

namespace Perf.Engine.Tree;

/// <summary>Collects elements in key order and turns them into full leaves.</summary>
internal sealed class LeafBuilder(PageOutput output, TreeBuilder tree) : IDisposable
{
    private const int FixedBytes = PageLayout.HeaderBytes + PageLayout.TrailerBytes;

    private readonly List<(uint Flags, int KeyBytes, int ValueBytes)> _elements = [];
    private Slab _data = Slab.Rent(output.PageBytes);
    private int _dataBytes;
    private int _lastKeyAt;

    public int Count => _elements.Count;

    /// <summary>Bytes the pending leaf would take.</summary>
    public int Bytes => FixedBytes + (_elements.Count * PageLayout.ElementBytes) + _dataBytes;

    /// <summary>Appends an element; emits the pending leaf first when it would not fit.</summary>
    public void Add(uint flags, ReadOnlySpan<byte> key, ReadOnlySpan<byte> value)
    {
        long needed = (long)Bytes + PageLayout.ElementBytes + key.Length + value.Length;
        if (_elements.Count > 0)
        {
            tree.RequireAscending(_data.Span[_lastKeyAt..][.._elements[^1].KeyBytes], key);
            if (needed > output.PageBytes || _elements.Count == PageLayout.CountMax)
            {
                Emit();
            }
        }

        _lastKeyAt = _dataBytes;
        Append(key);
        Append(value);
        _elements.Add((flags, key.Length, value.Length));
    }

    /// <summary>Writes the pending elements as a leaf and hands its first key up.</summary>
    public void Emit()
    {
        int bytes = checked((Bytes + output.PageBytes - 1) / output.PageBytes * output.PageBytes);
        ReadOnlySpan<byte> data = _data.Span[.._dataBytes];
        Span<byte> page = output.Reserve(bytes, out long id);
        PageHeader.Write(page, id, PageLayout.LeafFlag, _elements.Count, (uint)((bytes / output.PageBytes) - 1));

        int at = PageLayout.HeaderBytes;
        int dataAt = at + (_elements.Count * PageLayout.ElementBytes);
        data.CopyTo(page[dataAt..]);
        foreach ((uint flags, int keyBytes, int valueBytes) in _elements)
        {
            Span<byte> element = page.Slice(at, PageLayout.ElementBytes);
            BinaryPrimitives.WriteUInt32LittleEndian(element, flags);
            BinaryPrimitives.WriteInt32LittleEndian(element[4..], dataAt - at);
            BinaryPrimitives.WriteInt32LittleEndian(element[8..], keyBytes);
            BinaryPrimitives.WriteInt32LittleEndian(element[12..], valueBytes);
            at += PageLayout.ElementBytes;
            dataAt += keyBytes + valueBytes;
        }

        uint checksum = PageTrailer.Write(page, PageLayout.LeafTrailerMagic, output.Txid);
        ReadOnlySpan<byte> firstKey = _elements.Count > 0 ? data[.._elements[0].KeyBytes] : default;
        _elements.Clear();
        _dataBytes = 0;
        tree.AddChild(1, firstKey, id, checksum);
    }

    public void Clear()
    {
        _elements.Clear();
        _dataBytes = 0;
    }

    public void Dispose() => _data.Release();

    private void Append(ReadOnlySpan<byte> bytes)
    {
        int needed = checked(_dataBytes + bytes.Length);
        if (needed > _data.Length)
        {
            Slab larger = Slab.Rent(needed);
            _data.Span[.._dataBytes].CopyTo(larger.Span);
            _data.Release();
            _data = larger;
        }

        bytes.CopyTo(_data.Span[_dataBytes..]);
        _dataBytes = needed;
    }
}
