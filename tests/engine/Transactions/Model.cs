using System.Text;
using Perf.Engine.IO;
using Perf.Engine.Transactions;
using Perf.Engine.Tree;
using Xunit;

namespace Perf.Engine.Tests.Transactions;

/// <summary>What a data file should contain: sorted dictionaries, one per bucket, and random work on both.</summary>
internal sealed class Model
{
    private readonly SortedDictionary<string, SortedDictionary<byte[], byte[]>> _buckets = new(StringComparer.Ordinal);

    public IEnumerable<string> Buckets => _buckets.Keys;

    public SortedDictionary<byte[], byte[]> this[string bucket] => _buckets[bucket];

    public Model Copy()
    {
        var copy = new Model();
        foreach ((string name, SortedDictionary<byte[], byte[]> entries) in _buckets)
        {
            copy._buckets[name] = new SortedDictionary<byte[], byte[]>(entries, ByteOrder.Instance);
        }

        return copy;
    }

    public void Ensure(string bucket, WriteBatch batch)
    {
        batch.EnsureBucket(bucket);
        _buckets.TryAdd(bucket, new SortedDictionary<byte[], byte[]>(ByteOrder.Instance));
    }

    public void Put(string bucket, byte[] key, byte[] value, WriteBatch batch)
    {
        Ensure(bucket, batch);
        batch.Put(bucket, key, value);
        _buckets[bucket][key] = value;
    }

    public void Delete(string bucket, byte[] key, WriteBatch batch)
    {
        Ensure(bucket, batch);
        batch.Delete(bucket, key);
        _buckets[bucket].Remove(key);
    }

    /// <summary>A batch of random puts, deletes and range deletes, applied here and recorded there.</summary>
    public void RandomBatch(Random random, WriteBatch batch, int changesMax = 200)
    {
        int buckets = random.Next(1, 5);
        for (int b = 0; b < buckets; b++)
        {
            string bucket = "bucket" + random.Next(6);
            Ensure(bucket, batch);
            SortedDictionary<byte[], byte[]> entries = _buckets[bucket];
            int kind = random.Next(10);
            int count = random.Next(1, changesMax);
            if (kind < 4)
            {
                // Appending, as revisions do.
                long next = entries.Count == 0 ? 1 : BitConverter.ToInt64([.. entries.Keys.Last().Take(8).Reverse()]) + 1;
                for (int i = 0; i < count; i++)
                {
                    Put(bucket, Revision(next + i), Value(random), batch);
                }
            }
            else if (kind < 6)
            {
                for (int i = 0; i < count; i++)
                {
                    Put(bucket, Revision(random.Next(1, 3000)), Value(random), batch);
                }
            }
            else if (kind < 9)
            {
                // Compaction: a run of neighbours goes, with survivors.
                int skip = random.Next(entries.Count + 1);
                int survivors = random.Next(2, 40);
                foreach (byte[] key in entries.Keys.Skip(skip).Take(count * 5).ToList())
                {
                    if (random.Next(survivors) != 0)
                    {
                        Delete(bucket, key, batch);
                    }
                }
            }
            else if (random.Next(4) == 0)
            {
                foreach (byte[] key in entries.Keys.ToList())
                {
                    Delete(bucket, key, batch);
                }
            }
        }
    }

    public void RequireEqual(DataFile file)
    {
        using ReadTransaction tx = file.BeginRead();
        Assert.Equal(_buckets.Keys, tx.Buckets());
        foreach ((string name, SortedDictionary<byte[], byte[]> entries) in _buckets)
        {
            BucketCursor cursor = tx.OpenCursor(name);
            bool more = cursor.SeekFirst();
            foreach ((byte[] key, byte[] value) in entries)
            {
                Assert.True(more, "the file has fewer keys");
                Assert.True(cursor.Key.SequenceEqual(key), "keys differ");
                Assert.True(cursor.Value.SequenceEqual(value), "values differ");
                more = cursor.Next();
            }

            Assert.False(more, "the file has more keys");
        }
    }

    public void RequireEqualAndSound(DataFile file)
    {
        RequireEqual(file);
        VerifyReport report = file.Verify();
        Assert.Empty(report.Problems);
        Assert.Equal(file.SizeInUseBytes, report.PagesUsed * file.PageBytes);
    }

    public bool Equals(DataFile file)
    {
        try
        {
            RequireEqual(file);
            return true;
        }
        catch (Xunit.Sdk.XunitException)
        {
            return false;
        }
    }

    public static byte[] Revision(long main)
    {
        byte[] key = new byte[17];
        System.Buffers.Binary.BinaryPrimitives.WriteInt64BigEndian(key, main);
        key[8] = (byte)'_';
        return key;
    }

    public static byte[] Text(string text) => Encoding.UTF8.GetBytes(text);

    private static byte[] Value(Random random)
    {
        int bytes = random.Next(100) switch
        {
            < 5 => 0,
            < 90 => random.Next(1, 300),
            < 99 => random.Next(300, 4000),
            _ => random.Next(4000, 40_000),
        };
        byte[] value = new byte[bytes];
        random.NextBytes(value);
        return value;
    }

    private sealed class ByteOrder : IComparer<byte[]>
    {
        public static readonly ByteOrder Instance = new();

        public int Compare(byte[]? x, byte[]? y) => x.AsSpan().SequenceCompareTo(y);
    }
}

/// <summary>Opens data files the way tests want them.</summary>
internal static class TestFile
{
    public const string Path = "/data/db";

    public static SimDisk NewDisk()
    {
        var disk = new SimDisk();
        disk.CreateDirectory("/data");
        disk.SyncDirectory("/");
        return disk;
    }

    public static DataFile Open(SimDisk disk, int pageBytes = 4096, bool twoSync = false) => DataFile.Open(
        disk, Path, new DataFileOptions { PageBytes = pageBytes, MapBytesMin = 64 << 20, TwoSyncCommit = twoSync });
}
