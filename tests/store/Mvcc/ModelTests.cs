using Etcdserverpb;
using Google.Protobuf;
using Mvccpb;
using Perf.Store.Mvcc;
using Xunit;

namespace Perf.Store.Tests.Mvcc;

/// <summary>Random histories, every answer compared with the naive store's.</summary>
public sealed class ModelTests
{
    private static readonly long[] Leases = [11, 12, 13];

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(3)]
    [InlineData(4)]
    [InlineData(5)]
    [InlineData(6)]
    public void Random_history_reads_as_the_naive_store_says(int seed)
    {
        var random = new Random(seed);
        int keyCount = seed % 2 == 0 ? 12 : 400;
        var sink = new RecordingSink();
        using var rig = new StoreRig(sink: sink);
        rig.Leases.Known.UnionWith(Leases);
        var model = new NaiveStore { Leases = [.. Leases] };

        for (int step = 0; step < 700; step++)
        {
            Step(rig, model, random, keyCount);
            if (random.Next(4) != 0)
            {
                continue;
            }

            rig.Store.Publish();
            Assert.Equal(model.Revision, rig.Store.PublishedRevision);
            Assert.Equal(model.Compacted, rig.Store.PublishedCompactRevision);
            for (int i = 0; i < 4; i++)
            {
                RangeRequest request = RandomRange(random, model, keyCount);
                StoreError expected = model.Range(request, out RangeResponse wanted);
                Assert.Equal(expected, rig.Range(request, out RangeResponse found));
                AssertSame(wanted, found, request);
            }
            switch (random.Next(12))
            {
                case 0:
                    rig.Backend.TryFreeze();
                    break;
                case 1:
                case 2:
                    rig.Backend.CommitFrozen();
                    break;
                case 3:
                    rig.Backend.CommitAll();
                    rig.Reopen();
                    rig.Store.Publish();
                    Assert.Equal(model.Revision, rig.Store.Revision);
                    Assert.Equal(model.Compacted, rig.Store.CompactRevision);
                    break;
                case 4:
                    if (rig.Store.CompactionPending && rig.Store.CompactStep(random.Next(1, 30)))
                    {
                        model.FinishCompaction();
                    }
                    break;
                case 5 when !rig.Store.CompactionPending:
                    long at = Math.Max(model.Compacted, 0) + random.Next((int)(model.Revision - Math.Max(model.Compacted, 0)) + 1);
                    Assert.Equal(StoreError.None, rig.Store.HashKv(at, out HashKvResult hash));
                    Assert.Equal(model.HashKv(at == 0 ? model.Revision : at), hash.Hash);
                    Assert.Equal(model.Compacted, hash.CompactRevision);
                    break;
                case 6:
                    CompareHistory(rig, model, random);
                    break;
            }
        }

        CompareLeases(rig, model);
        rig.Store.VerifyIndex();
        Assert.True(model.Revision > 100);
    }

    [Fact]
    public void Events_tell_what_the_records_hold()
    {
        var random = new Random(99);
        var sink = new RecordingSink();
        using var rig = new StoreRig(sink: sink);
        rig.Leases.Known.UnionWith(Leases);
        var model = new NaiveStore { Leases = [.. Leases] };
        for (int step = 0; step < 300; step++)
        {
            Step(rig, model, random, 10);
        }
        rig.Store.Publish();
        var expected = model.Records.Select(r => (
            r.Main,
            r.IsDelete,
            KeyValue: r.IsDelete ? new KeyValue { Key = r.Stored.Key, ModRevision = r.Main } : r.Stored));
        Assert.Equal(expected, sink.Events);
        Assert.Equal(model.Revision, sink.Published);
    }

    internal static void Step(StoreRig rig, NaiveStore model, Random random, int keyCount)
    {
        switch (random.Next(20))
        {
            case < 9:
                PutRequest put = RandomPut(random, keyCount);
                StoreError expected = model.Put(put, out PutResponse wantedPut);
                Assert.Equal(expected, rig.Put(put, out PutResponse foundPut));
                Assert.Equal(wantedPut, foundPut);
                break;
            case < 12:
                DeleteRangeRequest delete = RandomDelete(random, keyCount);
                Assert.Equal(model.Delete(delete), rig.Delete(delete));
                break;
            case < 18:
                TxnRequest txn = RandomTxn(random, model, keyCount, 0);
                StoreError expectedTxn = model.Txn(txn, out TxnResponse wantedTxn);
                Assert.Equal(expectedTxn, rig.Txn(txn, out TxnResponse foundTxn));
                Assert.Equal(wantedTxn, foundTxn);
                break;
            case 18 when random.Next(4) == 0:
                long revision = model.Revision - random.Next(-1, 30);
                Assert.Equal(model.Compact(revision), rig.Compact(revision));
                break;
            case 19:
                rig.Store.Publish();
                var readOnly = new TxnRequest();
                AddCompares(readOnly, random, model, keyCount);
                AddRanges(readOnly, random, model, keyCount);
                StoreError expectedRead = model.Txn(readOnly, out TxnResponse wantedRead);
                Assert.Equal(expectedRead, rig.ReadTxn(readOnly, out TxnResponse foundRead));
                Assert.Equal(wantedRead, foundRead);
                break;
        }
    }

    internal static void AssertSame(RangeResponse wanted, RangeResponse found, RangeRequest request)
    {
        if (!wanted.Equals(found))
        {
            Assert.Fail($"request {request}\nwanted {wanted}\nfound  {found}");
        }
    }

    private static void CompareHistory(StoreRig rig, NaiveStore model, Random random)
    {
        long from = Math.Max(1, model.Compacted + random.Next(5));
        long to = from + random.Next(40);
        Assert.Equal(StoreError.None, rig.Store.OpenHistory(from, to, out HistoryCursor cursor));
        using (cursor)
        {
            foreach (NaiveStore.Record record in model.Records.Where(r => r.Main >= from && r.Main <= to))
            {
                // What lies at the compact revision itself and was superseded there may be gone already.
                if (record.Main == model.Compacted && !model.Keep(record.Main, true).Contains((record.Main, record.Sub)))
                {
                    continue;
                }
                do
                {
                    Assert.True(cursor.MoveNext());
                }
                while (cursor.Main == model.Compacted && cursor.Sub < record.Sub);
                Assert.Equal((record.Main, record.Sub), (cursor.Main, cursor.Sub));
                Assert.Equal(record.IsDelete, cursor.IsDelete);
                Assert.Equal(record.Stored.ToByteArray(), cursor.KeyValue.ToArray());
            }
            while (cursor.MoveNext())
            {
                Assert.Equal(model.Compacted, cursor.Main);
            }
        }
    }

    private static void CompareLeases(StoreRig rig, NaiveStore model)
    {
        var expected = model.At(long.MaxValue)
            .Where(pair => pair.Value.Lease != 0)
            .Select(pair => (pair.Value.Lease, pair.Key))
            .Order();
        Assert.Equal(expected, rig.Leases.Attached.Order());
    }

    private static ByteString RandomKey(Random random, int keyCount)
    {
        int number = random.Next(keyCount);
        string key = (number % 4) switch
        {
            0 => $"/registry/pods/{number:D6}",
            1 => $"/registry/pods/default/{number:D6}",
            2 => new string((char)('a' + (number % 26)), 1 + (number / 26)),
            _ => $"k\0{(char)number}",
        };
        return ByteString.CopyFrom(key, System.Text.Encoding.Latin1);
    }

    private static ByteString RandomEnd(Random random, int keyCount) => random.Next(5) switch
    {
        0 or 1 => ByteString.Empty,
        2 => ByteString.CopyFrom(0),
        3 => ByteString.CopyFromUtf8("/registry/pods0"),
        _ => RandomKey(random, keyCount),
    };

    private static PutRequest RandomPut(Random random, int keyCount)
    {
        byte[] value = new byte[random.Next(8) == 0 ? random.Next(6000) : random.Next(40)];
        random.NextBytes(value);
        var put = new PutRequest
        {
            Key = RandomKey(random, keyCount),
            Value = ByteString.CopyFrom(value),
            Lease = random.Next(3) == 0 ? random.Next(10, 14) : 0,
            PrevKv = random.Next(3) == 0,
        };
        if (random.Next(6) == 0)
        {
            put.IgnoreValue = true;
            put.Value = ByteString.Empty;
        }
        if (random.Next(6) == 0)
        {
            put.IgnoreLease = true;
            put.Lease = 0;
        }
        return put;
    }

    private static DeleteRangeRequest RandomDelete(Random random, int keyCount) => new()
    {
        Key = RandomKey(random, keyCount),
        RangeEnd = random.Next(3) == 0 ? RandomEnd(random, keyCount) : ByteString.Empty,
        PrevKv = random.Next(2) == 0,
    };

    private static RangeRequest RandomRange(Random random, NaiveStore model, int keyCount)
    {
        var range = new RangeRequest
        {
            Key = random.Next(3) == 0 ? ByteString.CopyFrom(0) : RandomKey(random, keyCount),
            RangeEnd = RandomEnd(random, keyCount),
            KeysOnly = random.Next(4) == 0,
            CountOnly = random.Next(6) == 0,
        };
        if (random.Next(2) == 0)
        {
            range.Limit = random.Next(1, 12);
        }
        if (random.Next(3) == 0)
        {
            range.Revision = model.Revision - random.Next(-1, 40);
        }
        if (random.Next(3) == 0)
        {
            range.SortOrder = (RangeRequest.Types.SortOrder)random.Next(3);
            range.SortTarget = (RangeRequest.Types.SortTarget)random.Next(5);
        }
        if (random.Next(4) == 0)
        {
            range.MinModRevision = random.Next((int)model.Revision);
            range.MaxModRevision = random.Next(2) == 0 ? range.MinModRevision + random.Next(50) : 0;
        }
        if (random.Next(6) == 0)
        {
            range.MaxCreateRevision = random.Next((int)model.Revision + 1);
            range.MinCreateRevision = random.Next(2) == 0 ? random.Next(50) : 0;
        }
        return range;
    }

    private static void AddCompares(TxnRequest txn, Random random, NaiveStore model, int keyCount)
    {
        for (int i = random.Next(3); i > 0; i--)
        {
            var compare = new Compare
            {
                Key = RandomKey(random, keyCount),
                RangeEnd = random.Next(3) == 0 ? RandomEnd(random, keyCount) : ByteString.Empty,
                Target = (Compare.Types.CompareTarget)random.Next(5),
                Result = (Compare.Types.CompareResult)random.Next(4),
            };
            switch (random.Next(6))
            {
                case 0:
                    compare.Version = random.Next(3);
                    break;
                case 1:
                    compare.CreateRevision = random.Next((int)model.Revision + 1);
                    break;
                case 2:
                    compare.ModRevision = random.Next((int)model.Revision + 1);
                    break;
                case 3:
                    compare.Lease = random.Next(10, 14);
                    break;
                case 4:
                    compare.Value = ByteString.CopyFrom((byte)random.Next(256));
                    break;
            }
            txn.Compare.Add(compare);
        }
    }

    private static void AddRanges(TxnRequest txn, Random random, NaiveStore model, int keyCount)
    {
        for (int i = random.Next(3); i > 0; i--)
        {
            txn.Success.Add(new RequestOp { RequestRange = RandomRange(random, model, keyCount) });
            txn.Failure.Add(new RequestOp { RequestRange = RandomRange(random, model, keyCount) });
        }
    }

    private static TxnRequest RandomTxn(Random random, NaiveStore model, int keyCount, int depth)
    {
        var txn = new TxnRequest();
        AddCompares(txn, random, model, keyCount);
        for (int i = random.Next(4); i > 0; i--)
        {
            txn.Success.Add(RandomOp(random, model, keyCount, depth));
        }
        for (int i = random.Next(4); i > 0; i--)
        {
            txn.Failure.Add(RandomOp(random, model, keyCount, depth));
        }
        return txn;
    }

    private static RequestOp RandomOp(Random random, NaiveStore model, int keyCount, int depth) =>
        random.Next(depth < 3 ? 6 : 5) switch
        {
            0 or 1 => new RequestOp { RequestPut = RandomPut(random, keyCount) },
            2 => new RequestOp { RequestDeleteRange = RandomDelete(random, keyCount) },
            3 or 4 => new RequestOp { RequestRange = RandomRange(random, model, keyCount) },
            _ => new RequestOp { RequestTxn = RandomTxn(random, model, keyCount, depth + 1) },
        };
}

/// <summary>Keeps what it is told.</summary>
internal sealed class RecordingSink : IRevisionSink
{
    public List<(long Main, bool IsDelete, KeyValue KeyValue)> Events { get; } = [];

    public long Published { get; private set; }

    public long Compacted { get; private set; } = -1;

    public long Reset { get; private set; }

    public void OnTransaction(long revision, ReadOnlySpan<RevisionEvent> events)
    {
        foreach (RevisionEvent item in events)
        {
            KeyValue keyValue = KeyValue.Parser.ParseFrom(item.KeyValue.Span);
            Assert.Equal(keyValue.Key.ToByteArray(), item.Key.ToArray());
            Assert.Equal(item.IsCreate, !item.IsDelete && keyValue.Version == 1);
            Events.Add((revision, item.IsDelete, keyValue));
        }
    }

    public void OnPublished(long revision) => Published = revision;

    public void OnCompacted(long revision) => Compacted = revision;

    public void OnReset(long revision) => Reset = revision;
}
