using System.Net;
using System.Net.Sockets;
using Perf.Client.Concurrency;
using Xunit;
using Mutex = Perf.Client.Concurrency.Mutex;

namespace Perf.Client.Tests;

/// <summary>The client against a real etcd that is killed, restarted, compacted or cut off.</summary>
public sealed class FaultTests : IAsyncLifetime
{
    private static int _nextPort = 31220;

    private readonly CancellationTokenSource _limit = new(TimeSpan.FromSeconds(60));
    private EtcdProcess? _etcd;
    private EtcdClient? _client;

    private EtcdProcess Etcd => _etcd!;

    private EtcdClient Client => _client!;

    private CancellationToken Limit => _limit.Token;

    public async Task InitializeAsync()
    {
        if (File.Exists(EtcdProcess.Etcd))
        {
            _etcd = new EtcdProcess(Interlocked.Add(ref _nextPort, 2));
            _client = await ConnectAsync(Etcd.Endpoint);
        }
    }

    public async Task DisposeAsync()
    {
        if (_client is not null)
        {
            await _client.DisposeAsync();
        }

        _etcd?.Dispose();
        _limit.Dispose();
    }

    [InteropFact]
    public async Task Keys_round_trip_and_prefixes_find_them()
    {
        byte[] odd = [0xff, 0x00, 0xfe];
        await Client.Kv.PutAsync(odd, odd, null, Limit);
        await Client.Kv.PutAsync("a/1", "one", null, Limit);
        PutResponse put = await Client.Kv.PutAsync("a/1", "uno", new PutOptions { PrevKv = true }, Limit);
        Assert.Equal("one", put.PrevKv!.Value.ToString());
        Assert.Equal(odd, (await Client.Kv.GetAsync(odd, null, Limit)).Kvs[0].Value.Memory.ToArray());
        GetResponse all = await Client.Kv.GetAsync("", new GetOptions { Prefix = true }, Limit);
        Assert.Equal(2, all.Count);
        DeleteResponse deleted = await Client.Kv.DeleteAsync("a/", new DeleteOptions { Prefix = true }, Limit);
        Assert.Equal(1, deleted.Deleted);
    }

    [InteropFact]
    public async Task A_transaction_takes_the_branch_its_conditions_choose()
    {
        Txn Claim(string who) => Client.Kv.Txn()
            .If(Compare.CreateRevision("claim", CompareResult.Equal, 0))
            .Then(Op.Put("claim", who))
            .Else(Op.Get("claim"));
        Assert.True((await Claim("first").CommitAsync(Limit)).Succeeded);
        TxnResponse second = await Claim("second").CommitAsync(Limit);
        Assert.False(second.Succeeded);
        Assert.Equal("first", ((GetResponse)second.Responses[0]).Kvs[0].Value.ToString());
    }

    [InteropFact]
    public async Task A_refused_request_carries_code_and_text()
    {
        EtcdException future = await Assert.ThrowsAsync<EtcdException>(
            () => Client.Kv.GetAsync("k", new GetOptions { Revision = 1000 }, Limit));
        Assert.Equal(RpcCode.OutOfRange, future.Code);
        Assert.Equal(EtcdErrors.FutureRevision, future.Message);
    }

    [InteropFact]
    public async Task Watches_resume_after_a_restart_without_loss_or_duplicate()
    {
        await using Watching first = Client.Watches.Start("w/", new WatchOptions { Prefix = true });
        await using Watching second = Client.Watches.Start("w/7");
        await first.Created.WaitAsync(Limit);
        await second.Created.WaitAsync(Limit);
        var seen = new List<long>();
        Task reading = ReadAsync(first, seen, events: 40);
        for (int i = 0; i < 20; i++)
        {
            await Client.Kv.PutAsync($"w/{i}", "before", null, Limit);
        }

        Etcd.Kill();
        Etcd.Start();
        for (int i = 0; i < 20; i++)
        {
            await Client.Kv.PutAsync($"w/{i}", "after", null, Limit);
        }

        await reading;
        Assert.Equal(Enumerable.Range(2, 40).Select(r => (long)r), seen);
        var ofSeven = new List<long>();
        await ReadAsync(second, ofSeven, events: 2);
        Assert.Equal([9L, 29L], ofSeven);
    }

