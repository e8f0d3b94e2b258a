using Etcdserverpb;
using Google.Protobuf;
using Perf.Cluster.Tests.Harness;
using Perf.Grpc;
using Xunit;

namespace Perf.Cluster.Tests;

/// <summary>
/// Three hosts whose network is cut by the kernel: what one sends the other never arrives, and nobody is told. Clients
/// reach all of them throughout.
/// </summary>
public sealed class NetworkTests
{
    /// <summary>The default. Shorter ones would be over sooner, but a busy machine disturbs them.</summary>
    private const int ElectionMs = 1000;

    /// <summary>Shorter than a proposal's own timeout, and some elections long.</summary>
    private static readonly TimeSpan _hopeless = TimeSpan.FromSeconds(4);

    [NetworkFact]
    public Task A_leader_alone_serves_nothing_linearizable_and_the_majority_goes_on() => UnderLoadAsync(
        async (lab, group, load, stalls) =>
        {
            string old = group.Leader();
            string[] others = [.. group.Names.Where(n => n != old)];
            await using var alone = new Caller(group[old].Url, _hopeless);
            await alone.PutAsync("register", "old");
            foreach (string other in others)
            {
                lab.Cut(group.Host(old), group.Host(other));
            }

            string next = LeaderAmong(group, others);
            await using (var majority = new Caller(group[next]))
            {
                await majority.PutAsync("register", "new");
            }

            load.WaitForMore(50);
            Task<RpcException> put = Assert.ThrowsAsync<RpcException>(() => alone.PutAsync("register", "lost"));
            Task<RpcException> read = Assert.ThrowsAsync<RpcException>(() => ReadAsync(alone));
            await put;
            await read;
            Assert.Equal("old", await ReadAsync(alone, isSerializable: true));
            MemberGroup.Eventually(() => group.TryStatus(old), s => s?.Leader == 0, "the lonely one knows of no leader");

            ulong term = group.Status(next).RaftTerm;
            lab.Heal();
            group.Leader();
            stalls.UnlessStalled(ElectionMs, () => Assert.Equal(term, group.Status(next).RaftTerm));
            Assert.Equal("new", await ReadAsync(alone));
        });

    [NetworkFact]
    public Task One_way_cuts_cost_a_deaf_leader_its_place_and_a_deaf_follower_nobody_anything() => UnderLoadAsync(
        async (lab, group, load, stalls) =>
        {
            // A follower that does not hear its leader asks for votes again and again, and moves nobody.
            string leader = group.Leader();
            string deaf = group.Names.First(n => n != leader);
            ulong term = group.Status(leader).RaftTerm;
            lab.CutOneWay(group.Host(leader), group.Host(deaf));
            MemberGroup.Eventually(() => group.TryStatus(deaf), s => s?.Leader == 0, "the follower misses its leader");
            load.WaitForMore(100);
            await Task.Delay(3 * ElectionMs);
            lab.Heal();
            leader = group.Leader();
            stalls.UnlessStalled(ElectionMs, () => Assert.Equal(term, group.Status(deaf).RaftTerm));

            // A leader that hears nobody gives up, and the others elect once.
            string[] others = [.. group.Names.Where(n => n != leader)];
            foreach (string other in others)
            {
                lab.CutOneWay(group.Host(other), group.Host(leader));
            }

            string next = LeaderAmong(group, others);
            ulong raised = group.Status(next).RaftTerm;
            MemberGroup.Eventually(
                () => group.TryStatus(leader), s => s is not null && s.Leader != s.Header.MemberId, "the deaf one gives up");
            load.WaitForMore(50);
            await Task.Delay(3 * ElectionMs);
            lab.Heal();
            group.Leader();
            stalls.UnlessStalled(ElectionMs, () => Assert.Equal(raised, group.Status(leader).RaftTerm));
        });

