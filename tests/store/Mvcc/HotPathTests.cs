using System.Diagnostics;
using Etcdserverpb;
using Google.Protobuf;
using Perf.Engine.IO;
using Perf.Store.Commands;
using Perf.Store.Mvcc;
using Xunit;
using Xunit.Abstractions;

namespace Perf.Store.Tests.Mvcc;

/// <summary>What the hot path allocates (asserted) and how long it takes (told).</summary>
public sealed class HotPathTests(ITestOutputHelper output)
{
    private const int Keys = 10_000;

    [Fact]
    public void Puts_and_gets_allocate_nothing_once_warm()
    {
        string folder = Directory.CreateTempSubdirectory("perf-store-").FullName;
        using var rig = new StoreRig(FileDisk.Instance, null, Path.Combine(folder, "db"));
        var response = new ProtoBuffer(4096);
        byte[][] puts = Requests(i => new PutRequest
        {
            Key = ByteString.CopyFromUtf8($"/registry/pods/{i:D8}"),
            Value = ByteString.CopyFrom(new byte[100]),
        });
        byte[][] gets = Requests(i => new RangeRequest { Key = ByteString.CopyFromUtf8($"/registry/pods/{i:D8}") });
        for (int i = 0; i < 4; i++)
        {
            Put(rig, puts, response);
            Get(rig, gets, response);
            rig.Compact(rig.Store.Revision);
            rig.FinishCompaction();
            rig.Backend.CommitAll();
        }

        // The test's disk and the commits allocate; the requests in between must not.
        long putBytes = 0;
        long getBytes = 0;
        for (int i = 0; i < 10; i++)
        {
            long before = GC.GetAllocatedBytesForCurrentThread();
            Put(rig, puts, response);
            long between = GC.GetAllocatedBytesForCurrentThread();
            Get(rig, gets, response);
            getBytes += GC.GetAllocatedBytesForCurrentThread() - between;
            putBytes += between - before;
            rig.Compact(rig.Store.Revision);
            rig.FinishCompaction();
            rig.Backend.CommitAll();
        }
        double perPut = putBytes / (Keys * 10.0);
        double perGet = getBytes / (Keys * 10.0);
        Directory.Delete(folder, true);
        Assert.True(perPut <= 1 && perGet <= 1, $"{perPut} bytes per put, {perGet} per get");
    }

