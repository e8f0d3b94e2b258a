using Perf.Store.Apply;

namespace Perf.Store.Tests.Apply;

/// <summary>Buckets in memory, for tests of one table at a time.</summary>
internal sealed class MemoryBuckets : IStateBuckets
{
    private readonly SortedDictionary<(string Bucket, string Key), byte[]> _records = [];

    public int Writes { get; private set; }

    public void Put(string bucket, ReadOnlySpan<byte> key, ReadOnlySpan<byte> value)
    {
        Writes++;
        _records[(bucket, Convert.ToHexString(key))] = value.ToArray();
    }

    public void Delete(string bucket, ReadOnlySpan<byte> key)
    {
        Writes++;
        _records.Remove((bucket, Convert.ToHexString(key)));
    }

    public byte[]? Get(string bucket, ReadOnlySpan<byte> key) =>
        _records.GetValueOrDefault((bucket, Convert.ToHexString(key)));

    public IReadOnlyList<KeyValuePair<byte[], byte[]>> List(string bucket) =>
    [
        .. _records.Where(record => record.Key.Bucket == bucket)
            .Select(record => new KeyValuePair<byte[], byte[]>(Convert.FromHexString(record.Key.Key), record.Value)),
    ];

    /// <summary>Everything, as text that can be compared.</summary>
    public string Dump() => string.Join(
        '\n', _records.Select(record => $"{record.Key.Bucket} {record.Key.Key} {Convert.ToHexString(record.Value)}"));
}
