using System.Text;
using Perf.Store.Backend;
using Perf.Store.Membership;
using Perf.Store.Tests.Apply;
using Perf.Store.V2;
using Xunit;

namespace Perf.Store.Tests.Membership;

public sealed class MembershipStoreTests
{
    private readonly MemoryBuckets _buckets = new();
    private readonly V2Store _v2 = new(new ManualClock());
    private readonly MembershipStore _members;

    public MembershipStoreTests()
    {
        _members = new MembershipStore(_buckets, _v2);
    }

    [Fact]
    public void Conf_changes_are_refused_for_what_the_table_says()
    {
        Add(1, "http://1");
        Add(2, "http://2");
        Add(3, "http://3", learner: true);
        Apply(ConfChange.Remove(0, 2));

        Assert.Equal(StoreError.MemberExist, _members.Validate(ConfChange.Add(0, Of(1, "http://9"))));
        Assert.Equal(StoreError.PeerUrlExist, _members.Validate(ConfChange.Add(0, Of(9, "http://8", "http://1"))));
        Assert.Equal(StoreError.MemberIdRemoved, _members.Validate(ConfChange.Add(0, Of(2, "http://2"))));
        Assert.Equal(StoreError.MemberIdRemoved, _members.Validate(ConfChange.Remove(0, 2)));
        Assert.Equal(StoreError.TooManyLearners, _members.Validate(ConfChange.Add(0, Of(9, "http://9") with { IsLearner = true })));
        Assert.Equal(StoreError.MemberNotFound, _members.Validate(ConfChange.Remove(0, 9)));
        Assert.Equal(StoreError.MemberNotFound, _members.Validate(ConfChange.Promote(0, 9)));
        Assert.Equal(StoreError.MemberNotLearner, _members.Validate(ConfChange.Promote(0, 1)));
        Assert.Equal(StoreError.MemberNotFound, _members.Validate(ConfChange.Update(0, 9, ["http://9"])));
        Assert.Equal(StoreError.PeerUrlExist, _members.Validate(ConfChange.Update(0, 1, ["http://3"])));
        Assert.Equal(StoreError.None, _members.Validate(ConfChange.Update(0, 1, ["http://1", "http://2"])));
        Assert.Equal(StoreError.None, _members.Validate(ConfChange.Promote(0, 3)));
        Assert.Equal(StoreError.None, _members.Validate(ConfChange.Add(0, Of(9, "http://9"))));
    }

    [Fact]
    public void Refused_changes_leave_no_trace()
    {
        Add(1, "http://1");
        string before = _buckets.Dump();
        ulong index = _v2.CurrentIndex;

        Assert.Equal(StoreError.MemberExist, _members.Apply(ConfChange.Add(0, Of(1, "http://9")), persist: true));

        Assert.Equal(before, _buckets.Dump());
        Assert.Equal(index, _v2.CurrentIndex);
    }

    [Fact]
    public void Buckets_hold_what_etcd_would_write()
    {
        Add(0xe6cfb733078dfed9, "http://127.0.0.1:24301");
        _members.SetAttributes(0xe6cfb733078dfed9, "m0", ["http://127.0.0.1:24300"], persist: true);
        _members.SetVersion(new SemanticVersion(3, 5, 0), persist: true);
        Add(2, "http://2", learner: true);
        Add(3, "http://3");
        Apply(ConfChange.Remove(0, 3));

        Assert.Equal(
            "{\"id\":16631713378700492505,\"peerURLs\":[\"http://127.0.0.1:24301\"],\"name\":\"m0\",\"clientURLs\":[\"http://127.0.0.1:24300\"]}",
            Text(Buckets.Members, "e6cfb733078dfed9"));
        Assert.Equal("{\"id\":2,\"peerURLs\":[\"http://2\"],\"isLearner\":true}", Text(Buckets.Members, "2"));
        Assert.Equal("removed", Text(Buckets.MembersRemoved, "3"));
        Assert.Null(Text(Buckets.Members, "3"));
        Assert.Equal("3.5.0", Text(Buckets.Cluster, "clusterVersion"));
        Assert.Equal("{\"voters\":[16631713378700492505],\"learners\":[2],\"auto_leave\":false}", Text(Buckets.Meta, "confState"));

        _members.SetDowngrade(new DowngradeInfo(true, "3.4.0"), persist: true);
        Assert.Equal("{\"target-version\":\"3.4.0\",\"enabled\":true}", Text(Buckets.Cluster, "downgrade"));
        Assert.Equal(new DowngradeInfo(true, "3.4.0"), new MembershipStore(_buckets, _v2).Current.Downgrade);
    }

