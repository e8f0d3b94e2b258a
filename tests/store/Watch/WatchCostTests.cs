using System.Buffers;
using Google.Protobuf;
using Mvccpb;
using Perf.Store.Mvcc;
using Perf.Store.Watch;
using Xunit;
using Xunit.Abstractions;

namespace Perf.Store.Tests.Watch;

/// <summary>What an event costs once everything is warm.</summary>
public class WatchCostTests
{
    private readonly ITestOutputHelper _report;

    public WatchCostTests(ITestOutputHelper report)
    {
        _report = report;
    }

    [Fact]
    public void A_warm_hub_allocates_nothing_for_events()
    {
        // A small ring, so that it has wrapped and uses its chunks again.
        var load = new Load(streams: 4, watchersPerStream: 10, ringBytesMax: 256 << 10);
        load.Run(3000);
        long before = GC.GetAllocatedBytesForCurrentThread();
        load.Run(2000);
        Assert.Equal(0, GC.GetAllocatedBytesForCurrentThread() - before);
        Assert.Equal(5000 * 40, load.Hub.Counters.EventsTotal);
    }

    [Fact]
    public void A_thousand_watches_of_one_key_cost_little_each()
    {
        var load = new Load(streams: 8, watchersPerStream: 125);
        load.Run(200);
        TimeSpan start = Environment.CpuUsage.TotalTime;
        load.Run(500);
        double micros = (Environment.CpuUsage.TotalTime - start).TotalMicroseconds / 500_000;
        _report.WriteLine($"{micros:f3} us of CPU for each delivered event");

        // The goal is 0.25 us in a release build on an idle machine; this only catches a cost of another order.
        Assert.True(micros < 100, $"{micros:f3} us");
    }

    /// <summary>One key, put again and again, 256 bytes; every put published and pumped on its own.</summary>
    private sealed class Load : IWatchHistory
    {
        private readonly RevisionEvent[] _event = new RevisionEvent[1];

        public Load(int streams, int watchersPerStream, int ringBytesMax = 16 << 20)
        {
            Hub = new WatchHub(
                this,
                new WatchOptions
                {
                    ClusterId = ulong.MaxValue,
                    MemberId = ulong.MaxValue,
                    RingBytesMax = ringBytesMax,
                });
            for (int s = 0; s < streams; s++)
            {
                WatchStream stream = Hub.Open(new NullOutput());
                for (int w = 0; w < watchersPerStream; w++)
                {
                    stream.TryHandle(WatchBench.CreateRequest("key"));
                }
            }
            while (Hub.Pump())
            {
            }
            var kv = new KeyValue
            {
                Key = ByteString.CopyFromUtf8("key"),
                CreateRevision = 2,
                ModRevision = 1 << 20,
                Version = 1 << 20,
                Value = ByteString.CopyFrom(new byte[256]),
            };
            byte[] bytes = kv.ToByteArray();
            _event[0] = new RevisionEvent(false, false, bytes.AsMemory(2, 3), bytes, owner: null!);
        }

        public WatchHub Hub { get; }

        public long CurrentRevision { get; private set; } = 1;

        public long CompactRevision => -1;

        public void Run(int revisions)
        {
            for (int i = 0; i < revisions; i++)
            {
                Hub.OnTransaction(CurrentRevision + 1, _event);
                CurrentRevision++;
                Hub.OnPublished(CurrentRevision);
                Hub.Pump();
            }
        }

        public bool TryScan(long from, long to, IHistoryVisitor visitor) => throw new NotSupportedException();

        public bool TryGetAt(ReadOnlySpan<byte> key, long revision, IBufferWriter<byte> target) => false;
    }

    private sealed class NullOutput : IWatchOutput, IBufferWriter<byte>
    {
        private readonly byte[] _buffer = new byte[64 << 10];

        public bool IsFull => false;

        public IBufferWriter<byte> StartMessage(int bytes) => this;

        public bool TryFlush() => true;

        public void Advance(int count)
        {
        }

        public Memory<byte> GetMemory(int sizeHint = 0) => _buffer;

        public Span<byte> GetSpan(int sizeHint = 0) => _buffer;
    }
}
