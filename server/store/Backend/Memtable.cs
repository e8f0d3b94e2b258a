using Perf.Engine.Transactions;

namespace Perf.Store.Backend;

/// <summary>
/// Everything applied since the last freeze: one commit in the making. The apply thread writes the active one; once
/// frozen nobody does, and the committer reads it.
/// </summary>
internal sealed class Memtable
{
    private readonly Dictionary<string, SmallTable> _small = new(StringComparer.Ordinal);

    public RecordTable Records { get; } = new();

    /// <summary>Last entry whose effects are all in here or in earlier commits; 0 when no entry was applied.</summary>
    public ulong Index { get; set; }

    public ulong Term { get; set; }

    /// <summary>Timestamp of the first change, or 0 when there is none.</summary>
    public long FirstChangeAt { get; set; }

    public long SmallBytes { get; private set; }

    public long Bytes => Records.Bytes + SmallBytes;

    public bool IsEmpty => FirstChangeAt == 0;

    /// <summary>A null value deletes.</summary>
    public void Set(string bucket, ReadOnlySpan<byte> key, byte[]? value)
    {
        if (!_small.TryGetValue(bucket, out SmallTable? table))
        {
            _small.Add(bucket, table = new SmallTable());
        }
        table.Set(key, value);
        SmallBytes += key.Length + (value?.Length ?? 0) + 64;
    }

    /// <summary>True when the bucket's key was changed here; a null value means deleted.</summary>
    public bool TryGet(string bucket, ReadOnlySpan<byte> key, out byte[]? value)
    {
        value = null;
        return _small.TryGetValue(bucket, out SmallTable? table) && table.TryGet(key, out value);
    }

    /// <summary>Lays the bucket's changes over what is in the target.</summary>
    public void CopyTo(string bucket, SortedDictionary<byte[], byte[]?> target)
    {
        if (_small.TryGetValue(bucket, out SmallTable? table))
        {
            table.CopyTo(target);
        }
    }

    /// <summary>Hands the small buckets' changes to a commit.</summary>
    public void AddTo(WriteBatch batch)
    {
        // The batch sorts; the order of a dictionary does not reach the file.
        foreach ((string bucket, SmallTable table) in _small)
        {
            table.AddTo(batch, bucket);
        }
    }

    /// <summary>Ready for its next use; no reader may be left.</summary>
    public void Clear()
    {
        Records.Clear();
        foreach (SmallTable table in _small.Values)
        {
            table.Clear();
        }
        Index = 0;
        Term = 0;
        FirstChangeAt = 0;
        SmallBytes = 0;
    }
}