    [Fact]
    public void Times_are_told()
    {
        string folder = Directory.CreateTempSubdirectory("perf-store-").FullName;
        try
        {
            int count = int.Parse(Environment.GetEnvironmentVariable("PERF_STORE_KEYS") ?? "20000");
            using var backend = new Perf.Store.Backend.BackendStore(
                Perf.Engine.Transactions.DataFile.Open(FileDisk.Instance, Path.Combine(folder, "db"), new() { NoSync = true }));
            var store = new MvccStore(backend);
            store.Load();
            byte[] value = new byte[256];
            var clock = Stopwatch.StartNew();
            ulong entry = 0;
            for (int round = 0; round < 3; round++)
            {
                clock.Restart();
                long commit = 0;
                for (int i = 0; i < count; i++)
                {
                    PutView.TryParse(PutBytes(i, value), out PutView put);
                    store.ApplyPut(in put, default, null);
                    backend.SetConsistentIndex(++entry, 1);
                    if (i % 64 == 0)
                    {
                        store.Publish();
                    }
                    if (i % 16_384 == 0)
                    {
                        long from = clock.ElapsedTicks;
                        backend.TryFreeze();
                        backend.CommitFrozen();
                        commit += clock.ElapsedTicks - from;
                    }
                }
                double nanos = (clock.ElapsedTicks - commit) * 1e9 / Stopwatch.Frequency / count;
                output.WriteLine($"put apply, round {round}: {nanos:F0} ns, commits {commit * 1e3 / Stopwatch.Frequency:F0} ms");
            }
            store.Publish();
            backend.CommitAll();

            var target = new ProtoBuffer(1 << 20);
            for (int round = 0; round < 3; round++)
            {
                clock.Restart();
                TimeSpan processorBefore = Environment.CpuUsage.TotalTime;
                for (int i = 0; i < count; i++)
                {
                    target.Clear();
                    RangeView.TryParse(GetBytes((int)(i * 7919L % count)), out RangeView get);
                    store.Range(in get, default, target);
                }
                TimeSpan processor = Environment.CpuUsage.TotalTime - processorBefore;
                output.WriteLine($"get, round {round}: {clock.Elapsed.TotalNanoseconds / count:F0} ns"
                    + $", {processor.TotalNanoseconds / count:F0} ns of the processor");
            }

            var page = new RangeRequest
            {
                Key = ByteString.CopyFromUtf8("/registry/pods/00005000"),
                RangeEnd = ByteString.CopyFromUtf8("/registry/pods0"),
                Limit = 1000,
            }.ToByteArray();
            for (int round = 0; round < 3; round++)
            {
                clock.Restart();
                for (int i = 0; i < 200; i++)
                {
                    target.Clear();
                    RangeView.TryParse(page, out RangeView view);
                    store.Range(in view, default, target);
                }
                output.WriteLine($"page of 1000: {clock.Elapsed.TotalMicroseconds / 200:F0} us, {target.Count} bytes");
            }

            clock.Restart();
            store.HashKv(0, out _);
            output.WriteLine($"HashKV of {3 * count} records: {clock.Elapsed.TotalMilliseconds:F0} ms");
            for (int parts = 1; parts <= 4; parts *= 2)
            {
                clock.Restart();
                var again = new MvccStore(backend);
                again.Load((works, work) => Parallel.For(0, works, work), parts);
                output.WriteLine($"load with {parts} parts: {clock.Elapsed.TotalMilliseconds:F0} ms");
                Assert.Equal(store.Revision, again.Revision);
            }
        }
        finally
        {
            Directory.Delete(folder, true);
        }
    }

    private static byte[] PutBytes(int i, byte[] value)
    {
        s_put ??= new PutRequest
        {
            Key = ByteString.CopyFromUtf8("/registry/pods/00000000"),
            Value = ByteString.CopyFrom(value),
        }.ToByteArray();
        Digits(s_put.AsSpan(2 + 15, 8), i);
        return s_put;
    }

    private static byte[] GetBytes(int i)
    {
        s_get ??= new RangeRequest { Key = ByteString.CopyFromUtf8("/registry/pods/00000000") }.ToByteArray();
        Digits(s_get.AsSpan(2 + 15, 8), i);
        return s_get;
    }

    private static byte[]? s_put;
    private static byte[]? s_get;

    private static void Digits(Span<byte> target, int number)
    {
        for (int i = target.Length - 1; i >= 0; i--)
        {
            target[i] = (byte)('0' + (number % 10));
            number /= 10;
        }
    }

    private static byte[][] Requests(Func<int, IMessage> make)
    {
        byte[][] requests = new byte[Keys][];
        for (int i = 0; i < Keys; i++)
        {
            requests[i] = make(i).ToByteArray();
        }
        return requests;
    }

    private static void Put(StoreRig rig, byte[][] puts, ProtoBuffer response)
    {
        for (int i = 0; i < Keys; i++)
        {
            PutView.TryParse(puts[i], out PutView put);
            response.Clear();
            if (rig.Store.ApplyPut(in put, default, response) != StoreError.None)
            {
                throw new InvalidOperationException();
            }
            rig.EntryDone();
            rig.Store.Publish();
        }
    }

    private static void Get(StoreRig rig, byte[][] gets, ProtoBuffer response)
    {
        for (int i = 0; i < Keys; i++)
        {
            RangeView.TryParse(gets[i], out RangeView get);
            response.Clear();
            if (rig.Store.Range(in get, default, response) != StoreError.None || response.Count < 100)
            {
                throw new InvalidOperationException();
            }
        }
    }
}
