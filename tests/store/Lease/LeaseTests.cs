using System.Buffers;
using Etcdserverpb;
using Google.Protobuf;
using Perf.Store.Lease;
using Xunit;
using LeaseCheckpoint = Perf.Store.Lease.LeaseCheckpoint;
using ResponseHeader = Perf.Store.Commands.ResponseHeader;

namespace Perf.Store.Tests.Lease;

/// <summary>SURFACE 1.8, line by line. The names carry the line's number.</summary>
public class LeaseTests
{
    [Fact]
    public void Lse01_an_existing_id_and_a_ttl_beyond_the_limit_are_refused()
    {
        var bench = new LeaseBench();
        bench.Grant(1, 10);
        Assert.Equal(StoreError.LeaseExist, bench.Lessor.Grant(1, 10, out _));
        Assert.Equal(StoreError.None, bench.Lessor.Grant(2, 9_000_000_000, out _));
        Assert.Equal(StoreError.LeaseTtlTooLarge, bench.Lessor.Grant(3, 9_000_000_001, out _));
        Assert.Equal(StoreError.LeaseNotFound, bench.Lessor.Grant(0, 10, out _));
        Assert.Equal(2, bench.Lessor.Counters.Leases);
    }

    [Theory]
    [InlineData(1)]
    [InlineData(0)]
    [InlineData(-5)]
    public void Lse02_a_ttl_below_the_floor_is_raised(long ttl)
    {
        var bench = new LeaseBench();
        Assert.Equal(2, bench.Grant(1, ttl));
        Assert.Equal(3, bench.Grant(2, 3));
    }

    [Theory]
    [InlineData(1000, 2)]
    [InlineData(2000, 3)]
    [InlineData(2001, 4)]
    [InlineData(100, 1)]
    public void Lse02_the_floor_is_one_and_a_half_election_timeouts(int electionMillis, long floor)
    {
        Assert.Equal(floor, LessorOptions.TtlSecondsMinFor(TimeSpan.FromMilliseconds(electionMillis)));
    }

    [Fact]
    public void Lse03_revocation_deletes_the_keys_in_order_and_then_the_record()
    {
        var bench = new LeaseBench();
        Assert.Equal(StoreError.LeaseNotFound, bench.Lessor.Revoke(1, bench));
        bench.Grant(1, 10);
        foreach (string key in new[] { "b", "a", "ab", "c", "B" })
        {
            bench.Attach(1, key);
        }
        Assert.Equal(StoreError.None, bench.Lessor.Revoke(1, bench));
        Assert.Equal(["key B", "key a", "key ab", "key b", "key c", "record 1"], bench.Log);
        Assert.Empty(bench.Records);
        Assert.Equal(StoreError.LeaseNotFound, bench.Lessor.Revoke(1, bench));
    }

    [Fact]
    public void Lse03_a_lease_without_keys_starts_no_transaction()
    {
        var bench = new LeaseBench();
        bench.Grant(1, 10);
        bench.Attach(1, "a");
        bench.Detach(1, "a");
        bench.Lessor.Revoke(1, bench);
        Assert.Equal(["record 1"], bench.Log);
    }

    [Fact]
    public void A_key_moves_between_leases_and_unknown_ones_do_no_harm()
    {
        var bench = new LeaseBench();
        bench.Grant(1, 10);
        bench.Grant(2, 10);
        bench.Attach(1, "k");
        bench.Attach(1, "k");
        bench.Detach(1, "k");
        bench.Attach(2, "k");
        bench.Attach(9, "k");
        bench.Detach(9, "k");
        Assert.Empty(bench.Keys(1));
        Assert.Equal(["k"], bench.Keys(2));
        Assert.True(bench.Lessor.Exists(1));
        Assert.False(bench.Lessor.Exists(9));
        bench.Lessor.Revoke(1, bench);
        Assert.Equal(["record 1"], bench.Log);
    }

    [Fact]
    public void Lse04_renewal_runs_the_full_ttl_again_and_an_unknown_lease_is_not_found()
    {
        var bench = new LeaseBench();
        bench.Lessor.Promote(TimeSpan.Zero);
        bench.Grant(1, 10);
        bench.Clock.AdvanceSeconds(9);
        Assert.Equal(1, bench.TtlOf(1));
        Assert.Equal(new RenewResult(RenewOutcome.Renewed, 10, null), bench.Lessor.Renew(1));
        Assert.Equal(10, bench.TtlOf(1));
        Assert.Equal(RenewOutcome.NotFound, bench.Lessor.Renew(2).Outcome);
    }