    [Fact]
    public void An_update_of_peer_urls_does_not_promote_a_learner()
    {
        Add(1, "http://1");
        Add(2, "http://2", learner: true);

        Apply(ConfChange.Update(0, 2, ["http://2b"]));

        Assert.True(_members.Current.Find(2)!.IsLearner);
        Assert.Equal(["http://2b"], _members.Current.Find(2)!.PeerUrls);
        Apply(ConfChange.Promote(0, 2));
        Assert.False(_members.Current.Find(2)!.IsLearner);
        Assert.Contains("\"peerURLs\":[\"http://2b\"]}", Text(Buckets.Members, "2"), StringComparison.Ordinal);
    }

    [Fact]
    public void Attributes_of_unknown_members_are_refused_and_of_removed_ones_ignored()
    {
        Add(1, "http://1");
        Add(2, "http://2");
        Apply(ConfChange.Remove(0, 2));

        Assert.Equal(StoreError.None, _members.SetAttributes(2, "gone", [], persist: true));
        Assert.Equal(StoreError.MemberNotFound, _members.SetAttributes(9, "never", [], persist: true));
        Assert.Null(_members.Current.Find(2));
    }

    [Theory]
    [InlineData(1, 1, true)]
    [InlineData(2, 1, false)]
    [InlineData(3, 2, false)]
    [InlineData(3, 3, true)]
    [InlineData(4, 3, true)]
    [InlineData(5, 3, false)]
    public void Strict_reconfiguration_wants_a_quorum_of_started_voters_to_add(int voters, int started, bool ready)
    {
        Fill(voters, started);
        Assert.Equal(ready, _members.Current.IsReadyToAddVoter());
    }

    [Theory]
    [InlineData(3, 2, 3, true)]
    [InlineData(3, 2, 1, false)]
    [InlineData(2, 1, 2, true)]
    [InlineData(2, 1, 1, false)]
    public void Strict_reconfiguration_wants_a_quorum_of_started_voters_to_remain(int voters, int started, ulong removed, bool ready)
    {
        Fill(voters, started);
        Assert.Equal(ready, _members.Current.IsReadyToRemoveVoter(removed));
    }

    [Fact]
    public void Reconcile_puts_right_what_older_etcds_left_in_the_buckets()
    {
        // The .snap (here: the v2 store) knows of a promotion, a removal and a version that the buckets never saw.
        Add(1, "http://1");
        Add(2, "http://2", learner: true);
        Add(3, "http://3");
        Apply(ConfChange.Promote(0, 2), persist: false);
        Apply(ConfChange.Remove(0, 3), persist: false);
        _members.SetVersion(new SemanticVersion(3, 5, 0), persist: false);
        Assert.Contains("isLearner", Text(Buckets.Members, "2"), StringComparison.Ordinal);

        var reopened = new MembershipStore(_buckets, _v2);
        reopened.Recover();
        Assert.True(reopened.Reconcile() > 0);

        Assert.Equal("{\"id\":2,\"peerURLs\":[\"http://2\"]}", Text(Buckets.Members, "2"));
        Assert.Null(Text(Buckets.Members, "3"));
        Assert.Equal("removed", Text(Buckets.MembersRemoved, "3"));
        Assert.Equal("3.5.0", Text(Buckets.Cluster, "clusterVersion"));
        Assert.Equal("{\"voters\":[1,2],\"auto_leave\":false}", Text(Buckets.Meta, "confState"));
        Assert.Equal(0, reopened.Reconcile());
        Assert.True(reopened.IsProjected());
    }

    [Fact]
    public void Reconcile_keeps_a_name_that_only_the_bucket_knows()
    {
        Apply(ConfChange.Add(0, Of(1, "http://1") with { Name = "m0" }));

        var reopened = new MembershipStore(_buckets, _v2);
        reopened.Recover();
        Assert.Equal("", reopened.Current.Find(1)!.Name);
        reopened.Reconcile();

        Assert.Equal("m0", reopened.Current.Find(1)!.Name);
    }