    [InteropFact]
    public async Task Compaction_ends_a_watch_that_needs_older_history()
    {
        for (int i = 0; i < 10; i++)
        {
            await Client.Kv.PutAsync("c", "v", null, Limit);
        }

        await Client.Kv.CompactAsync(8, physical: true, Limit);
        await using Watching live = Client.Watches.Start("c");
        await live.Created.WaitAsync(Limit);
        CompactedException gone = await Assert.ThrowsAsync<CompactedException>(async () =>
        {
            await foreach (WatchResponse _ in Client.Watches.WatchAsync(
                "c", new WatchOptions { StartRevision = 3 }, Limit))
            {
            }
        });
        Assert.Equal(8, gone.CompactRevision);

        // The stream it shared goes on.
        await Client.Kv.PutAsync("c", "later", null, Limit);
        WatchResponse later = await live.Responses.ReadAsync(Limit);
        Assert.Equal("later", later.Events[0].Kv.Value.ToString());
    }

    [InteropFact]
    public async Task An_impossible_watch_is_refused_with_a_reason()
    {
        await using Watching watching = Client.Watches.Start("b", new WatchOptions { RangeEnd = "a" });
        await Assert.ThrowsAsync<EtcdException>(() => watching.Created.WaitAsync(Limit));
    }

    [InteropFact]
    public async Task Progress_can_be_asked_for_and_previous_values_come_along()
    {
        await Client.Kv.PutAsync("p", "1", null, Limit);
        await using Watching watching = Client.Watches.Start(
            "p", new WatchOptions { PrevKv = true, StartRevision = 3 });
        await watching.Created.WaitAsync(Limit);
        await Client.Kv.PutAsync("p", "2", null, Limit);
        WatchResponse change = await watching.Responses.ReadAsync(Limit);
        Assert.Equal("1", change.Events[0].PrevKv!.Value.ToString());
        Client.Watches.RequestProgress();
        WatchResponse progress = await watching.Responses.ReadAsync(Limit);
        Assert.True(progress.IsProgressNotify);
        Assert.Equal(3, progress.Header.Revision);
    }

    [InteropFact]
    public async Task A_large_revision_arrives_whole_although_the_server_splits_it()
    {
        await using Watching watching = Client.Watches.Start("big/", new WatchOptions { Prefix = true });
        await watching.Created.WaitAsync(Limit);
        byte[] value = new byte[1 << 20];
        for (int i = 0; i < 4; i++)
        {
            await Client.Kv.PutAsync($"big/{i}", value, null, Limit);
        }

        long revision = (await Client.Kv.DeleteAsync(
            "big/", new DeleteOptions { Prefix = true }, Limit)).Header.Revision;
        await using Watching history = Client.Watches.Start(
            "big/", new WatchOptions { Prefix = true, StartRevision = 2, PrevKv = true });
        var events = new List<WatchEvent>();
        while (events.Count < 8)
        {
            WatchResponse response = await history.Responses.ReadAsync(Limit);
            events.AddRange(response.Events);
        }

        Assert.Equal(4, events.Count(e => e.Kv.ModRevision == revision && e.PrevKv!.Value.Length == value.Length));
    }

    [InteropFact]
    public async Task Reads_wait_for_the_server_to_come_back_and_writes_are_not_repeated()
    {
        await Client.Kv.PutAsync("k", "v", null, Limit);
        Etcd.Kill();
        Task<GetResponse> read = Client.Kv.GetAsync("k", null, Limit);
        Task<PutResponse> write = Client.Kv.PutAsync("k", "w", null, Limit);
        await Task.Delay(300, Limit);
        Assert.False(read.IsCompleted);
        Etcd.Start();
        await read;
        try
        {
            // It never left while nobody listened, so it may well be made now, but only once.
            await write;
        }
        catch (EtcdException e)
        {
            Assert.Equal(RpcCode.Unavailable, e.Code);
        }

        Assert.InRange((await Client.Kv.GetAsync("k", null, Limit)).Kvs[0].Version, 1, 2);
    }

