using System.Text;
using Perf.Engine.Pages;
using Perf.Engine.Tree;

namespace Perf.Engine.Transactions;

/// <summary>
/// The changes of one commit. For one key, an explicit Put or Delete wins over a source, the later call over the
/// earlier, the later source over the earlier. Reusable after <see cref="Clear"/>.
/// </summary>
public sealed class WriteBatch
{
    private readonly Dictionary<string, BucketChanges> _buckets = new(StringComparer.Ordinal);

    /// <summary>
    /// Online defragmentation: this commit may move up to so many pages from the end of the file into lower holes.
    /// </summary>
    public int RelocateTailPagesMax { get; set; }

    /// <summary>Makes the bucket if it is not there.</summary>
    public void EnsureBucket(string name) => Of(name);

    /// <summary>Stores a copy of key and value; makes the bucket if need be. Keys have 1 to 32,768 bytes.</summary>
    public void Put(string bucket, ReadOnlySpan<byte> key, ReadOnlySpan<byte> value)
    {
        RequireKey(key);
        Of(bucket).Add(key, value, isDelete: false);
    }

    /// <summary>Removes a key if it is there.</summary>
    public void Delete(string bucket, ReadOnlySpan<byte> key)
    {
        RequireKey(key);
        Of(bucket).Add(key, default, isDelete: true);
    }

    /// <summary>Changes to be pulled once by the commit, in strictly ascending key order.</summary>
    public void AddSource(string bucket, IChangeSource source) => Of(bucket).Sources.Add(source);

    /// <summary>Empties the batch for its next use.</summary>
    public void Clear()
    {
        _buckets.Clear();
        RelocateTailPagesMax = 0;
    }

    /// <summary>The buckets named in the batch, in byte order of their names.</summary>
    internal List<BucketChanges> InOrder()
    {
        var ordered = new List<BucketChanges>(_buckets.Values);
        ordered.Sort(static (left, right) => KeyOrder.Compare(left.NameBytes, right.NameBytes));
        return ordered;
    }

    private static void RequireKey(ReadOnlySpan<byte> key)
    {
        if (key.Length is 0 or > PageLayout.KeyBytesMax)
        {
            throw new ArgumentException($"a key of {key.Length} bytes", nameof(key));
        }
    }

    private BucketChanges Of(string name)
    {
        if (!_buckets.TryGetValue(name, out BucketChanges? changes))
        {
            byte[] bytes = Encoding.UTF8.GetBytes(name);
            RequireKey(bytes);
            changes = new BucketChanges(name, bytes);
            _buckets.Add(name, changes);
        }

        return changes;
    }
}
