using System.Diagnostics;
using System.Globalization;
using Etcdserverpb;
using Google.Protobuf;
using Perf.Cluster.Tests.Harness;
using Perf.Grpc;
using Xunit;
using Xunit.Abstractions;

namespace Perf.Cluster.Tests;

/// <summary>
/// Debian's etcd and ours as members of one cluster that never stops. Beside the others: its three minutes are its own, and neither
/// asks much of the machine.
/// </summary>
[Collection(nameof(MixedClusterTests))]
public sealed class MixedClusterTests(ITestOutputHelper output)
{
    /// <summary>
    /// Longer by hand: PERF_MIXED_SECONDS=1200. Debian's etcd takes ever longer to compact, since it looks at every key
    /// that there is.
    /// </summary>
    private static readonly TimeSpan _duration = TimeSpan.FromSeconds(int.Parse(
        Environment.GetEnvironmentVariable("PERF_MIXED_SECONDS") ?? "180", CultureInfo.InvariantCulture));

    private static readonly string[] _dialect = ["--speak-as", "3.4"];

    [InteropFact]
    public async Task Members_of_both_makes_hold_the_same_whatever_is_asked_of_whomever()
    {
        using var group = new MemberGroup(3)
        {
            Flags = ["--snapshot-count", "2000", "--bcrypt-cost", "4"],
            PerfFlags = _dialect,
        };
        await group.WithLogsAsync(async () =>
        {
            group.Launch("m0", Make.Etcd);
            group.Launch("m1");
            group.Launch("m2", Make.Etcd);
            foreach (EtcdProcess member in group.Running)
            {
                member.WaitUntilHealthy();
            }

            // A real etcd asked to compact and wait for it takes its time when there is much.
            List<Caller> callers = [.. group.Running.Select(m => new Caller(m.Url, TimeSpan.FromMinutes(3)))];
            var random = new Random(34);
            var workload = new Workload(seed: 34);
            var auth = new AuthRound(random);
            await using var writes = new UniqueWrites(group);
            var watch = Stopwatch.StartNew();
            int checks = 0;
            for (; watch.Elapsed < _duration; checks++)
            {
                // Everybody leads in turn, ours more often.
                await group.LeadAsync(checks % 4 == 3 ? "m2" : checks % 2 == 0 ? "m1" : "m0");
                using var over = new CancellationTokenSource(TimeSpan.FromSeconds(10));
                writes.Start(clients: 4, TimeSpan.FromMilliseconds(_duration.TotalMinutes > 5 ? 30 : 5));
                Task leases = ShortLeasesAsync(callers, over.Token);
                await workload.RunAsync(callers, over.Token);
                await leases;
                await auth.RunAsync(callers);
                await writes.StopAsync();
                group.SameHash();
                await SameListsAsync(callers);
                group.AssertNobodyPanicked();
            }

            foreach (EtcdProcess member in group.Running)
            {
                await writes.VerifyAsync(member);
            }

            output.WriteLine(
                $"{watch.Elapsed.TotalSeconds:f0} s, {checks} times equal, {writes.Count} writes beside the workload,"
                + $" revision {group.Status("m1").Header.Revision}");
            foreach (Caller caller in callers)
            {
                await caller.DisposeAsync();
            }
        });
    }

    [InteropFact]
    public async Task A_real_cluster_is_replaced_member_by_member_and_back_by_additions_and_removals_under_load()
    {
        using var group = new MemberGroup(3)
        {
            PerfFlags = _dialect,

            // Else a member is taken in or let go only when all have known each other for five seconds.
            Flags = _duration.TotalMinutes > 2 ? [] : ["--strict-reconfig-check=false"],
        };
        await group.WithLogsAsync(async () =>
        {
            group.Start(Make.Etcd);
            await using var writes = new UniqueWrites(group);
            writes.Start(clients: 6, TimeSpan.FromMilliseconds(10));
            writes.WaitForMore(100);
            int next = 3;
            foreach (Make make in (Make[])[Make.Perf, Make.Etcd])
            {
                foreach (string old in group.Names.ToArray())
                {
                    string added = $"m{next++}";
                    group.AddPlace(added);
                    await ChangeAsync(group, old, c => c.AddMemberAsync(group.PeerUrl(added)));
                    group.Launch(added, make, joins: true).WaitUntilHealthy();
                    ulong id = group.IdOf(old);
                    await ChangeAsync(group, added, c => c.RemoveMemberAsync(id));
                    group.WaitForExit(old);
                    group.RemovePlace(old);
                    group.Leader();
                    writes.WaitForMore(100);
                }

                group.SameHashUnderLoad();
            }

            await EndAsync(group, writes);
        });
    }