    [Fact]
    public void Lse05_renewal_past_the_expiry_waits_for_the_revocation_and_finds_nothing()
    {
        var bench = new LeaseBench();
        bench.Lessor.Promote(TimeSpan.Zero);
        bench.Grant(1, 5);
        bench.Attach(1, "k");
        bench.Clock.AdvanceSeconds(5);
        RenewResult late = bench.Lessor.Renew(1);
        Assert.Equal(RenewOutcome.Expired, late.Outcome);
        Assert.False(late.Settled!.IsCompleted);
        Assert.Same(late.Settled, bench.Lessor.Renew(1).Settled);

        // Gone for renewals before the first key is deleted, settled after the last.
        bench.DuringDelete = () =>
        {
            Assert.Equal(RenewOutcome.NotFound, bench.Lessor.Renew(1).Outcome);
            Assert.False(late.Settled.IsCompleted);
        };
        bench.Lessor.Revoke(1, bench);
        Assert.True(late.Settled.IsCompleted);
        Assert.Equal(RenewOutcome.NotFound, bench.Lessor.Renew(1).Outcome);
    }

    [Fact]
    public void Lse05_who_waits_is_sent_to_the_new_leader_when_this_one_steps_down()
    {
        var bench = new LeaseBench();
        bench.Lessor.Promote(TimeSpan.Zero);
        bench.Grant(1, 5);
        bench.Clock.AdvanceSeconds(6);
        Task settled = bench.Lessor.Renew(1).Settled!;
        bench.Lessor.Demote();
        Assert.True(settled.IsCompleted);
        Assert.Equal(RenewOutcome.NotLeader, bench.Lessor.Renew(1).Outcome);

        // The lease lives: it was never revoked.
        bench.Lessor.Promote(TimeSpan.Zero);
        Assert.Equal(RenewOutcome.Renewed, bench.Lessor.Renew(1).Outcome);
    }

    [Fact]
    public void Lse07_time_to_live_tells_whole_seconds_and_keys_and_an_unknown_lease_is_minus_one()
    {
        var bench = new LeaseBench();
        bench.Lessor.Promote(TimeSpan.Zero);
        bench.Grant(0x1234, 10);
        bench.Attach(0x1234, "zoo2");
        bench.Attach(0x1234, "zoo1");
        bench.Clock.AdvanceSeconds(3.2);
        Assert.Equal(StoreError.None, bench.Lessor.TimeToLive(0x1234, withKeys: true, out LeaseInfo? info));

        LeaseTimeToLiveResponse response = Encode(
            w => LeaseResponses.WriteTimeToLive(new ResponseHeader(1, 2, 3, 4), info!, w), LeaseTimeToLiveResponse.Parser);
        Assert.Equal((0x1234L, 6L, 10L), (response.ID, response.TTL, response.GrantedTTL));
        Assert.Equal(["zoo1", "zoo2"], response.Keys.Select(k => k.ToStringUtf8()));
        Assert.Equal(3, response.Header.Revision);

        Assert.Equal(StoreError.LeaseNotFound, bench.Lessor.TimeToLive(5, withKeys: false, out info));
        Assert.Null(info);
        response = Encode(
            w => LeaseResponses.WriteTimeToLiveUnknown(default, 5, w), LeaseTimeToLiveResponse.Parser);
        Assert.Equal((5L, -1L, 0L), (response.ID, response.TTL, response.GrantedTTL));
    }

    [Fact]
    public void Lse08_leases_are_ordered_by_expiry()
    {
        var bench = new LeaseBench();
        bench.Lessor.Promote(TimeSpan.Zero);
        bench.Grant(1, 30);
        bench.Grant(2, 10);
        bench.Grant(3, 20);
        bench.Grant(4, 20);
        Assert.Equal([2, 3, 4, 1], bench.Lessor.Leases());
        bench.Clock.AdvanceSeconds(1);
        bench.Lessor.Renew(3);
        Assert.Equal([2, 4, 3, 1], bench.Lessor.Leases());

        LeaseLeasesResponse response = Encode(
            w => LeaseResponses.WriteLeases(default, bench.Lessor.Leases(), w), LeaseLeasesResponse.Parser);
        Assert.Equal([2L, 4L, 3L, 1L], response.Leases.Select(l => l.ID));
    }

