using System.Buffers.Binary;
using BenchmarkDotNet.Attributes;
using Perf.Engine.IO;
using Perf.Engine.Transactions;

namespace Perf.Bench.Micro;

/// <summary>The data file: descents through its pages, and one commit of many changes. Without syncs: the disk is not measured.</summary>
public class TreeBenchmarks
{
    private const string Bucket = "key";
    private const int KeyBytes = 17;
    private const int ValueBytes = 256;

    private readonly byte[] _key = new byte[KeyBytes];
    private readonly byte[] _value = new byte[ValueBytes];
    private readonly Random _random = new(1);
    private string _folder = "";
    private DataFile _file = null!;
    private WriteBatch _batch = null!;
    private BucketId _bucket;
    private long _next;

    [Params(100_000)]
    public int Keys { get; set; }

    [GlobalSetup]
    public void Setup()
    {
        _folder = Directory.CreateTempSubdirectory("perf-micro").FullName;
        _file = DataFile.Open(FileDisk.Instance, Path.Combine(_folder, "db"), new DataFileOptions { NoSync = true });
        _batch = new WriteBatch();
        Append(Keys);
        _bucket = _file.ResolveBucket(Bucket);
    }

    [GlobalCleanup]
    public void Cleanup()
    {
        _file.Dispose();
        Directory.Delete(_folder, recursive: true);
    }

    /// <summary>One key found by page search from the root.</summary>
    [Benchmark]
    public int PageSearch()
    {
        Write(_random.NextInt64(Keys));
        using ReadTransaction read = _file.BeginRead();
        return read.TryGet(_bucket, _key, out ReadOnlySpan<byte> value) ? value.Length : throw Missing();
    }

    /// <summary>A thousand records behind the last one, as every commit of etcd's key bucket has them.</summary>
    [Benchmark(OperationsPerInvoke = 1000)]
    public void MergeAtTheEnd() => Append(1000);

    /// <summary>A thousand records all over the tree, as a compaction touches them.</summary>
    [Benchmark(OperationsPerInvoke = 1000)]
    public void MergeAllOver()
    {
        for (int i = 0; i < 1000; i++)
        {
            Write(_random.NextInt64(Keys));
            _batch.Put(Bucket, _key, _value);
        }

        _file.Commit(_batch);
        _batch.Clear();
    }

    private void Append(int count)
    {
        for (int i = 0; i < count; i++)
        {
            Write(_next++);
            _batch.Put(Bucket, _key, _value);
        }

        _file.Commit(_batch);
        _batch.Clear();
    }

    private void Write(long number)
    {
        BinaryPrimitives.WriteInt64BigEndian(_key, number);
        _key[8] = (byte)'_';
    }

    private static InvalidOperationException Missing() => new("a key that was written is not found");
}
