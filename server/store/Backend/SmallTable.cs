using Perf.Engine.Transactions;

namespace Perf.Store.Backend;

/// <summary>Changes of one small bucket: the newest value per key, null for a delete.</summary>
internal sealed class SmallTable
{
    private readonly Dictionary<byte[], byte[]?> _changes = new(BytesComparer.Instance);
    private readonly Dictionary<byte[], byte[]?>.AlternateLookup<ReadOnlySpan<byte>> _bySpan;

    public SmallTable()
    {
        _bySpan = _changes.GetAlternateLookup<ReadOnlySpan<byte>>();
    }

    public void Set(ReadOnlySpan<byte> key, byte[]? value) => _bySpan[key] = value;

    public bool TryGet(ReadOnlySpan<byte> key, out byte[]? value) => _bySpan.TryGetValue(key, out value);

    public void CopyTo(SortedDictionary<byte[], byte[]?> target)
    {
        foreach ((byte[] key, byte[]? value) in _changes)
        {
            target[key] = value;
        }
    }

    public void AddTo(WriteBatch batch, string bucket)
    {
        foreach ((byte[] key, byte[]? value) in _changes)
        {
            if (value is null)
            {
                batch.Delete(bucket, key);
            }
            else
            {
                batch.Put(bucket, key, value);
            }
        }
    }

    public void Clear() => _changes.Clear();
}