    [Fact]
    public void Lse09_only_the_leader_counts_time()
    {
        var bench = new LeaseBench();
        bench.Grant(1, 5);
        bench.Clock.AdvanceSeconds(1000);
        Assert.Empty(bench.TakeExpired());
        Assert.Equal(RenewOutcome.NotLeader, bench.Lessor.Renew(1).Outcome);
        Assert.Equal(StoreError.NotLeader, bench.Lessor.TimeToLive(1, withKeys: false, out _));
        Assert.Equal([1], bench.Lessor.Leases());

        bench.Lessor.Promote(TimeSpan.FromSeconds(1));
        Assert.Equal(6, bench.TtlOf(1));
        bench.Clock.AdvanceSeconds(5.9);
        Assert.Empty(bench.TakeExpired());
        bench.Clock.AdvanceSeconds(0.1);
        Assert.Equal([1], bench.TakeExpired());

        bench.Lessor.Demote();
        bench.Clock.AdvanceSeconds(1000);
        Assert.Empty(bench.TakeExpired());
    }

    [Fact]
    public void Lse09_a_checkpoint_counts_from_the_next_leader_on()
    {
        var bench = new LeaseBench(new LessorOptions { Checkpoints = true });
        bench.Lessor.Promote(TimeSpan.Zero);
        bench.Grant(1, 1000);
        bench.Grant(2, 200);
        bench.Clock.AdvanceSeconds(299);
        Assert.Empty(bench.TakeCheckpoints());
        bench.Clock.AdvanceSeconds(1.5);
        LeaseCheckpoint checkpoint = Assert.Single(bench.TakeCheckpoints());
        Assert.Equal(new LeaseCheckpoint(1, 700), checkpoint);
        Assert.Empty(bench.TakeCheckpoints());
        bench.Lessor.Checkpoint(1, 700);
        bench.Lessor.Checkpoint(77, 5);
        Assert.Equal(699, bench.TtlOf(1));

        bench.Lessor.Demote();
        bench.Lessor.Promote(TimeSpan.FromSeconds(1));
        Assert.Equal(701, bench.TtlOf(1));

        // A renewal must first take the mark away, or the leader after this one would cut the lease short.
        Assert.Equal(RenewOutcome.ClearCheckpointFirst, bench.Lessor.Renew(1).Outcome);
        bench.Lessor.Checkpoint(1, 0);
        Assert.Equal(1000, bench.Lessor.Renew(1).TtlSeconds);
        bench.Lessor.Demote();
        bench.Lessor.Promote(TimeSpan.Zero);
        Assert.Equal(1000, bench.TtlOf(1));
    }

    [Fact]
    public void Lse09_a_checkpoint_that_a_renewal_overtook_is_corrected_at_once()
    {
        var bench = new LeaseBench(new LessorOptions { Checkpoints = true });
        bench.Lessor.Promote(TimeSpan.Zero);
        bench.Grant(1, 1000);
        bench.Clock.AdvanceSeconds(300);
        LeaseCheckpoint late = Assert.Single(bench.TakeCheckpoints());
        Assert.Equal(RenewOutcome.Renewed, bench.Lessor.Renew(1).Outcome);
        bench.Lessor.Checkpoint(late.Id, late.RemainingSeconds);
        Assert.Equal(new LeaseCheckpoint(1, 0), Assert.Single(bench.TakeCheckpoints()));
    }

    [Fact]
    public void Lse09_checkpoints_survive_a_restart_only_where_they_are_persisted()
    {
        foreach (bool persist in new[] { false, true })
        {
            var bench = new LeaseBench();
            bench.Lessor.PersistCheckpoints = persist;
            bench.Grant(1, 1000);
            bench.Lessor.Checkpoint(1, 400);
            bench.Restart();
            bench.Lessor.Promote(TimeSpan.Zero);
            Assert.Equal(persist ? 400 : 1000, bench.TtlOf(1));
        }
    }

