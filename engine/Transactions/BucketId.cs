namespace Perf.Engine.Transactions;

/// <summary>
/// A bucket's name resolved once (<see cref="DataFile.ResolveBucket"/>), good as long as the data file is open,
/// whether or not the bucket exists yet. Saves the search by name on every read.
/// </summary>
public readonly record struct BucketId(int Value);
