using Perf.Engine.IO;
using Perf.Engine.Transactions;
using Perf.Node.Consensus;
using Perf.Raft;
using Perf.Store.Apply;
using Perf.Store.Auth;
using Perf.Store.Backend;
using Xunit;

namespace Perf.Node.Tests;

public sealed class ApplyLoopTests
{
    /// <summary>Behind a pause thousands of entries wait: the first of them are visible before the last is applied.</summary>
    [Fact]
    public void A_long_batch_is_published_slice_by_slice_and_to_its_end()
    {
        var disk = new SimDisk();
        disk.CreateDirectory("/data");
        using var backend = new BackendStore(DataFile.Open(disk, "/data/db", new DataFileOptions { MapBytesMin = 64 << 20 }));
        var time = new ManualTime();
        StateMachine machine = StateMachine.Open(backend, new StateMachineOptions
        {
            ClusterId = 1,
            MemberId = 1,
            Clock = time,
            Tokens = new SimpleTokens(time, new Random(7).NextBytes, TimeSpan.Zero),
            Hasher = new BcryptHasher(),
        });
        var pool = new ProcessPool();
        var outputs = new Told();
        var loop = new ApplyLoop(machine, new PendingTable(pool), outputs, new Signal(), pool);
        outputs.Loop = loop;

        const int Slice = ApplyLoop.SliceMax;
        const int Last = (2 * Slice) + 500;
        loop.AddCommitted(Entries(1, Slice + 100));
        loop.Queue.Add(new ApplyWork { Kind = ApplyWorkKind.Control, Control = () => outputs.Controlled = loop.AppliedIndex });
        loop.AddCommitted(Entries(Slice + 101, Last));
        Assert.True(loop.Turn());

        // A control meets all that came before it published.
        Assert.Equal((ulong)Slice + 100, outputs.Controlled);
        Assert.Equal([Slice, Slice + 100, (2 * Slice) + 100, Last], outputs.Published.Select(index => (int)index));
        Assert.Equal((ulong)Last, loop.AppliedIndex);
        Assert.Equal((ulong)Last, machine.AppliedIndex);
        Assert.Equal([(ulong)Last], outputs.Boundaries);
        Assert.False(loop.Turn());
    }

    private static Entry[] Entries(int first, int last) =>
        [.. Enumerable.Range(first, last - first + 1).Select(index => new Entry(1, (ulong)index, EntryType.Normal, default, -1, 0, null))];

    private sealed class Told : IApplyOutputs
    {
        public ApplyLoop? Loop { get; set; }

        public List<ulong> Published { get; } = [];

        public List<ulong> Boundaries { get; } = [];

        public ulong Controlled { get; set; }

        public void Applied(in Entry entry, in ApplyOutcome outcome)
        {
        }

        void IApplyOutputs.Published(ulong index)
        {
            Assert.Equal(index, Loop!.AppliedIndex);
            Published.Add(index);
        }

        public void AtBoundary(ulong index, ulong term)
        {
            if (Boundaries.Count == 0 || Boundaries[^1] != index)
            {
                Boundaries.Add(index);
            }
        }
    }
}