    [Fact]
    public void Lse09_a_stored_checkpoint_is_cleared_on_disk_even_when_the_flag_is_off()
    {
        var bench = new LeaseBench();
        bench.Lessor.PersistCheckpoints = true;
        bench.Grant(1, 1000);
        bench.Lessor.Checkpoint(1, 400);
        bench.Restart();
        bench.Lessor.Promote(TimeSpan.Zero);
        bench.Lessor.Checkpoint(1, 0);
        Assert.Equal(RenewOutcome.Renewed, bench.Lessor.Renew(1).Outcome);
        bench.Restart();
        bench.Lessor.Promote(TimeSpan.Zero);
        Assert.Equal(1000, bench.TtlOf(1));
    }

    [Fact]
    public void Lse10_expired_leases_come_oldest_first_at_a_limited_rate()
    {
        var bench = new LeaseBench();
        bench.Lessor.Promote(TimeSpan.Zero);
        for (int i = 1; i <= 3000; i++)
        {
            bench.Grant(i, 5);
            bench.Clock.Advance(TimeSpan.FromMicroseconds(10));
        }
        bench.Clock.AdvanceSeconds(10);
        var taken = new List<long>();
        for (int half = 0; half < 6; half++)
        {
            long[] ids = bench.TakeExpired();
            Assert.Equal(500, ids.Length);
            Assert.Empty(bench.TakeExpired());
            taken.AddRange(ids);
            foreach (long id in ids)
            {
                bench.Lessor.Revoke(id, bench);
            }
            bench.Clock.AdvanceSeconds(0.5);
        }
        Assert.Equal(Enumerable.Range(1, 3000).Select(i => (long)i), taken);
        Assert.Empty(bench.TakeExpired());
        Assert.Equal(new LessorCounters(0, 3000, 3000, 0, 3000), bench.Lessor.Counters);
    }

    [Fact]
    public void Lse10_a_lease_whose_revocation_was_lost_is_handed_out_again()
    {
        var bench = new LeaseBench();
        bench.Lessor.Promote(TimeSpan.Zero);
        bench.Grant(1, 5);
        bench.Clock.AdvanceSeconds(5);
        Assert.Equal([1], bench.TakeExpired());
        bench.Clock.AdvanceSeconds(2.9);
        Assert.Empty(bench.TakeExpired());
        bench.Clock.AdvanceSeconds(0.1);
        Assert.Equal([1], bench.TakeExpired());
    }

    [Fact]
    public void Lse10_a_new_leader_spreads_what_would_expire_together()
    {
        var bench = new LeaseBench(new LessorOptions { RevokesPerSecond = 100 });
        for (int i = 1; i <= 1000; i++)
        {
            bench.Grant(i, i % 10 == 0 ? 60 : 10);
        }
        bench.Lessor.Promote(TimeSpan.FromSeconds(1));
        var perSecond = new Dictionary<long, int>();
        foreach (long id in bench.Lessor.Leases())
        {
            long ttl = bench.TtlOf(id);
            Assert.True(ttl >= (id % 10 == 0 ? 61 : 11));
            perSecond[ttl] = perSecond.GetValueOrDefault(ttl) + 1;
        }
        Assert.All(perSecond.Values, count => Assert.InRange(count, 1, 76));
        Assert.True(perSecond.Keys.Max() <= 61 + (1000 / 75) + 1);
    }

    [Fact]
    public void Lse10_few_leases_are_not_spread()
    {
        var bench = new LeaseBench(new LessorOptions { RevokesPerSecond = 100 });
        for (int i = 1; i < 100; i++)
        {
            bench.Grant(i, 10);
        }
        bench.Lessor.Promote(TimeSpan.Zero);
        bench.Clock.AdvanceSeconds(9.9);
        Assert.Empty(bench.TakeExpired());
        bench.Clock.AdvanceSeconds(0.1);
        Assert.Equal(50, bench.TakeExpired().Length);
    }

