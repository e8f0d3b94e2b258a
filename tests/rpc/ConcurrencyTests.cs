using Etcdserverpb;
using Google.Protobuf;
using Perf.Grpc;
using V3Electionpb;
using V3Lockpb;
using Xunit;

namespace Perf.Rpc.Tests;

/// <summary>The lock and election services (SURFACE 1.12).</summary>
public class ConcurrencyTests(RpcServer server) : IClassFixture<RpcServer>
{
    private const string Election = "/v3electionpb.Election/";
    private const string Locks = "/v3lockpb.Lock/";

    [Fact]
    public async Task CON01_ALockIsOneOwnersAtATime()
    {
        long first = await GrantAsync();
        long second = await GrantAsync();
        LockResponse held = await LockAsync("one", first);
        Assert.Equal($"one/{first:x}", held.Key.ToStringUtf8());
        Assert.Equal(held.Key, (await LockAsync("one", first)).Key);

        Task<LockResponse> waiting = LockAsync("one", second);
        await Task.Delay(50);
        Assert.False(waiting.IsCompleted);
        await server.CallAsync<UnlockResponse>(Locks + "Unlock", new UnlockRequest { Key = held.Key });
        Assert.Equal($"one/{second:x}", (await waiting.WaitAsync(TimeSpan.FromSeconds(10))).Key.ToStringUtf8());
    }

    [Fact]
    public async Task CON01_WithoutALeaseOneOfAMinuteIsGranted()
    {
        LockResponse held = await LockAsync("leaseless", 0);
        long lease = Convert.ToInt64(held.Key.ToStringUtf8().Split('/')[1], 16);
        LeaseTimeToLiveResponse left = await server.CallAsync<LeaseTimeToLiveResponse>(
            "/etcdserverpb.Lease/LeaseTimeToLive", new LeaseTimeToLiveRequest { ID = lease });
        Assert.Equal(60, left.GrantedTTL);
    }

    [Fact]
    public async Task CON02_AWaiterWhoseLeaseIsGoneDoesNotGetTheLock()
    {
        long first = await GrantAsync();
        long second = await GrantAsync();
        LockResponse held = await LockAsync("gone", first);
        Task<(StatusCode Code, string Text)> waiting = server.StatusAsync(
            Locks + "Lock", new LockRequest { Name = ByteString.CopyFromUtf8("gone"), Lease = second });
        await Eventually(async () => (await CountAsync("gone/")) == 2);
        await server.CallAsync<LeaseRevokeResponse>("/etcdserverpb.Lease/LeaseRevoke", new LeaseRevokeRequest { ID = second });
        await server.CallAsync<UnlockResponse>(Locks + "Unlock", new UnlockRequest { Key = held.Key });
        Assert.Equal(
            (StatusCode.Unknown, "mutex: session is expired"), await waiting.WaitAsync(TimeSpan.FromSeconds(10)));
    }

    [Fact]
    public async Task CON02_AWaiterThatGivesUpLeavesTheQueue()
    {
        LockResponse held = await LockAsync("impatient", await GrantAsync());
        var patience = CallOptions.Timeout(TimeSpan.FromMilliseconds(300));
        RpcException e = await Assert.ThrowsAsync<RpcException>(() => server.Channel.UnaryAsync(
            Locks + "Lock",
            new LockRequest { Name = ByteString.CopyFromUtf8("impatient"), Lease = GrantAsync().Result }.ToByteArray(),
            patience));
        Assert.Equal(StatusCode.DeadlineExceeded, e.Code);
        await Eventually(async () => (await CountAsync("impatient/")) == 1);
        Assert.NotEmpty(held.Key.ToByteArray());
    }

    /// <summary>etcd's services run over its client, whose errors have a text and no code.</summary>
    [Fact]
    public async Task CON01_RefusalsOfTheCallsBeneathComeAsUnknown()
    {
        (StatusCode, string) missing = (StatusCode.Unknown, "etcdserver: requested lease not found");
        Assert.Equal(missing, await server.StatusAsync(
            Locks + "Lock", new LockRequest { Name = ByteString.CopyFromUtf8("l"), Lease = 4711 }));
        Assert.Equal(missing, await server.StatusAsync(
            Election + "Campaign", new CampaignRequest { Name = ByteString.CopyFromUtf8("e0"), Lease = 4711 }));
        Assert.Equal(
            (StatusCode.Unknown, "etcdserver: key is not provided"),
            await server.StatusAsync(Locks + "Unlock", new UnlockRequest()));
    }

    [Fact]
    public async Task CON03_UnlockOfNothingSucceeds() => await server.CallAsync<UnlockResponse>(
        Locks + "Unlock", new UnlockRequest { Key = ByteString.CopyFromUtf8("never/locked") });

