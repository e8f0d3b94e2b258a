namespace Perf.Engine.Transactions;

/// <summary>
/// The changes of one commit. For one key, an explicit Put or Delete wins over a source, the later call over the
/// earlier, the later source over the earlier. Reusable after <see cref="Clear"/>.
/// </summary>
public sealed class WriteBatch
{
    /// <summary>
    /// Online defragmentation: this commit may move up to so many pages from the end of the file into lower holes.
    /// </summary>
    public int RelocateTailPagesMax { get; set; }

    /// <summary>Makes the bucket if it is not there.</summary>
    public void EnsureBucket(string name) => throw new NotImplementedException();

    /// <summary>Stores a copy of key and value; makes the bucket if need be. Keys have 1 to 32,768 bytes.</summary>
    public void Put(string bucket, ReadOnlySpan<byte> key, ReadOnlySpan<byte> value) => throw new NotImplementedException();

    /// <summary>Removes a key if it is there.</summary>
    public void Delete(string bucket, ReadOnlySpan<byte> key) => throw new NotImplementedException();

    /// <summary>Changes to be pulled once by the commit, in strictly ascending key order.</summary>
    public void AddSource(string bucket, IChangeSource source) => throw new NotImplementedException();

    /// <summary>Empties the batch for its next use.</summary>
    public void Clear() => throw new NotImplementedException();
}
