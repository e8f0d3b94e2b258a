using System.Buffers;
using System.Text;
using Perf.Engine.IO;
using Perf.Engine.Transactions;
using Perf.Node.Cluster;
using Perf.Node.Consensus;
using Perf.Node.Corruption;
using Perf.Store;
using Perf.Store.Backend;
using Perf.Store.Commands;
using Perf.Store.Maintenance;
using Perf.Store.Membership;
using Perf.Store.Mvcc;
using Xunit;

namespace Perf.Node.Tests.Cluster;

/// <summary>One of three members has other data than the others (SURFACE OPS-04, OPS-05, MNT-03).</summary>
public class CorruptionTests
{
    private const string Altered = "m1";
    private const string Key = "the-key";

    [Fact]
    public async Task OPS05_A_member_with_other_data_than_its_peers_does_not_start()
    {
        await using TestCluster cluster = await TestCluster.StartAsync(3);
        await FillAsync(cluster);
        await StopAndAlterAsync(cluster);
        cluster.Adjust = config => config.InitialCorruptCheck = true;
        StartRefusedException e = Assert.Throws<StartRefusedException>(() => cluster.Start(Altered));
        Assert.EndsWith(" found data inconsistency with peers", e.Message);

        // The check lets those in who have the same, and those who find nobody to ask.
        await cluster.StopAsync("m2");
        await cluster.StopAsync("m0");
        cluster.Start("m0");
        cluster.Start("m2");
        await cluster.ReadyAsync();
    }

    [Theory]
    [InlineData(SpeakAs.V35)]
    [InlineData(SpeakAs.V36)]
    public async Task OPS05_The_leader_finds_the_difference_by_and_by(SpeakAs speakAs)
    {
        await using TestCluster cluster = await TestCluster.StartAsync(
            3, config => (config.SpeakAs, config.CorruptCheckTime) = (speakAs, TimeSpan.FromMilliseconds(100)));
        await FillAsync(cluster);
        await cluster.LeaderAsync();
        Assert.DoesNotContain(cluster.Running, node => node.State.Machine.Alarms.IsCorrupt);

        await StopAndAlterAsync(cluster);
        cluster.Start(Altered);
        await TestCluster.EventuallyAsync(() => cluster.Running.All(node => node.State.Machine.Alarms.IsCorrupt));
        AlarmMember alarm = Assert.Single(cluster[Altered].State.Machine.Alarms.Active);
        Assert.True(alarm.MemberId == 0 || (speakAs == SpeakAs.V36 && alarm.MemberId == WhoDiffersFromTheLeader(cluster)));

        EtcdNode leader = await cluster.LeaderAsync();
        Assert.Equal(StoreError.Corrupt, await TestCluster.TryPutAsync(leader, "more", "v"));
    }

    [Theory]
    [InlineData(SpeakAs.V35)]
    [InlineData(SpeakAs.V36)]
    public async Task OPS05_Compactions_are_compared(SpeakAs speakAs)
    {
        await using TestCluster cluster = await TestCluster.StartAsync(
            3,
            config => (config.SpeakAs, config.CompactHashCheck, config.CompactHashCheckTime) =
                (speakAs, true, TimeSpan.FromMilliseconds(100)));
        await FillAsync(cluster);
        EtcdNode leader = await cluster.LeaderAsync();

        // Sound members find the same, which is what a hash of that revision was before it was compacted.
        foreach (long revision in new long[] { 7, 15 })
        {
            Assert.Equal(StoreError.None, leader.State.Machine.Kv.HashKv(revision, out HashKvResult before));
            await CompactAsync(leader, revision);
            foreach (EtcdNode node in cluster.Running)
            {
                await TestCluster.EventuallyAsync(() => node.CompactionHashes.TryGet(revision, out _));
                node.CompactionHashes.TryGet(revision, out HashKvResult kept);
                Assert.Equal((before.Hash, before.CompactRevision), (kept.Hash, kept.CompactRevision));
            }
        }

        Assert.DoesNotContain(cluster.Running, node => node.State.Machine.Alarms.IsCorrupt);
        await StopAndAlterAsync(cluster);
        EtcdNode altered = cluster.Start(Altered);
        await cluster.ReadyAsync();
        leader = await cluster.LeaderAsync();
        await CompactAsync(leader, 17);
        await TestCluster.EventuallyAsync(() => cluster.Running.All(node => node.State.Machine.Alarms.IsCorrupt));

        // From 3.6 on the two who agree outvote the third, before nobody is named.
        Assert.Equal(
            [new AlarmMember(speakAs == SpeakAs.V36 ? altered.MemberId : 0, AlarmKind.Corrupt)],
            leader.State.Machine.Alarms.Active);
    }