    [Fact]
    public void Lse11_and_regression_15247_a_demoted_member_hands_out_nothing_even_if_it_slept()
    {
        var bench = new LeaseBench();
        bench.Lessor.Promote(TimeSpan.Zero);
        bench.Grant(1, 5);

        // Paused beyond the TTL; the node learns that it is no leader before it asks.
        bench.Clock.AdvanceSeconds(60);
        bench.Lessor.Demote();
        Assert.Empty(bench.TakeExpired());
        Assert.Empty(bench.TakeCheckpoints());
        Assert.Equal(RenewOutcome.NotLeader, bench.Lessor.Renew(1).Outcome);
        Assert.True(bench.Lessor.Exists(1));
    }

    [Fact]
    public void Lse12_leases_survive_a_restart_with_their_full_ttl()
    {
        var bench = new LeaseBench();
        bench.Lessor.Promote(TimeSpan.Zero);
        bench.Grant(1, 60);
        bench.Grant(-2, 9_000_000_000);
        bench.Grant(3, 30);
        bench.Lessor.Revoke(3, bench);
        bench.Clock.AdvanceSeconds(50);
        bench.Restart();

        Assert.Empty(bench.TakeExpired());
        bench.Lessor.Promote(TimeSpan.FromSeconds(1));
        Assert.Equal(61, bench.TtlOf(1));
        Assert.Equal(9_000_000_001, bench.TtlOf(-2));
        Assert.False(bench.Lessor.Exists(3));
        Assert.Equal([1, -2], bench.Lessor.Leases());
    }

    [Fact]
    public void Records_are_what_etcd_writes()
    {
        var bench = new LeaseBench();
        bench.Lessor.PersistCheckpoints = true;
        bench.Grant(-2, 60);
        Assert.Equal(
            new Leasepb.Lease { ID = -2, TTL = 60 }.ToByteArray(), Assert.Single(bench.Records).Value);
        bench.Lessor.Checkpoint(-2, 30);
        Assert.Equal(
            new Leasepb.Lease { ID = -2, TTL = 60, RemainingTTL = 30 }.ToByteArray(), Assert.Single(bench.Records).Value);
    }

