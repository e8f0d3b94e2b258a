using System.Buffers.Binary;
using Etcdserverpb;
using Google.Protobuf;
using Perf.Store.Mvcc;
using Xunit;

namespace Perf.Store.Tests.Mvcc;

/// <summary>
/// One writer, a committer and several readers. Every transaction moves an amount between two accounts and writes
/// the revision into both, creates and deletes others, so each published revision satisfies: the sum is constant,
/// the number of keys is constant, and an account holds the revision that it was written at.
/// </summary>
public sealed class ConcurrencyTests
{
    private const int Accounts = 300;
    private const int Total = Accounts * 100;
    private const int ReadsMin = 300;

    [Fact]
    public void Readers_always_see_one_published_revision()
    {
        using var rig = new StoreRig();
        Seed(rig);
        rig.Store.Publish();
        using var stop = new CancellationTokenSource();
        long reads = 0;
        Exception? failure = null;
        var threads = new List<Thread>();
        for (int i = 0; i < 3; i++)
        {
            int seed = i;
            threads.Add(new Thread(() => Guard(() => Read(rig, seed, ref reads, stop.Token))));
        }
        threads.Add(new Thread(() => Guard(() =>
        {
            while (!stop.IsCancellationRequested)
            {
                rig.Backend.CommitFrozen();
                Thread.Yield();
            }
        })));
        threads.ForEach(t => t.Start());

        // A quick writer waits for its readers: it goes on until they have seen enough of it.
        var random = new Random(5);
        long end = Environment.TickCount64 + 60_000;
        for (int step = 0; failure is null && (step < 3000 || Lacks()); step++)
        {
            Transfer(rig, random);
            if (random.Next(8) == 0)
            {
                rig.Store.Publish();
            }
            if (random.Next(50) == 0)
            {
                rig.Backend.TryFreeze();
            }
            if (random.Next(200) == 0)
            {
                rig.Compact(rig.Store.Revision - random.Next(20));
            }
            if (rig.Store.CompactionPending)
            {
                rig.Store.CompactStep(20);
            }
        }
        stop.Cancel();
        threads.ForEach(t => t.Join());
        Assert.Null(failure);
        Assert.True(reads >= ReadsMin, $"{reads} reads");
        rig.Store.VerifyIndex();

        bool Lacks() => Interlocked.Read(ref reads) < ReadsMin && Environment.TickCount64 < end;

        void Guard(Action work)
        {
            try
            {
                work();
            }
            catch (Exception e)
            {
                failure = e;
                stop.Cancel();
            }
        }
    }

    private static void Seed(StoreRig rig)
    {
        for (int i = 0; i < Accounts; i++)
        {
            rig.Put($"account/{i:D5}", "100");
        }
    }

    private static void Transfer(StoreRig rig, Random random)
    {
        MvccStore store = rig.Store;
        store.BeginTxn();
        // One account moves to a new name: its amount goes with it, and the number of keys stays.
        int from = random.Next(Accounts);
        Span<byte> value = stackalloc byte[8];
        BinaryPrimitives.WriteInt64BigEndian(value, store.Revision + 1);
        store.Put(System.Text.Encoding.UTF8.GetBytes($"moved/{random.Next(2000):D5}"), value, 0);
        store.Put(System.Text.Encoding.UTF8.GetBytes($"account/{from:D5}"), "100"u8, 0);
        store.Delete(System.Text.Encoding.UTF8.GetBytes($"moved/{random.Next(2000):D5}"));
        store.Put("counter"u8, value, 0);
        store.EndTxn();
        rig.EntryDone();
    }

    private static void Read(StoreRig rig, int seed, ref long reads, CancellationToken stop)
    {
        var random = new Random(seed + 100);
        while (!stop.IsCancellationRequested)
        {
            Interlocked.Increment(ref reads);
            long floor = rig.Store.PublishedRevision;
            switch (random.Next(4))
            {
                case 0:
                    RangeResponse accounts = rig.Get("account/", "account0");
                    Assert.Equal(Accounts, accounts.Kvs.Count);
                    Assert.Equal(Total, accounts.Kvs.Sum(kv => int.Parse(kv.Value.Span)));
                    Assert.True(accounts.Header.Revision >= floor);
                    break;
                case 1:
                    RangeResponse counter = rig.Get("counter");
                    if (counter.Kvs.Count == 1)
                    {
                        // Every transaction writes its revision here: the newest published one must be the header's.
                        Assert.Equal(counter.Header.Revision, counter.Kvs[0].ModRevision);
                        Assert.Equal(
                            counter.Header.Revision,
                            BinaryPrimitives.ReadInt64BigEndian(counter.Kvs[0].Value.Span));
                    }
                    break;
                case 2:
                    var page = new RangeRequest
                    {
                        Key = ByteString.CopyFromUtf8($"account/{random.Next(Accounts):D5}"),
                        RangeEnd = ByteString.CopyFromUtf8("account0"),
                        Limit = 10,
                    };
                    Assert.Equal(StoreError.None, rig.Range(page, out RangeResponse found));
                    int first = int.Parse(found.Kvs[0].Key.Span[8..]);
                    Assert.Equal(Accounts - first, found.Count);
                    Assert.Equal(Math.Min(10, Accounts - first), found.Kvs.Count);
                    break;
                default:
                    var moved = new RangeRequest
                    {
                        Key = ByteString.CopyFromUtf8("moved/"),
                        RangeEnd = ByteString.CopyFromUtf8("moved0"),
                    };
                    Assert.Equal(StoreError.None, rig.Range(moved, out RangeResponse whole));
                    moved.Limit = 1;
                    moved.Revision = whole.Header.Revision;
                    StoreError error = rig.Range(moved, out RangeResponse counted);
                    if (error == StoreError.None)
                    {
                        Assert.Equal(whole.Kvs.Count, counted.Count);
                    }
                    else
                    {
                        Assert.Equal(StoreError.Compacted, error);
                    }
                    break;
            }
        }
    }
}
