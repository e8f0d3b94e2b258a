using Xunit;

namespace Perf.Client.Tests;

/// <summary>Namespaces, ordered reads, and the rarer calls of maintenance.</summary>
public sealed class ViewTests
{
    private readonly CancellationTokenSource _limit = new(TimeSpan.FromSeconds(60));

    private CancellationToken Limit => _limit.Token;

    [Fact]
    public async Task A_namespace_has_its_own_keys_and_knows_nothing_of_its_prefix()
    {
        using EtcdProcess etcd = EtcdProcess.StartPerf(31270);
        await using EtcdClient client = await ConnectAsync(etcd.Endpoint);
        EtcdNamespace inside = client.Namespace("ns/");
        await client.Kv.PutAsync("a", "outside", null, Limit);
        await client.Kv.PutAsync("ns0", "behind", null, Limit);
        await inside.Kv.PutAsync("a", "1", null, Limit);
        await inside.Kv.PutAsync("b", "2", null, Limit);
        await inside.Kv.PutAsync("c", "3", null, Limit);
        Assert.Equal("1", (await client.Kv.GetAsync("ns/a", null, Limit)).Kvs[0].Value.ToString());

        Task<string> Keys(Bytes key, GetOptions options) => KeysAsync(inside.Kv, key, options);
        Assert.Equal("a", await Keys("a", new GetOptions()));
        Assert.Equal("a b c", await Keys("", new GetOptions { Prefix = true }));
        Assert.Equal("a b c", await Keys("", new GetOptions { RangeEnd = Bytes.Zero }));
        Assert.Equal("b c", await Keys("b", new GetOptions { RangeEnd = Bytes.Zero }));
        Assert.Equal("a b", await Keys("a", new GetOptions { RangeEnd = "c" }));

        PutResponse put = await inside.Kv.PutAsync("a", "one", new PutOptions { PrevKv = true }, Limit);
        Assert.Equal("a", put.PrevKv!.Key.ToString());
        Txn Claim() => inside.Kv.Txn().If(Compare.Version("d", CompareResult.Equal, 0))
            .Then(Op.Put("d", "4"), Op.Get("", new GetOptions { Prefix = true, KeysOnly = true }))
            .Else(Op.Delete("d", new DeleteOptions { PrevKv = true }));
        TxnResponse first = await Claim().CommitAsync(Limit);
        Assert.True(first.Succeeded);
        Assert.Equal("a b c d", string.Join(' ', ((GetResponse)first.Responses[1]).Kvs.Select(k => k.Key)));
        TxnResponse second = await Claim().CommitAsync(Limit);
        Assert.False(second.Succeeded);
        Assert.Equal("d", ((DeleteResponse)second.Responses[0]).PrevKvs[0].Key.ToString());

        EtcdException nothing = await Assert.ThrowsAsync<EtcdException>(() => inside.Kv.PutAsync("", "x", null, Limit));
        Assert.Equal("etcdserver: key is not provided", nothing.Message);

        DeleteResponse all = await inside.Kv.DeleteAsync(
            "", new DeleteOptions { Prefix = true, PrevKv = true }, Limit);
        Assert.Equal("a b c", string.Join(' ', all.PrevKvs.Select(k => k.Key)));
        Assert.Equal("a ns0", await KeysAsync(client.Kv, "", new GetOptions { Prefix = true }));
    }

    [Fact]
    public async Task A_watch_of_a_namespace_sees_its_changes_only()
    {
        using EtcdProcess etcd = EtcdProcess.StartPerf(31272);
        await using EtcdClient client = await ConnectAsync(etcd.Endpoint);
        EtcdNamespace inside = client.Namespace("ns/");
        await using Watching watching = inside.Watches.Start("", new WatchOptions { Prefix = true, PrevKv = true });
        await watching.Created.WaitAsync(Limit);
        await client.Kv.PutAsync("k", "outside", null, Limit);
        await client.Kv.PutAsync("ns0", "behind", null, Limit);
        await inside.Kv.PutAsync("k", "1", null, Limit);
        await inside.Kv.DeleteAsync("k", null, Limit);
        var seen = new List<string>();
        while (seen.Count < 2)
        {
            WatchResponse response = await watching.Responses.ReadAsync(Limit);
            seen.AddRange(response.Events.Select(e => $"{e.Type} {e.Kv.Key}={e.Kv.Value} before {e.PrevKv?.Key}"));
        }

        Assert.Equal(["Put k=1 before ", "Delete k= before k"], seen);
    }

    [Fact]
    public async Task Ordered_reads_never_show_an_older_state()
    {
        // Two clusters that know nothing of each other play a member that is ahead and one that is behind.
        using EtcdProcess ahead = EtcdProcess.StartPerf(31274);
        using EtcdProcess behind = EtcdProcess.StartPerf(31276);
        await using EtcdClient first = await ConnectAsync(ahead.Endpoint);
        for (int i = 0; i < 5; i++)
        {
            await first.Kv.PutAsync("k", $"{i}", null, Limit);
        }

        await using EtcdClient both = await ConnectAsync(ahead.Endpoint, behind.Endpoint);
        var stale = new GetOptions { Serializable = true };
        var revisions = new HashSet<long>();
        for (int i = 0; i < 10; i++)
        {
            revisions.Add((await both.Kv.GetAsync("k", stale, Limit)).Header.Revision);
        }

        Assert.True(revisions.Count == 2, "a plain reader sees both");
        var ordered = new OrderedReads(both);
        ordered.Saw((await first.Kv.GetAsync("k", null, Limit)).Header.Revision);
        for (int i = 0; i < 10; i++)
        {
            Assert.Equal("4", (await ordered.GetAsync("k", stale, Limit)).Kvs[0].Value.ToString());
        }

        ordered.Saw(1_000_000);
        EtcdException nobody = await Assert.ThrowsAsync<EtcdException>(() => ordered.GetAsync("k", stale, Limit));
        Assert.Contains("no cluster members have a revision higher", nobody.Message, StringComparison.Ordinal);
        Assert.Equal(1_000_000, ordered.Revision);
    }

    [Fact]
    public async Task Hashes_and_downgrades_are_asked_for()
    {
        using EtcdProcess etcd = EtcdProcess.StartPerf(31278);
        await using EtcdClient client = await ConnectAsync(etcd.Endpoint);
        await client.Kv.PutAsync("k", "v", null, Limit);
        Assert.NotEqual(0u, (await client.Maintenance.HashAsync(etcd.Endpoint, Limit)).Hash);
        Assert.NotEqual(0u, (await client.Maintenance.HashKvAsync(etcd.Endpoint, 0, Limit)).Hash);
        EtcdException newer = await Assert.ThrowsAsync<EtcdException>(
            () => client.Maintenance.DowngradeAsync(DowngradeStep.Validate, "9.9", Limit));
        Assert.Equal("etcdserver: invalid downgrade target version", newer.Message);
        EtcdException none = await Assert.ThrowsAsync<EtcdException>(
            () => client.Maintenance.DowngradeAsync(DowngradeStep.Cancel, "", Limit));
        Assert.Equal("etcdserver: no inflight downgrade job", none.Message);
    }

    private static Task<EtcdClient> ConnectAsync(params string[] endpoints) =>
        EtcdClient.ConnectAsync(new EtcdClientOptions { Endpoints = endpoints });

    private async Task<string> KeysAsync(Kv kv, Bytes key, GetOptions options) =>
        string.Join(' ', (await kv.GetAsync(key, options, Limit)).Kvs.Select(k => k.Key));
}