    [Fact]
    public async Task CON04_CampaignProclaimResign()
    {
        Assert.Equal(
            (StatusCode.Unknown, "election: no leader"),
            await server.StatusAsync(Election + "Leader", new LeaderRequest { Name = ByteString.CopyFromUtf8("e") }));
        LeaderKey first = (await CampaignAsync("e", "first")).Leader;
        Task<CampaignResponse> waiting = CampaignAsync("e", "second");
        Assert.Equal("first", (await LeaderAsync("e")).Kv.Value.ToStringUtf8());

        await server.CallAsync<ProclaimResponse>(
            Election + "Proclaim", new ProclaimRequest { Leader = first, Value = ByteString.CopyFromUtf8("again") });
        Assert.Equal("again", (await LeaderAsync("e")).Kv.Value.ToStringUtf8());
        await server.CallAsync<ResignResponse>(Election + "Resign", new ResignRequest { Leader = first });
        await waiting.WaitAsync(TimeSpan.FromSeconds(10));
        Assert.Equal("second", (await LeaderAsync("e")).Kv.Value.ToStringUtf8());
        Assert.Equal(
            (StatusCode.Unknown, "election: not leader"),
            await server.StatusAsync(Election + "Proclaim", new ProclaimRequest { Leader = first }));
        Assert.Equal(
            (StatusCode.Unknown, "\"leader\" field must be provided"),
            await server.StatusAsync(Election + "Resign", new ResignRequest()));
    }

    [Fact]
    public async Task CON04_ObserveTellsEveryLeader()
    {
        var method = new ClientMethod<LeaderRequest, LeaderResponse>(
            Election + "Observe", request => request.ToByteArray(), bytes => LeaderResponse.Parser.ParseFrom(bytes.Span));
        using var ended = new CancellationTokenSource(TimeSpan.FromSeconds(20));
        await using ClientStream<LeaderRequest, LeaderResponse> seen = server.Channel.ServerStream(
            method,
            new LeaderRequest { Name = ByteString.CopyFromUtf8("watched") },
            new CallOptions(Cancellation: ended.Token));
        LeaderKey leader = (await CampaignAsync("watched", "a")).Leader;
        Assert.True(await seen.MoveNextAsync());
        Assert.Equal("a", seen.Current.Kv.Value.ToStringUtf8());
        await server.CallAsync<ProclaimResponse>(
            Election + "Proclaim", new ProclaimRequest { Leader = leader, Value = ByteString.CopyFromUtf8("b") });
        Assert.True(await seen.MoveNextAsync());
        Assert.Equal("b", seen.Current.Kv.Value.ToStringUtf8());
        await server.CallAsync<ResignResponse>(Election + "Resign", new ResignRequest { Leader = leader });
        await CampaignAsync("watched", "c");
        Assert.True(await seen.MoveNextAsync());
        Assert.Equal("c", seen.Current.Kv.Value.ToStringUtf8());
    }

    private static async Task Eventually(Func<Task<bool>> condition)
    {
        for (int look = 0; look < 500; look++)
        {
            if (await condition())
            {
                return;
            }

            await Task.Delay(20);
        }

        Assert.Fail("it did not come about in ten seconds");
    }

    private async Task<long> GrantAsync() => (await server.CallAsync<LeaseGrantResponse>(
        "/etcdserverpb.Lease/LeaseGrant", new LeaseGrantRequest { TTL = 300 })).ID;

    private Task<LockResponse> LockAsync(string name, long lease) => server.CallAsync<LockResponse>(
        Locks + "Lock", new LockRequest { Name = ByteString.CopyFromUtf8(name), Lease = lease });

    private async Task<CampaignResponse> CampaignAsync(string name, string value) => await server.CallAsync<CampaignResponse>(
        Election + "Campaign",
        new CampaignRequest
        {
            Name = ByteString.CopyFromUtf8(name),
            Lease = await GrantAsync(),
            Value = ByteString.CopyFromUtf8(value),
        });

    private Task<LeaderResponse> LeaderAsync(string name) => server.CallAsync<LeaderResponse>(
        Election + "Leader", new LeaderRequest { Name = ByteString.CopyFromUtf8(name) });

    private async Task<long> CountAsync(string prefix) => (await server.CallAsync<RangeResponse>(
        "/etcdserverpb.KV/Range",
        new RangeRequest
        {
            Key = ByteString.CopyFromUtf8(prefix),
            RangeEnd = ByteString.CopyFromUtf8(prefix[..^1] + "0"),
            CountOnly = true,
        })).Count;
}
