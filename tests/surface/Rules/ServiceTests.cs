using Etcdserverpb;
using Google.Protobuf;
using Grpc.Health.V1;
using Perf.Grpc;
using Xunit;
using StatusCode = Perf.Grpc.StatusCode;

namespace Perf.Surface.Tests.Rules;

/// <summary>Rules that hold for calls of every kind, seen from outside.</summary>
public sealed class ServiceTests
{
    [Fact]
    public async Task Rpc08_health_knows_the_empty_name_and_no_other()
    {
        await using var server = new Server();
        HealthCheckResponse answer = await CheckAsync("");
        Assert.Equal(HealthCheckResponse.Types.ServingStatus.Serving, answer.Status);
        RpcException unknown = await Assert.ThrowsAsync<RpcException>(() => CheckAsync("etcdserverpb.KV"));
        Assert.Equal((StatusCode.NotFound, "unknown service"), (unknown.Code, unknown.Message));

        var watch = new ClientMethod<HealthCheckRequest, HealthCheckResponse>(
            "/grpc.health.v1.Health/Watch", m => m.ToByteArray(), m => HealthCheckResponse.Parser.ParseFrom(m.Span));
        await using ClientStream<HealthCheckRequest, HealthCheckResponse> known =
            server.Channel.ServerStream(watch, new HealthCheckRequest());
        Assert.True(await known.MoveNextAsync());
        Assert.Equal(HealthCheckResponse.Types.ServingStatus.Serving, known.Current.Status);
        await using ClientStream<HealthCheckRequest, HealthCheckResponse> stranger =
            server.Channel.ServerStream(watch, new HealthCheckRequest { Service = "nobody" });
        Assert.True(await stranger.MoveNextAsync());
        Assert.Equal(HealthCheckResponse.Types.ServingStatus.ServiceUnknown, stranger.Current.Status);

        async Task<HealthCheckResponse> CheckAsync(string service) => HealthCheckResponse.Parser.ParseFrom((await server.Caller.CallAsync(
            "/grpc.health.v1.Health/Check", new HealthCheckRequest { Service = service }.ToByteArray())).Span);
    }

    [Fact]
    public async Task Req01_headers_are_whole_where_etcd_sends_them_and_missing_where_not()
    {
        await using var server = new Server();
        PutResponse put = await server.Caller.PutAsync("a", "1");
        Assert.Equal(2, put.Header.Revision);
        Assert.NotEqual(0UL, put.Header.ClusterId);
        Assert.NotEqual(0UL, put.Header.RaftTerm);

        // The members have no revision; what is done to the file or the leader has no header.
        MemberListResponse members = await server.Caller.MembersAsync();
        Assert.Equal(new ResponseHeader(put.Header) { Revision = 0 }, members.Header);
        Assert.Null((await server.Caller.CallAsync(
            "Maintenance/Defragment", new DefragmentRequest(), DefragmentResponse.Parser)).Header);
        Assert.Equal(put.Header, (await server.Caller.StatusAsync()).Header);
        Assert.Equal(put.Header, (await server.Caller.AlarmAsync(new AlarmRequest())).Header);

        // Within a transaction only the revision.
        TxnResponse txn = await server.Caller.TxnAsync(new TxnRequest
        {
            Success = { new RequestOp { RequestRange = new() { Key = ByteString.CopyFromUtf8("a") } } },
        });
        Assert.Equal(new ResponseHeader { Revision = 2 }, txn.Responses[0].ResponseRange.Header);
    }

    [Fact]
    public async Task Req04_leases_users_alarms_and_members_do_not_move_the_revision()
    {
        await using var server = new Server();
        long revision = (await server.Caller.PutAsync("a", "1")).Header.Revision;
        long lease = (await server.Caller.GrantAsync(new LeaseGrantRequest { TTL = 60 })).ID;
        await server.Caller.RevokeAsync(new LeaseRevokeRequest { ID = lease });
        await server.Caller.CallAsync("Auth/UserAdd", new AuthUserAddRequest { Name = "u", Password = "p" }, AuthUserAddResponse.Parser);
        await server.Caller.CallAsync("Auth/RoleAdd", new AuthRoleAddRequest { Name = "r" }, AuthRoleAddResponse.Parser);
        foreach (AlarmRequest.Types.AlarmAction action in new[]
            { AlarmRequest.Types.AlarmAction.Activate, AlarmRequest.Types.AlarmAction.Deactivate })
        {
            await server.Caller.AlarmAsync(new AlarmRequest { Action = action, Alarm = AlarmType.Nospace, MemberID = 7 });
        }

        StatusResponse before = await server.Caller.StatusAsync();
        await server.Caller.AddMemberAsync("http://127.0.0.1:1", isLearner: true);
        StatusResponse after = await server.Caller.StatusAsync();
        Assert.Equal(revision, after.Header.Revision);
        Assert.True(after.RaftIndex > before.RaftIndex);
        Assert.Equal(revision + 1, (await server.Caller.PutAsync("a", "2")).Header.Revision);
    }