    [InteropFact]
    public async Task A_dead_endpoint_is_passed_over()
    {
        await using EtcdClient both = await ConnectAsync("127.0.0.1:31299", Etcd.Endpoint);
        for (int i = 0; i < 6; i++)
        {
            await both.Kv.PutAsync("k", "v", null, Limit);
        }

        Assert.Equal(6, (await both.Kv.GetAsync("k", null, Limit)).Kvs[0].Version);
    }

    [InteropFact]
    public async Task A_black_hole_does_not_hold_a_call_longer_than_its_time()
    {
        // Accepts connections and never says a word.
        using var hole = new TcpListener(IPAddress.Loopback, 0);
        hole.Start();
        await using EtcdClient client = await ConnectAsync(hole.LocalEndpoint.ToString()!);
        using var time = new CancellationTokenSource(TimeSpan.FromMilliseconds(500));
        await Assert.ThrowsAnyAsync<OperationCanceledException>(
            () => client.Kv.GetAsync("k", null, time.Token).WaitAsync(Limit));
    }

    [InteropFact]
    public async Task A_kept_lease_outlives_its_time_and_a_revoked_one_is_reported_lost()
    {
        // Long enough for a busy machine: renewals are due every third of it.
        LeaseGrantResponse granted = await Client.Leases.GrantAsync(8, 0, Limit);
        using LeaseKeeper keeper = Client.Leases.KeepAlive(granted.Id);
        await Task.Delay(TimeSpan.FromSeconds(11), Limit);
        Assert.False(keeper.Lost.IsCancellationRequested);
        Assert.True((await Client.Leases.TimeToLiveAsync(granted.Id, false, Limit)).Ttl >= 0);
        await Client.Leases.RevokeAsync(granted.Id, Limit);
        await CancelledAsync(keeper.Lost);
        EtcdException gone = await Assert.ThrowsAsync<EtcdException>(
            () => Client.Leases.KeepAliveOnceAsync(granted.Id, Limit));
        Assert.Equal(EtcdErrors.LeaseNotFound, gone.Message);
    }

    [InteropFact]
    public async Task A_lease_that_cannot_be_renewed_is_lost_when_its_time_is_over()
    {
        LeaseGrantResponse granted = await Client.Leases.GrantAsync(3, 0, Limit);
        using LeaseKeeper keeper = Client.Leases.KeepAlive(granted.Id);
        await foreach (LeaseKeepAliveResponse _ in keeper.ReadAllAsync(Limit))
        {
            break;
        }

        Etcd.Kill();
        await CancelledAsync(keeper.Lost);
        Etcd.Start();
    }

    [InteropFact]
    public async Task A_lock_passes_on_in_order_with_a_growing_fencing_revision()
    {
        await using Session first = await Session.OpenAsync(Client, 10, Limit);
        await using Session second = await Session.OpenAsync(Client, 10, Limit);
        var held = new Mutex(first, "lock");
        var wanted = new Mutex(second, "lock");
        await held.LockAsync(Limit);
        long before = held.FencingRevision;
        Assert.False(await new Mutex(second, "lock").TryLockAsync(Limit));
        Task waiting = wanted.LockAsync(Limit);
        await Task.Delay(200, Limit);
        Assert.False(waiting.IsCompleted);
        Assert.True((await Client.Kv.Txn().If(held.IsOwner()).CommitAsync(Limit)).Succeeded);
        await held.UnlockAsync(Limit);
        await waiting;
        Assert.True(wanted.FencingRevision > before);
        Assert.False((await Client.Kv.Txn().If(
            Compare.CreateRevision(held.Key, CompareResult.Equal, before)).CommitAsync(Limit)).Succeeded);
    }

