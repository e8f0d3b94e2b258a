using Etcdserverpb;
using Google.Protobuf;
using Perf.Grpc;
using Perf.Store;
using Xunit;

namespace Perf.Rpc.Tests;

/// <summary>The key-value service over the wire: refusals and limits (SURFACE 1.2 to 1.6, 1.13).</summary>
public class KvTests(RpcServer server) : IClassFixture<RpcServer>
{
    private const string Kv = "/etcdserverpb.KV/";

    [Fact]
    public async Task RNG01_PUT01_RefusalsOfOneField()
    {
        (StatusCode, string) Refused(string text) => (StatusCode.InvalidArgument, "etcdserver: " + text);
        Assert.Equal(Refused("key is not provided"), await server.StatusAsync(Kv + "Range", new RangeRequest()));
        Assert.Equal(Refused("key is not provided"), await server.StatusAsync(Kv + "Put", new PutRequest()));
        Assert.Equal(Refused("key is not provided"), await server.StatusAsync(Kv + "DeleteRange", new DeleteRangeRequest()));
        Assert.Equal(
            Refused("value is provided"),
            await server.StatusAsync(Kv + "Put", new PutRequest { Key = Bytes("k"), Value = Bytes("v"), IgnoreValue = true }));
        Assert.Equal(
            Refused("lease is provided"),
            await server.StatusAsync(Kv + "Put", new PutRequest { Key = Bytes("k"), Lease = 1, IgnoreLease = true }));
        Assert.Equal(
            Refused("key not found"),
            await server.StatusAsync(Kv + "Put", new PutRequest { Key = Bytes("missing"), IgnoreValue = true }));
        Assert.Equal(
            (StatusCode.NotFound, "etcdserver: requested lease not found"),
            await server.StatusAsync(Kv + "Put", new PutRequest { Key = Bytes("k"), Lease = 4711 }));
    }

    [Fact]
    public async Task RNG03_CMP01_RevisionsOutOfRange()
    {
        (StatusCode, string) future = (StatusCode.OutOfRange, "etcdserver: mvcc: required revision is a future revision");
        Assert.Equal(
            future, await server.StatusAsync(Kv + "Range", new RangeRequest { Key = Bytes("k"), Revision = 1L << 40 }));
        Assert.Equal(future, await server.StatusAsync(Kv + "Compact", new CompactionRequest { Revision = 1L << 40 }));
    }

    [Fact]
    public async Task TXN04_OneBelowAtAndAboveTheLimit()
    {
        Assert.Equal(StatusCode.OK, (await server.StatusAsync(Kv + "Txn", Puts(127))).Code);
        Assert.Equal(StatusCode.OK, (await server.StatusAsync(Kv + "Txn", Puts(128))).Code);
        Assert.Equal(
            (StatusCode.InvalidArgument, "etcdserver: too many operations in txn request"),
            await server.StatusAsync(Kv + "Txn", Puts(129)));
        TxnRequest twice = Puts(1);
        twice.Success.Add(twice.Success[0]);
        Assert.Equal(
            (StatusCode.InvalidArgument, "etcdserver: duplicate key given in txn request"),
            await server.StatusAsync(Kv + "Txn", twice));
    }

    [Fact]
    public async Task REQ08_ABigRequestIsRefusedByUsAHugeOneByTheTransport()
    {
        const int Limit = 1_572_864;
        Assert.Equal(StatusCode.OK, (await server.StatusAsync(Kv + "Put", Put(Limit - 200))).Code);
        Assert.Equal(
            (StatusCode.InvalidArgument, "etcdserver: request is too large"),
            await server.StatusAsync(Kv + "Put", Put(Limit + 1)));
        (StatusCode code, string text) = await server.StatusAsync(Kv + "Put", Put(Limit + (512 * 1024) + 1));
        Assert.Equal(StatusCode.ResourceExhausted, code);
        Assert.StartsWith("grpc: received message larger than max", text);
    }