    [NetworkFact]
    public Task Where_two_reach_each_other_only_over_the_third_there_is_a_lasting_leader() => UnderLoadAsync(
        async (lab, group, load, stalls) =>
        {
            // The leader in the middle is not disturbed.
            string leader = group.Leader();
            string[] others = [.. group.Names.Where(n => n != leader)];
            ulong term = group.Status(leader).RaftTerm;
            lab.Cut(group.Host(others[0]), group.Host(others[1]));
            load.WaitForMore(50);
            await Task.Delay(3 * ElectionMs);
            lab.Heal();
            stalls.UnlessStalled(ElectionMs, () => Assert.Equal(term, group.Status(others[0]).RaftTerm));

            // The leader at one end: the one at the other end may not disturb the two that hear each other.
            leader = group.Leader();
            others = [.. group.Names.Where(n => n != leader)];
            term = group.Status(leader).RaftTerm;
            lab.Cut(group.Host(leader), group.Host(others[1]));
            load.WaitForMore(50);
            await Task.Delay(4 * ElectionMs);
            load.WaitForMore(50);
            ulong after = group.Status(others[0]).RaftTerm;
            stalls.UnlessStalled(ElectionMs, () => Assert.InRange(after, term, term + 1));
            lab.Heal();
            group.Leader();
        });

    [NetworkFact]
    public async Task A_snapshot_over_a_thin_line_starves_no_heartbeat()
    {
        using var lab = NetworkLab.OfThree();
        using var stalls = new Stalls();
        using var group = new MemberGroup(3, lab)
        {
            Flags = ["--snapshot-count", "100", "--experimental-snapshot-catchup-entries", "10"],
        };
        await group.WithLogsAsync(async () =>
        {
            group.Start();
            string leader = group.Leader();
            string away = group.Names.First(n => n != leader);
            group.Kill(away);
            await using (var caller = new Caller(group[leader]))
            {
                byte[] noise = new byte[20_000];
                for (int i = 0; i < 300; i++)
                {
                    new Random(i).NextBytes(noise);
                    await caller.PutAsync(new PutRequest
                    {
                        Key = ByteString.CopyFromUtf8($"big{i}"),
                        Value = ByteString.CopyFrom(noise),
                    });
                }
            }

            // The log is cut somewhat after the snapshot that allows it.
            string snapshots = Path.Combine(group.DirectoryOf(leader), "member/snap");
            MemberGroup.Eventually(
                () => Directory.GetFiles(snapshots, "*.snap").Length, count => count >= 2, "the leader takes snapshots");

            // Six megabytes at two a second: three election timeouts long.
            NetworkLab.LimitBandwidth(group.Host(leader), 2_000_000);
            ulong term = group.Status(leader).RaftTerm;
            group.Launch(away).WaitUntilHealthy();
            group.SameHash();
            Assert.Contains("snap", Directory.GetFiles(Path.Combine(group.DirectoryOf(away), "member/snap"), "*.snap")[0]);
            stalls.UnlessStalled(ElectionMs, () => Assert.Equal(term, group.Status(away).RaftTerm));
            group.AssertNobodyPanicked();
        });
    }

    /// <summary>Three members on three hosts while clients write; all of them have what was acknowledged at the end.</summary>
    private static async Task UnderLoadAsync(Func<NetworkLab, MemberGroup, UniqueWrites, Stalls, Task> scene)
    {
        using var lab = NetworkLab.OfThree();
        using var group = new MemberGroup(3, lab);
        using var stalls = new Stalls();
        await group.WithLogsAsync(async () =>
        {
            group.Start();
            await using var load = new UniqueWrites(group);
            load.Start(clients: 4, TimeSpan.FromMilliseconds(10));
            load.WaitForMore(50);
            await scene(lab, group, load, stalls);
            await load.StopAsync();
            group.SameHash();
            foreach (EtcdProcess member in group.Running)
            {
                await load.VerifyAsync(member);
            }

            group.AssertNobodyPanicked();
        });
    }

    private static string LeaderAmong(MemberGroup group, string[] names)
    {
        StatusResponse?[] all = MemberGroup.Eventually(
            () => names.Select(group.TryStatus).ToArray(),
            seen => seen.All(s => s is not null && s.Leader == seen[0]!.Leader)
                && seen.Any(s => s!.Header.MemberId == s.Leader),
            "these agree on one of themselves");
        return names.Zip(all).First(m => m.Second!.Header.MemberId == m.Second.Leader).First;
    }

    private static async Task<string> ReadAsync(Caller caller, bool isSerializable = false)
    {
        RangeResponse answer = await caller.RangeAsync(
            new RangeRequest { Key = ByteString.CopyFromUtf8("register"), Serializable = isSerializable });
        return answer.Kvs.Single().Value.ToStringUtf8();
    }
}