    [InteropFact]
    public async Task A_real_cluster_is_replaced_member_by_member_and_back_on_its_own_directories_under_load()
    {
        using var group = new MemberGroup(3) { PerfFlags = _dialect, Flags = ["--snapshot-count", "1000"] };
        await group.WithLogsAsync(async () =>
        {
            group.Start(Make.Etcd);
            await using var writes = new UniqueWrites(group);
            writes.Start(clients: 6, TimeSpan.FromMilliseconds(10));
            foreach (Make make in (Make[])[Make.Perf, Make.Etcd])
            {
                foreach (string name in group.Names)
                {
                    writes.WaitForMore(200);
                    group.Stop(name);
                    group.Launch(name, make).WaitUntilHealthy();
                    group.Leader();
                }

                writes.WaitForMore(100);
                group.SameHashUnderLoad();
            }

            await EndAsync(group, writes);
        });
    }

    private async Task EndAsync(MemberGroup group, UniqueWrites writes)
    {
        await writes.StopAsync();
        group.SameHash();
        foreach (EtcdProcess member in group.Running)
        {
            await writes.VerifyAsync(member);
        }

        group.AssertNobodyPanicked();
        output.WriteLine($"{writes.Count} writes acknowledged, none lost, none twice");
    }

    /// <summary>A change of membership; refused while a member is not yet connected to all others.</summary>
    private static async Task ChangeAsync<T>(MemberGroup group, string by, Func<Caller, Task<T>> change)
    {
        await using var caller = new Caller(group[by]);
        var waited = Stopwatch.StartNew();
        while (true)
        {
            try
            {
                await change(caller);
                return;
            }
            catch (RpcException e) when (e.Code is StatusCode.Unavailable or StatusCode.FailedPrecondition)
            {
                // One that timed out may have been done; then it is found done.
                Assert.True(waited.Elapsed < TimeSpan.FromSeconds(60), e.Message);
                await Task.Delay(100);
            }
            catch (RpcException e) when (e.Code == StatusCode.NotFound || e.Message.Contains("exist", StringComparison.Ordinal))
            {
                return;
            }
        }
    }

    /// <summary>Leases that end by themselves while everything else goes on.</summary>
    private static async Task ShortLeasesAsync(List<Caller> callers, CancellationToken over)
    {
        for (int i = 0; !over.IsCancellationRequested; i++)
        {
            Caller caller = callers[i % callers.Count];
            try
            {
                LeaseGrantResponse lease = await caller.GrantAsync(new LeaseGrantRequest { TTL = 2 });
                await caller.PutAsync(new PutRequest
                {
                    Key = ByteString.CopyFromUtf8($"short/{i % 20}"),
                    Value = ByteString.CopyFromUtf8("life"),
                    Lease = lease.ID,
                });
            }
            catch (RpcException)
            {
                // No space just now, as the workload has it; or it took so long that the lease has ended. Whatever the
                // answer: what counts is that all members do the same.
            }

            await Task.Delay(200, CancellationToken.None);
        }
    }

    /// <summary>Leases, alarms, users, roles and members are the same everywhere.</summary>
    private static async Task SameListsAsync(List<Caller> callers)
    {
        var waited = Stopwatch.StartNew();
        while (true)
        {
            List<string> all = [];
            foreach (Caller caller in callers)
            {
                IEnumerable<long> leases = (await caller.LeasesAsync()).Leases.Select(l => l.ID).Order();
                AlarmResponse alarms = await caller.AlarmAsync(new AlarmRequest { Action = AlarmRequest.Types.AlarmAction.Get });
                IEnumerable<ulong> members = (await caller.MembersAsync(isLinearizable: false)).Members.Select(m => m.ID).Order();
                all.Add(
                    $"{string.Join(' ', leases)}; {alarms.Alarms}; {string.Join(' ', members)}; {await AuthRound.ListAsync(caller)}");
            }

            if (all.TrueForAll(a => a == all[0]))
            {
                return;
            }

            // Short leases may be ending at this very moment.
            Assert.True(waited.Elapsed < TimeSpan.FromSeconds(60), string.Join('\n', all));
            await Task.Delay(50);
        }
    }
}
