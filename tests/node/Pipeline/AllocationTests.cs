using System.Buffers;
using System.Diagnostics;
using Perf.Engine.IO;
using Perf.Node.Consensus;
using Perf.Store;
using Perf.Store.Commands;
using Xunit;

namespace Perf.Node.Tests;

[CollectionDefinition(nameof(AllocationTests), DisableParallelization = true)]
public sealed class AllocationCollection;

/// <summary>The hot path through the real threads and a real disk allocates nothing once warm.</summary>
[Collection(nameof(AllocationTests))]
public sealed class AllocationTests
{
    private const int Requests = 100_000;
    private const int InFlight = 256;

    [Fact]
    public async Task Puts_and_gets_allocate_at_most_one_byte_each()
    {
        string directory = Directory.CreateTempSubdirectory("perf-alloc").FullName;
        try
        {
            Config.ServerConfig config = NodeHarness.Config(directory);
            config.UnsafeNoFsync = true;
            config.SnapshotCount = 10_000_000;
            config.CompactionBatchLimit = 100_000;
            await using NodeHarness harness = await NodeHarness.StartAsync(FileDisk.Instance, config);
            var driver = new Driver(harness.Node);

            // Warm: tiering, pools, the first commits.
            driver.Run(Requests);
            double perSecond = await IdleBytesPerSecondAsync();
            long best = long.MaxValue;
            for (int round = 0; round < 20 && best > Requests; round++)
            {
                // What history keeps is state, not waste; compacted, its room serves the next round.
                await CompactAsync(harness.Node);
                long before = GC.GetTotalAllocatedBytes(precise: true);
                var watch = Stopwatch.StartNew();
                driver.Run(Requests);
                double idle = perSecond * watch.Elapsed.TotalSeconds;
                best = Math.Min(best, GC.GetTotalAllocatedBytes(precise: true) - before - (long)idle);
            }

            Assert.True(best <= Requests, $"{best} bytes for {Requests} requests, {perSecond:0} a second without any");
        }
        finally
        {
            Directory.Delete(directory, recursive: true);
        }
    }

    /// <summary>What a member's clocks cost by themselves: on a slow machine a round lasts long enough for it to show.</summary>
    private static async Task<double> IdleBytesPerSecondAsync()
    {
        var watch = Stopwatch.StartNew();
        long before = GC.GetTotalAllocatedBytes(precise: true);
        await Task.Delay(TimeSpan.FromSeconds(2));
        return (GC.GetTotalAllocatedBytes(precise: true) - before) / watch.Elapsed.TotalSeconds;
    }

    private static async Task CompactAsync(EtcdNode node)
    {
        long revision = node.State.Machine.Kv.PublishedRevision;
        var body = new ProtoBuffer();
        body.Int64(1, revision);
        using PendingRequest request = node.Propose(
            InternalField.Compaction, new ReadOnlySequence<byte>(body.WrittenMemory), RequestIdentity.None);
        await request.Completion;
        if (request.Error != StoreError.None)
        {
            Assert.Fail($"compaction: {request.Error}");
        }

        await node.CompactedPhysicallyAsync(revision).WaitAsync(TimeSpan.FromSeconds(60));
    }

    /// <summary>Keeps so many puts under way from one thread, with a get after each.</summary>
    private sealed class Driver
    {
        private readonly EtcdNode _node;
        private readonly byte[] _put = NodeHarness.PutRequest("hot", new byte[256]);
        private readonly byte[] _range = NodeHarness.RangeRequest("hot");
        private readonly PendingRequest[] _underWay = new PendingRequest[InFlight];
        private readonly ProtoBuffer _response = new(1024);

        public Driver(EtcdNode node)
        {
            _node = node;
        }

        public void Run(int requests)
        {
            var body = new ReadOnlySequence<byte>(_put);
            for (int sent = 0; sent < requests; sent += InFlight)
            {
                for (int i = 0; i < InFlight; i++)
                {
                    _underWay[i] = _node.Propose(InternalField.Put, body, RequestIdentity.None);
                }

                foreach (PendingRequest request in _underWay)
                {
                    while (!request.Completion.IsCompleted)
                    {
                        Thread.Yield();
                    }

                    if (request.Error != StoreError.None)
                    {
                        Assert.Fail($"put: {request.Error}");
                    }

                    request.Dispose();
                    RangeView.TryParse(_range, out RangeView range);
                    _response.Clear();
                    if (_node.State.Machine.Kv.Range(range, _node.Header(), _response) != StoreError.None)
                    {
                        Assert.Fail("get failed");
                    }
                }
            }
        }
    }
}