    [Fact]
    public async Task Mbr02_bad_urls_and_known_ones_are_refused_and_the_newcomer_has_no_name_yet()
    {
        await using var server = new Server();
        foreach (string bad in new[] { "localhost:1", "http://127.0.0.1", "" })
        {
            RpcException refused = await Assert.ThrowsAsync<RpcException>(() => server.Caller.AddMemberAsync(bad));
            Assert.Equal(
                (StatusCode.InvalidArgument, "etcdserver: given member URLs are invalid"), (refused.Code, refused.Message));
        }

        MemberAddResponse added = await server.Caller.AddMemberAsync("http://127.0.0.1:1", isLearner: true);
        Assert.Equal(2, added.Members.Count);
        Assert.Equal(("", 0, true), (added.Member.Name, added.Member.ClientURLs.Count, added.Member.IsLearner));
        RpcException again = await Assert.ThrowsAsync<RpcException>(
            () => server.Caller.AddMemberAsync("http://127.0.0.1:1", isLearner: true));
        Assert.Equal(StatusCode.FailedPrecondition, again.Code);

        // One learner is all there may be, and one that has never spoken cannot be promoted.
        RpcException second = await Assert.ThrowsAsync<RpcException>(
            () => server.Caller.AddMemberAsync("http://127.0.0.1:2", isLearner: true));
        Assert.Equal("etcdserver: too many learner members in cluster", second.Message);
        RpcException early = await Assert.ThrowsAsync<RpcException>(() => server.Caller.PromoteMemberAsync(added.Member.ID));
        Assert.Equal("etcdserver: can only promote a learner member which is in sync with leader", early.Message);
        ulong self = (await server.Caller.StatusAsync()).Header.MemberId;
        RpcException voter = await Assert.ThrowsAsync<RpcException>(() => server.Caller.PromoteMemberAsync(self));
        Assert.Equal("etcdserver: can only promote a learner member", voter.Message);
        RpcException stranger = await Assert.ThrowsAsync<RpcException>(() => server.Caller.RemoveMemberAsync(12345));
        Assert.Equal((StatusCode.NotFound, "etcdserver: member not found"), (stranger.Code, stranger.Message));

        // MBR-08: both ways of asking see the same here.
        Assert.Equal(
            (await server.Caller.MembersAsync(isLinearizable: true)).Members,
            (await server.Caller.MembersAsync(isLinearizable: false)).Members);
    }

    [Fact]
    public async Task Ops03_a_full_quota_refuses_what_grows_until_it_is_made_room_and_disarmed()
    {
        const int ValueBytes = 100_000;
        await using var server = new Server("--quota-backend-bytes", "4000000", "--log-level", "error");
        ulong self = (await server.Caller.StatusAsync()).Header.MemberId;
        var put = new PutRequest { Key = ByteString.CopyFromUtf8("a"), Value = ByteString.CopyFrom(new byte[ValueBytes]) };
        long revision = 0;
        RpcException? refused = null;
        for (int i = 0; i < 1000 && refused is null; i++)
        {
            try
            {
                revision = (await server.Caller.PutAsync(put)).Header.Revision;
            }
            catch (RpcException e)
            {
                refused = e;
            }
        }

        Assert.NotNull(refused);
        Assert.Equal(
            (StatusCode.ResourceExhausted, "etcdserver: mvcc: database space exceeded"), (refused.Code, refused.Message));
        AlarmMember alarm = Assert.Single((await server.Caller.AlarmAsync(new AlarmRequest())).Alarms);
        Assert.Equal(new AlarmMember { Alarm = AlarmType.Nospace, MemberID = self }, alarm);
        Assert.Contains((await server.Caller.StatusAsync()).Errors, e => e.Contains("NOSPACE", StringComparison.Ordinal));
        await Assert.ThrowsAsync<RpcException>(() => server.Caller.GrantAsync(new LeaseGrantRequest { TTL = 60 }));
        Assert.Equal(1, (await server.Caller.EverythingAsync()).Count);

        // Room alone is not enough: the alarm is a person's to lift.
        await server.Caller.CompactAsync(new CompactionRequest { Revision = revision, Physical = true });
        StatusResponse full = await server.Caller.StatusAsync();
        await server.Caller.CallAsync("Maintenance/Defragment", new DefragmentRequest(), DefragmentResponse.Parser);
        StatusResponse small = await server.Caller.StatusAsync();
        Assert.True(small.DbSize < full.DbSize / 4, $"the file had {full.DbSize} bytes and has {small.DbSize}");
        await Assert.ThrowsAsync<RpcException>(() => server.Caller.PutAsync(put));
        await server.Caller.AlarmAsync(new AlarmRequest { Action = AlarmRequest.Types.AlarmAction.Deactivate, Alarm = AlarmType.Nospace, MemberID = self });
        await server.Caller.PutAsync(put);
    }
}
