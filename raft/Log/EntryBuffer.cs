namespace Perf.Raft;

/// <summary>A growing array of entries that is reused: <see cref="Clear"/> keeps the room.</summary>
public sealed class EntryBuffer
{
    private Entry[] _entries = new Entry[16];

    public int Count { get; private set; }

    public ReadOnlySpan<Entry> Span => _entries.AsSpan(0, Count);

    /// <summary>What is in it now. Stays readable when the buffer grows, not when it is cleared and filled again.</summary>
    public ReadOnlyMemory<Entry> Memory => _entries.AsMemory(0, Count);

    public ref readonly Entry this[int index] => ref _entries.AsSpan(0, Count)[index];

    public void Add(in Entry entry)
    {
        if (Count == _entries.Length)
        {
            Array.Resize(ref _entries, Count * 2);
        }

        _entries[Count++] = entry;
    }

    /// <summary>Empties the buffer. Leases are the caller's affair.</summary>
    public void Clear()
    {
        Array.Clear(_entries, 0, Count);
        Count = 0;
    }
}