    [Fact]
    public void A_damaged_record_is_refused_with_its_bytes()
    {
        var bench = new LeaseBench();
        bench.Records[1] = [0x08];
        InvalidDataException refused = Assert.Throws<InvalidDataException>(bench.Restart);
        Assert.Contains("08", refused.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Answers_are_the_bytes_that_protobuf_writes()
    {
        var header = new ResponseHeader(ulong.MaxValue, 2, 3, 4);
        LeaseGrantResponse grant = Encode(w => LeaseResponses.WriteGrant(header, -7, 60, w), LeaseGrantResponse.Parser);
        Assert.Equal((-7L, 60L, ulong.MaxValue), (grant.ID, grant.TTL, grant.Header.ClusterId));
        LeaseKeepAliveResponse alive =
            Encode(w => LeaseResponses.WriteKeepAlive(header, 7, 0, w), LeaseKeepAliveResponse.Parser);
        Assert.Equal((7L, 0L), (alive.ID, alive.TTL));
        LeaseRevokeResponse revoke =
            Encode(w => LeaseResponses.WriteHeaderOnly(header, w), LeaseRevokeResponse.Parser);
        Assert.Equal(4UL, revoke.Header.RaftTerm);
    }

    [Fact]
    public void Any_history_never_expires_early_and_never_late_beyond_the_bound()
    {
        for (int seed = 0; seed < 60; seed++)
        {
            RunHistory(seed);
        }
    }

    private static void RunHistory(int seed)
    {
        var random = new Random(seed);
        var bench = new LeaseBench(new LessorOptions
        {
            Checkpoints = random.Next(2) == 0,
            CheckpointInterval = TimeSpan.FromSeconds(20),
            RevokesPerSecond = random.Next(2) == 0 ? 1000 : 8,
        });
        bench.Lessor.PersistCheckpoints = random.Next(2) == 0;
        TimeSpan extend = TimeSpan.FromSeconds(1);
        TimeSpan lastPromotion = default;
        int granted = 0;

        // What the holder of a lease may rely on: no revocation before this time.
        var safeUntil = new Dictionary<long, TimeSpan>();
        var ttls = new Dictionary<long, long>();
        for (int step = 0; step < 600; step++)
        {
            bool isPrimary = bench.Lessor.IsPrimary;
            switch (random.Next(20))
            {
                case 0 or 1 or 2:
                    long id = ++granted;
                    ttls[id] = bench.Grant(id, random.Next(1, 100));
                    safeUntil[id] = bench.Clock.Elapsed + TimeSpan.FromSeconds(ttls[id]);
                    break;
                case 3 or 4 or 5 or 6 when ttls.Count > 0:
                    id = Pick(random, ttls);
                    RenewResult renewed = bench.Lessor.Renew(id);
                    if (renewed.Outcome == RenewOutcome.ClearCheckpointFirst)
                    {
                        bench.Lessor.Checkpoint(id, 0);
                        renewed = bench.Lessor.Renew(id);
                    }
                    Assert.NotEqual(isPrimary, renewed.Outcome == RenewOutcome.NotLeader);
                    Assert.NotEqual(RenewOutcome.NotFound, renewed.Outcome);
                    if (renewed.Outcome == RenewOutcome.Renewed)
                    {
                        safeUntil[id] = bench.Clock.Elapsed + TimeSpan.FromSeconds(ttls[id]);
                    }
                    break;
                case 7 when ttls.Count > 0:
                    id = Pick(random, ttls);
                    Assert.Equal(StoreError.None, bench.Lessor.Revoke(id, bench));
                    ttls.Remove(id);
                    break;
                case 8 when random.Next(4) == 0:
                    bench.Lessor.Demote();
                    if (random.Next(2) == 0)
                    {
                        bench.Restart();
                    }
                    break;
                case 9:
                    if (!isPrimary)
                    {
                        bench.Lessor.Promote(extend);
                        lastPromotion = bench.Clock.Elapsed;
                    }
                    break;
                default:
                    bench.Clock.AdvanceSeconds(random.NextDouble());
                    foreach (LeaseCheckpoint checkpoint in bench.TakeCheckpoints())
                    {
                        bench.Lessor.Checkpoint(checkpoint.Id, checkpoint.RemainingSeconds);
                    }
                    foreach (long expired in bench.TakeExpired())
                    {
                        Assert.True(bench.Lessor.IsPrimary);
                        Assert.True(
                            bench.Clock.Elapsed >= safeUntil[expired],
                            $"seed {seed} step {step}: lease {expired} expired too early");
                        bench.Lessor.Revoke(expired, bench);
                        ttls.Remove(expired);
                    }
                    break;
            }
            Assert.Equal(ttls.Keys.Order(), bench.Lessor.Leases().Order());
        }

        // A stable leader, nobody renews: everything goes within TTL, extension and what the rate allows.
        if (!bench.Lessor.IsPrimary)
        {
            bench.Lessor.Promote(extend);
            lastPromotion = bench.Clock.Elapsed;
        }
        TimeSpan spread = TimeSpan.FromSeconds(1 + (granted / (bench.Options.RevokesPerSecond * 0.75)));
        Dictionary<long, TimeSpan> bound = ttls.ToDictionary(
            l => l.Key,
            l => Max(safeUntil[l.Key], lastPromotion + extend + TimeSpan.FromSeconds(l.Value)) + (2 * spread));
        while (ttls.Count > 0)
        {
            bench.Clock.AdvanceSeconds(0.5);
            foreach (long expired in bench.TakeExpired())
            {
                Assert.InRange(bench.Clock.Elapsed, safeUntil[expired], bound[expired]);
                bench.Lessor.Revoke(expired, bench);
                ttls.Remove(expired);
            }
            Assert.DoesNotContain(ttls.Keys, id => bench.Clock.Elapsed > bound[id]);
        }
    }

    private static long Pick(Random random, Dictionary<long, long> leases) =>
        leases.Keys.Order().ElementAt(random.Next(leases.Count));

    private static TimeSpan Max(TimeSpan x, TimeSpan y) => x > y ? x : y;

    private static T Encode<T>(Action<IBufferWriter<byte>> write, MessageParser<T> parser)
        where T : IMessage<T>
    {
        var buffer = new ArrayBufferWriter<byte>();
        write(buffer);
        T message = parser.ParseFrom(buffer.WrittenSpan);
        Assert.Equal(buffer.WrittenSpan.ToArray(), message.ToByteArray());
        return message;
    }
}
