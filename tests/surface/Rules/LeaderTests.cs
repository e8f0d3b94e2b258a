using Etcdserverpb;
using Google.Protobuf;
using Perf.Cluster.Tests.Harness;
using Perf.Grpc;
using Xunit;

namespace Perf.Surface.Tests.Rules;

/// <summary>What a member does that has lost its leader, or has no vote.</summary>
public sealed class LeaderTests
{
    private static readonly TimeSpan _patience = TimeSpan.FromSeconds(60);

    [Fact]
    public async Task Req05_Wch18_who_wants_a_leader_is_told_that_there_is_none()
    {
        using var members = new MemberGroup(2);
        await members.WithLogsAsync(async () =>
        {
            members.Start();
            await using var channel = new GrpcChannel(members["m0"].Url);
            var wanting = new Perf.Grpc.Metadata { { "hasleader", "true" } };
            await using ClientStream<WatchRequest, WatchResponse> watch = channel.Open(Watch(), new CallOptions(Headers: wanting));
            await watch.WriteAsync(Create());
            Assert.True(await watch.MoveNextAsync());
            await using ClientStream<WatchRequest, WatchResponse> patient = channel.Open(Watch());
            await patient.WriteAsync(Create());
            Assert.True(await patient.MoveNextAsync());

            members.Kill("m1");
            RpcException lost = await Assert.ThrowsAsync<RpcException>(() => watch.MoveNextAsync().AsTask().WaitAsync(_patience));
            Assert.Equal((StatusCode.Unavailable, "etcdserver: no leader"), (lost.Code, lost.Message));
            byte[] read = new RangeRequest { Key = ByteString.CopyFromUtf8("a"), Serializable = true }.ToByteArray();
            RpcException refused = await Assert.ThrowsAsync<RpcException>(
                () => channel.UnaryAsync("/etcdserverpb.KV/Range", read, CallOptions.Timeout(_patience, wanting)));
            Assert.Equal((StatusCode.Unavailable, "etcdserver: no leader"), (refused.Code, refused.Message));
            await using ClientStream<WatchRequest, WatchResponse> late = channel.Open(Watch(), new CallOptions(Headers: wanting));
            RpcException closed = await Assert.ThrowsAsync<RpcException>(() => late.MoveNextAsync().AsTask().WaitAsync(_patience));
            Assert.Equal((StatusCode.Unavailable, "etcdserver: no leader"), (closed.Code, closed.Message));

            // RNG-05: who does not want one reads what this member has, and keeps his watch.
            await channel.UnaryAsync("/etcdserverpb.KV/Range", read, CallOptions.Timeout(_patience));
            members.Launch("m1");
            members.Leader();
            await using var caller = new Caller(members["m1"]);
            await caller.PutAsync("a", "1");
            Assert.True(await patient.MoveNextAsync().AsTask().WaitAsync(_patience));
            Assert.Single(patient.Current.Events);
        });
    }

    [Fact]
    public async Task Req12_Mbr07_a_learner_answers_little_until_it_is_promoted()
    {
        using var members = new MemberGroup(1);
        await members.WithLogsAsync(async () =>
        {
            members.Start();
            await using var leader = new Caller(members["m0"]);
            await leader.PutAsync("a", "1");
            members.AddPlace("m1");
            MemberAddResponse added = await leader.AddMemberAsync(members.PeerUrl("m1"), isLearner: true);
            members.Launch("m1", joins: true);
            StatusResponse status = MemberGroup.Eventually(
                () => members.TryStatus("m1"), s => s is { IsLearner: true, Header.Revision: 2 }, "the learner has what there is")!;
            Assert.NotEqual(0UL, status.Leader);

            await using var learner = new Caller(members["m1"]);
            var serializable = new RangeRequest { Key = ByteString.CopyFromUtf8("a"), Serializable = true };
            Assert.Equal(1, (await learner.RangeAsync(serializable)).Count);
            Func<Task>[] refused =
            [
                () => learner.RangeAsync(new RangeRequest(serializable) { Serializable = false }),
                () => learner.PutAsync("a", "2"),
                () => learner.MembersAsync(),
                () => learner.GrantAsync(new LeaseGrantRequest { TTL = 60 }),
            ];
            foreach (Func<Task> call in refused)
            {
                RpcException e = await Assert.ThrowsAsync<RpcException>(call);
                Assert.Equal(
                    (StatusCode.Unavailable, "etcdserver: rpc not supported for learner"), (e.Code, e.Message));
            }

            MemberGroup.Eventually(() => PromoteAsync().Result, done => done, "the learner is promoted");
            MemberGroup.Eventually(() => members.TryStatus("m1"), s => s is { IsLearner: false }, "it has a vote");
            await learner.PutAsync("a", "2");

            async Task<bool> PromoteAsync()
            {
                try
                {
                    await leader.PromoteMemberAsync(added.Member.ID);
                    return true;
                }
                catch (RpcException e) when (e.Message.Contains("in sync with leader", StringComparison.Ordinal))
                {
                    return false;
                }
            }
        });
    }

    private static ClientMethod<WatchRequest, WatchResponse> Watch() =>
        new("/etcdserverpb.Watch/Watch", m => m.ToByteArray(), m => WatchResponse.Parser.ParseFrom(m.Span));

    private static WatchRequest Create() => new() { CreateRequest = new() { Key = ByteString.CopyFromUtf8("a") } };
}