    [Fact]
    public void Ten_hashes_are_kept_the_newest_first()
    {
        var hashes = new CompactionHashes();
        for (int revision = 1; revision <= CompactionHashes.CountMax + 1; revision++)
        {
            Assert.Equal(revision - 1, hashes.Above(0).Count);
            hashes.Add(new HashKvResult(0, -1, revision, 0));
        }

        Assert.False(hashes.TryGet(1, out _));
        Assert.Equal([11, 10, 9], hashes.Above(8).Select(hash => hash.Revision));
    }

    private static ulong WhoDiffersFromTheLeader(TestCluster cluster) =>
        cluster[Altered].IsLeader ? cluster[Altered].State.Machine.Alarms.Active[0].MemberId : cluster[Altered].MemberId;

    /// <summary>Twenty changes, of which the first, revision 2, is the one that will be altered.</summary>
    private static async Task FillAsync(TestCluster cluster)
    {
        EtcdNode leader = await cluster.LeaderAsync();
        await TestCluster.PutAsync(leader, Key, "right");
        for (int i = 0; i < 19; i++)
        {
            await TestCluster.PutAsync(leader, "other" + (i % 5), "value");
        }

        await cluster.SameHashAsync();
    }

    /// <summary>What a broken disk or a mistake of ours would do, with checksums that are right.</summary>
    private static async Task StopAndAlterAsync(TestCluster cluster)
    {
        var found = new ArrayBufferWriter<byte>();
        MvccStore kv = cluster[Altered].State.Machine.Kv;
        Assert.True(kv.TryGetAt(Encoding.UTF8.GetBytes(Key), kv.PublishedRevision, found));
        long revision = ModRevisionOf(found.WrittenSpan);
        await cluster.StopAsync(Altered);
        var record = new ProtoBuffer();
        record.Bytes(1, Encoding.UTF8.GetBytes(Key));
        record.Int64(2, revision);
        record.Int64(3, revision);
        record.Int64(4, 1);
        record.Bytes(5, "wrong"u8);
        byte[] key = new byte[RevisionKey.Bytes];
        RevisionKey.Write(key, revision, 0, isTombstone: false);
        var batch = new WriteBatch();
        batch.Put("key", key, record.Written);
        using DataFile file = DataFile.Open(
            FileDisk.Instance,
            Path.Combine(cluster.DirectoryOf(Altered), "member", "snap", "db"),
            new DataFileOptions());
        file.Commit(batch);
        file.MakeDurable();
    }

    private static long ModRevisionOf(ReadOnlySpan<byte> record)
    {
        Assert.True(KeyValueView.TryParse(record, out KeyValueView view));
        return view.ModRevision;
    }

    private static async Task CompactAsync(EtcdNode node, long revision)
    {
        var body = new ProtoBuffer();
        body.Int64(1, revision);
        using PendingRequest request = node.Propose(
            InternalField.Compaction, new ReadOnlySequence<byte>(body.WrittenMemory), RequestIdentity.None);
        await request.Completion;
        Assert.Equal(StoreError.None, request.Error);
    }
}
