namespace Perf.Engine.Transactions;

/// <summary>Walks a bucket in key order. Lives inside its read transaction. Allocates nothing.</summary>
public ref struct BucketCursor
{
    public readonly ReadOnlySpan<byte> Key => throw new NotImplementedException();

    public readonly ReadOnlySpan<byte> Value => throw new NotImplementedException();

    /// <summary>To the first key; false when the bucket is empty.</summary>
    public bool SeekFirst() => throw new NotImplementedException();

    /// <summary>To the first key that is not less than <paramref name="key"/>; false when there is none.</summary>
    public bool Seek(ReadOnlySpan<byte> key) => throw new NotImplementedException();

    /// <summary>To the last key; false when the bucket is empty.</summary>
    public bool SeekLast() => throw new NotImplementedException();

    /// <summary>To the next key; false behind the last one.</summary>
    public bool Next() => throw new NotImplementedException();
}