    [Fact]
    public void A_damaged_member_list_is_refused()
    {
        _v2.Create("/0/members/zz/raftAttributes", directory: false, "{}", unique: false, 0);
        Assert.Throws<InvalidDataException>(() => new MembershipStore(_buckets, _v2).Recover());

        _v2.Delete("/0/members/zz", directory: true, recursive: true);
        _v2.Create("/0/members/ab/attributes", directory: false, "{}", unique: false, 0);
        Assert.Throws<InvalidDataException>(() => new MembershipStore(_buckets, _v2).Recover());

        _v2.Create("/0/members/ab/raftAttributes", directory: false, "no json", unique: false, 0);
        Assert.Throws<InvalidDataException>(() => new MembershipStore(_buckets, _v2).Recover());
    }

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(3)]
    public void Table_buckets_and_v2_store_agree_after_any_history_and_any_restart(int seed)
    {
        // Trap: two copies of the membership drift apart. A snapshot is taken at a random point; everything behind
        // it is applied again on top, first up to where the buckets stand, then beyond.
        var random = new Random(seed);
        for (int round = 0; round < 40; round++)
        {
            var history = Enumerable.Range(0, random.Next(5, 60)).Select(_ => RandomChange(random)).ToList();
            var buckets = new MemoryBuckets();
            var v2 = new V2Store(new ManualClock());
            var members = new MembershipStore(buckets, v2);
            int snapshotAt = random.Next(history.Count);
            int persistedTo = random.Next(snapshotAt, history.Count);
            byte[] snapshot = [];
            for (int i = 0; i <= persistedTo; i++)
            {
                history[i](members, true);
                Assert.True(members.IsProjected());
                if (i == snapshotAt)
                {
                    snapshot = v2.Save();
                }
            }

            var againV2 = new V2Store(new ManualClock());
            againV2.Load(snapshot);
            var again = new MembershipStore(buckets, againV2);
            again.Recover();
            for (int i = snapshotAt + 1; i < history.Count; i++)
            {
                history[i](again, i > persistedTo);
                if (i == persistedTo)
                {
                    Assert.Equal(0, again.Reconcile());
                }

                if (i > persistedTo)
                {
                    history[i](members, true);
                }
            }

            Assert.Equal(members.Current.Members, again.Current.Members);
            Assert.Equal(members.Current.RemovedIds, again.Current.RemovedIds);
            Assert.Equal(members.Current.ClusterVersion, again.Current.ClusterVersion);
            Assert.Equal(v2.Save(), againV2.Save());
            Assert.True(again.IsProjected());
            foreach (var member in again.Current.Members)
            {
                Assert.Equal(member.ToJson(), Encoding.UTF8.GetString(buckets.Get(Buckets.Members, Encoding.ASCII.GetBytes(MemberIds.Hex(member.Id)))!));
            }

            Assert.Equal(again.Current.Members.Count, buckets.List(Buckets.Members).Count);
        }
    }

    private static Action<MembershipStore, bool> RandomChange(Random random)
    {
        ulong id = (ulong)random.Next(1, 7);
        string url = $"http://{random.Next(1, 9)}";
        return random.Next(8) switch
        {
            0 or 1 => (members, persist) => members.Apply(ConfChange.Add(0, Of(id, url)), persist),
            2 => (members, persist) => members.Apply(ConfChange.Add(0, Of(id, url) with { IsLearner = true }), persist),
            3 => (members, persist) => members.Apply(ConfChange.Promote(0, id), persist),
            4 => (members, persist) => members.Apply(ConfChange.Update(0, id, [url, url + "b"]), persist),
            5 => (members, persist) => members.Apply(ConfChange.Remove(0, id), persist),
            6 => (members, persist) => members.SetAttributes(id, "n" + id, [url], persist),
            _ => (members, persist) => members.SetVersion(new SemanticVersion(3, (int)id, 0), persist),
        };
    }

    private static Member Of(ulong id, params string[] urls) => new() { Id = id, PeerUrls = urls };

    private void Add(ulong id, string url, bool learner = false) =>
        Apply(ConfChange.Add(0, Of(id, url) with { IsLearner = learner }));

    private void Apply(ConfChange change, bool persist = true) =>
        Assert.Equal(StoreError.None, _members.Apply(change, persist));

    private void Fill(int voters, int started)
    {
        for (ulong id = 1; id <= (ulong)voters; id++)
        {
            Add(id, $"http://{id}");
            if (id <= (ulong)started)
            {
                _members.SetAttributes(id, "n", [], persist: true);
            }
        }

        Add(99, "http://99", learner: true);
    }

    private string? Text(string bucket, string key) =>
        _buckets.Get(bucket, Encoding.ASCII.GetBytes(key)) is { } value ? Encoding.UTF8.GetString(value) : null;
}