    [Fact]
    public async Task RPC11_UnknownMethodsAndServices()
    {
        Assert.Equal(
            (StatusCode.Unimplemented, "unknown method Nothing for service etcdserverpb.KV"),
            await server.StatusAsync(Kv + "Nothing", new RangeRequest()));
        Assert.Equal(
            (StatusCode.Unimplemented, "unknown service a.B"), await server.StatusAsync("/a.B/C", new RangeRequest()));
    }

    [Fact]
    public void ERR01_EveryReasonHasACodeAndAText()
    {
        foreach (StoreError error in Enum.GetValues<StoreError>())
        {
            if (error != StoreError.None)
            {
                Assert.DoesNotContain("unexpected error", StatusMapping.Of(error).Text);
            }
        }
    }

    [Fact]
    public void MBR04_NotEnoughStartedHasNoCodeOfItsOwnOnTheWire() => Assert.Equal(
        (StatusCode.Unknown, "etcdserver: re-configuration failed due to not enough started members"),
        StatusMapping.Of(StoreError.MemberNotEnoughStarted));

    [Theory]
    [InlineData("KV/Range")]
    [InlineData("KV/Put")]
    [InlineData("KV/DeleteRange")]
    [InlineData("KV/Txn")]
    [InlineData("KV/Compact")]
    [InlineData("Lease/LeaseGrant")]
    [InlineData("Lease/LeaseRevoke")]
    [InlineData("Lease/LeaseTimeToLive")]
    [InlineData("Maintenance/Alarm")]
    [InlineData("Maintenance/Downgrade")]
    [InlineData("Maintenance/HashKV")]
    [InlineData("Maintenance/MoveLeader")]
    [InlineData("Cluster/MemberAdd")]
    [InlineData("Cluster/MemberRemove")]
    [InlineData("Cluster/MemberUpdate")]
    [InlineData("Cluster/MemberPromote")]
    [InlineData("Cluster/MemberList")]
    [InlineData("Auth/AuthEnable")]
    [InlineData("Auth/AuthStatus")]
    [InlineData("Auth/Authenticate")]
    [InlineData("Auth/UserAdd")]
    [InlineData("Auth/UserDelete")]
    [InlineData("Auth/RoleGrantPermission")]
    public async Task RELIABILITY3_WhatIsNoMessageNeverGetsIntoTheLog(string method)
    {
        while (server.Node.ClusterVersion is null)
        {
            await Task.Delay(10);
        }

        ulong before = server.Node.Pipeline.AppliedIndex;
        RpcException e = await Assert.ThrowsAsync<RpcException>(() => server.Channel.UnaryAsync(
            "/etcdserverpb." + method, new byte[] { 0x0A, 0x7F, 1 }, RpcServer.Options()));
        Assert.Equal(StatusCode.Internal, e.Code);
        Assert.Equal(before, server.Node.Pipeline.AppliedIndex);
    }

    [Theory]
    [InlineData("3.4", StatusCode.OK, "")]
    [InlineData("3.4.0", StatusCode.OK, "")]
    [InlineData("3.3", StatusCode.InvalidArgument, "etcdserver: invalid downgrade target version")]
    [InlineData("x", StatusCode.InvalidArgument, "etcdserver: wrong downgrade target version format")]
    public async Task MNT08_DowngradeIsValidated(string version, StatusCode code, string text) => Assert.Equal(
        (code, text),
        await server.StatusAsync(
            "/etcdserverpb.Maintenance/Downgrade",
            new DowngradeRequest { Action = DowngradeRequest.Types.DowngradeAction.Validate, Version = version }));

    private static ByteString Bytes(string text) => ByteString.CopyFromUtf8(text);

    private static PutRequest Put(int bytes) => new() { Key = Bytes("big"), Value = ByteString.CopyFrom(new byte[bytes]) };

    private static TxnRequest Puts(int count)
    {
        var txn = new TxnRequest();
        for (int i = 0; i < count; i++)
        {
            txn.Success.Add(new RequestOp { RequestPut = new PutRequest { Key = Bytes($"txn/{i}") } });
        }

        return txn;
    }
}