    [InteropFact]
    public async Task A_cancelled_claim_is_withdrawn()
    {
        await using Session first = await Session.OpenAsync(Client, 10, Limit);
        await using Session second = await Session.OpenAsync(Client, 10, Limit);
        var held = new Mutex(first, "lock");
        await held.LockAsync(Limit);
        using var patience = new CancellationTokenSource(TimeSpan.FromMilliseconds(300));
        var wanted = new Mutex(second, "lock");
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => wanted.LockAsync(patience.Token));
        Assert.Equal(0, (await Client.Kv.GetAsync(wanted.Key, null, Limit)).Count);
    }

    [InteropFact]
    public async Task The_next_candidate_leads_when_the_leader_resigns()
    {
        await using Session first = await Session.OpenAsync(Client, 10, Limit);
        await using Session second = await Session.OpenAsync(Client, 10, Limit);
        var leader = new Election(first, "boss");
        var next = new Election(second, "boss");
        await leader.CampaignAsync("alice", Limit);
        Task campaign = next.CampaignAsync("bob", Limit);
        Assert.Equal("alice", (await next.LeaderAsync(Limit))!.Value.ToString());
        var names = new List<string>();
        using var enough = CancellationTokenSource.CreateLinkedTokenSource(Limit);
        Task observing = Task.Run(async () =>
        {
            await foreach (GetResponse seen in new Election(first, "boss").ObserveAsync(enough.Token))
            {
                names.Add(seen.Kvs[0].Value.ToString());
                if (names.Count == 1)
                {
                    await leader.ResignAsync(Limit);
                }

                if (names[^1] == "bob")
                {
                    break;
                }
            }
        });
        await campaign;
        await observing;
        Assert.Equal(["alice", "bob"], names);
    }

    [InteropFact]
    public async Task A_token_lost_in_a_restart_is_fetched_again()
    {
        await Client.Auth.UserAddAsync("root", "pw", Limit);
        await Client.Auth.RoleAddAsync("root", Limit);
        await Client.Auth.UserGrantRoleAsync("root", "root", Limit);
        await Client.Auth.EnableAsync(Limit);
        EtcdClientOptions options = new() { Endpoints = [Etcd.Endpoint], Username = "root", Password = "pw" };
        await using EtcdClient root = await EtcdClient.ConnectAsync(options, Limit);
        await root.Kv.PutAsync("k", "1", null, Limit);
        await using Watching watching = root.Watches.Start("k");
        await watching.Created.WaitAsync(Limit);

        // Simple tokens live in the member's memory only.
        Etcd.Kill();
        Etcd.Start();
        await root.Kv.GetAsync("k", null, Limit);
        await root.Kv.PutAsync("k", "2", null, Limit);
        Assert.Equal("2", (await watching.Responses.ReadAsync(Limit)).Events[0].Kv.Value.ToString());
        EtcdException wrong = await Assert.ThrowsAsync<EtcdException>(
            () => EtcdClient.ConnectAsync(options with { Password = "wrong" }, Limit));
        Assert.Equal(EtcdErrors.AuthFailed, wrong.Message);
    }

    [InteropFact]
    public async Task A_snapshot_ends_with_its_checksum()
    {
        await Client.Kv.PutAsync("k", "v", null, Limit);
        using var file = new MemoryStream();
        long size = await Client.Maintenance.SnapshotAsync(file, Limit);
        Assert.Equal(size, file.Length);
        byte[] bytes = file.ToArray();
        Assert.Equal(
            System.Security.Cryptography.SHA256.HashData(bytes.AsSpan(0, bytes.Length - 32)), bytes[^32..]);
    }

    private static Task<EtcdClient> ConnectAsync(params string[] endpoints) =>
        EtcdClient.ConnectAsync(new EtcdClientOptions { Endpoints = endpoints });

    private async Task ReadAsync(Watching watching, List<long> seen, int events)
    {
        while (seen.Count < events)
        {
            WatchResponse response = await watching.Responses.ReadAsync(Limit);
            seen.AddRange(response.Events.Select(e => e.Kv.ModRevision));
        }
    }

    private async Task CancelledAsync(CancellationToken token)
    {
        using var either = CancellationTokenSource.CreateLinkedTokenSource(token, Limit);
        await Task.WhenAny(Task.Delay(Timeout.Infinite, either.Token));
        Assert.True(token.IsCancellationRequested);
    }
}
