using Etcdserverpb;
using Google.Protobuf;
using Perf.Grpc;
using Perf.Node;
using Perf.Store;
using Xunit;

namespace Perf.Rpc.Tests;

/// <summary>Limits at one below, at, and one above. (Operations of a transaction: KvTests; keep-alive and streams: the gRPC room.)</summary>
public sealed class LimitTests : IAsyncLifetime
{
    private const string Kv = "/etcdserverpb.KV/";
    private const int RequestBytesMax = 4096;
    private const int TransportBytesMax = RequestBytesMax + (512 * 1024);

    private readonly RpcServer _server = new() { Configure = config => config.MaxRequestBytes = RequestBytesMax };

    public Task InitializeAsync() => _server.InitializeAsync();

    public Task DisposeAsync() => _server.DisposeAsync();

    [Fact]
    public async Task REQ08_RequestBytes()
    {
        // The entry is the message behind a header of a constant size; it has one length at which it begins to be refused.
        var codes = new List<StatusCode>();
        for (int bytes = RequestBytesMax - 64; bytes <= RequestBytesMax; bytes++)
        {
            (StatusCode code, string text) = await _server.StatusAsync(Kv + "Put", Put(bytes));
            Assert.True(code == StatusCode.OK || text == "etcdserver: request is too large", text);
            codes.Add(code);
        }

        int accepted = codes.TakeWhile(code => code == StatusCode.OK).Count();
        Assert.InRange(accepted, 1, codes.Count - 1);
        Assert.DoesNotContain(StatusCode.OK, codes.Skip(accepted));
    }

    [Theory]
    [InlineData(TransportBytesMax - 1, StatusCode.InvalidArgument)]
    [InlineData(TransportBytesMax, StatusCode.InvalidArgument)]
    [InlineData(TransportBytesMax + 1, StatusCode.ResourceExhausted)]
    public async Task REQ08_MessageBytesOfTheTransport(int bytes, StatusCode code) =>
        Assert.Equal(code, (await _server.StatusAsync(Kv + "Put", Put(bytes))).Code);

    [Theory]
    [InlineData(4, true)]
    [InlineData(5, false)]
    [InlineData(6, false)]
    public async Task RNG06_Limit(long limit, bool more)
    {
        for (int i = 0; i < 5; i++)
        {
            await _server.CallAsync<PutResponse>(Kv + "Put", new PutRequest { Key = ByteString.CopyFromUtf8($"limit/{i}") });
        }

        RangeResponse found = await _server.CallAsync<RangeResponse>(
            Kv + "Range",
            new RangeRequest
            {
                Key = ByteString.CopyFromUtf8("limit/"),
                RangeEnd = ByteString.CopyFromUtf8("limit0"),
                Limit = limit,
            });
        Assert.Equal((Math.Min(limit, 5), 5L, more), ((long)found.Kvs.Count, found.Count, found.More));
    }

    [Theory]
    [InlineData(8_999_999_999, StatusCode.OK)]
    [InlineData(9_000_000_000, StatusCode.OK)]
    [InlineData(9_000_000_001, StatusCode.OutOfRange)]
    public async Task LSE01_Ttl(long ttl, StatusCode code) => Assert.Equal(
        code, (await _server.StatusAsync("/etcdserverpb.Lease/LeaseGrant", new LeaseGrantRequest { TTL = ttl })).Code);

    [Fact]
    public async Task OPS03_Quota()
    {
        RpcServer own = await RpcServer.StartAsync(config => config.QuotaBackendBytes = 1 << 20);
        try
        {
            EtcdNode node = own.Node;
            long left = node.Config.EffectiveQuotaBytes - node.State.Backend.SizeBytes;
            Assert.Equal(StoreError.None, node.CheckQuota(left - 1));
            Assert.False(node.State.Machine.Alarms.IsNoSpace);
            Assert.Equal(StoreError.NoSpace, node.CheckQuota(left));
            Assert.Equal(StoreError.NoSpace, node.CheckQuota(left + 1));
        }
        finally
        {
            await own.DisposeAsync();
        }
    }

    /// <summary>A put that is a message of exactly so many bytes.</summary>
    private static PutRequest Put(int bytes)
    {
        var put = new PutRequest { Key = ByteString.CopyFromUtf8("k"), Value = ByteString.CopyFrom(new byte[bytes - 16]) };
        put.Value = ByteString.CopyFrom(new byte[put.Value.Length + bytes - put.CalculateSize()]);
        Assert.Equal(bytes, put.CalculateSize());
        return put;
    }
}
