using System.Buffers;
using System.Security.Cryptography;
using Perf.Node.Config;
using Perf.Store;
using Perf.Store.Apply;
using Perf.Store.Auth;
using Perf.Store.Backend;
using Perf.Store.Lease;
using Perf.Store.Membership;
using Perf.Store.Mvcc;
using Perf.Store.Watch;

namespace Perf.Node;

/// <summary>The replicated state of a member, opened over its data file, with the watches that look at it.</summary>
public sealed class MemberState : IDisposable
{
    private MemberState(
        BackendStore backend, StateMachine machine, WatchHub watches, PasswordVerifier passwords, TimeProvider clock)
    {
        Backend = backend;
        Machine = machine;
        Watches = watches;
        Passwords = passwords;
        Clock = clock;
    }

    public BackendStore Backend { get; }

    public StateMachine Machine { get; }

    public WatchHub Watches { get; }

    /// <summary>Checks passwords outside apply; bounded, with a cache that a password change empties.</summary>
    public PasswordVerifier Passwords { get; }

    public TimeProvider Clock { get; }

    /// <summary>
    /// Opens the data file's state. <paramref name="snapshot"/> is what the newest .snap holds. The hub's pumps are
    /// woken through <paramref name="wakeWatches"/>.
    /// </summary>
    public static MemberState Open(
        ServerConfig config,
        BackendStore backend,
        ulong memberId,
        ulong clusterId,
        V2Snapshot? snapshot,
        TimeProvider clock,
        RandomFill random,
        ITokenProvider tokens,
        WorkRunner? runner,
        int parts,
        Action<int> wakeWatches)
    {
        var hasher = new BcryptHasher();
        int cost = BcryptCost.Checked(config.BcryptCost);
        var options = new StateMachineOptions
        {
            ClusterId = clusterId,
            MemberId = memberId,
            Clock = clock,
            Tokens = tokens,
            Hasher = hasher,
            BcryptCost = cost,
            AuthRules = config.SpeakAs == SpeakAs.V34 ? AuthRules.V34 : AuthRules.Whole,
            LearnersMax = config.MaxLearners,
            PersistLeaseCheckpoints = config.LeaseCheckpointPersist,
            Lease = new LessorOptions
            {
                TtlSecondsMin = LessorOptions.TtlSecondsMinFor(
                    TimeSpan.FromMilliseconds(config.ElectionTicks * config.HeartbeatMs)),
                Checkpoints = config.LeaseCheckpoint,
            },
        };
        StateMachine machine = StateMachine.Open(backend, options, snapshot, sink: null, runner, parts);
        var watches = new WatchHub(
            new KvHistory(machine.Kv),
            new WatchOptions
            {
                ClusterId = clusterId,
                MemberId = memberId,
                FragmentBytesMax = config.MaxRequestBytes + (512 << 10),
            },
            wakeWatches);
        machine.Kv.Sink = watches;
        return new MemberState(backend, machine, watches, new PasswordVerifier(hasher, cost, random), clock);
    }

    /// <summary>Random bytes nobody can guess.</summary>
    public static void FillRandom(Span<byte> target) => RandomNumberGenerator.Fill(target);

    /// <inheritdoc/>
    public void Dispose() => Backend.Dispose();

    /// <summary>The key space as the watches read it.</summary>
    private sealed class KvHistory(MvccStore kv) : IWatchHistory
    {
        public long CurrentRevision => kv.PublishedRevision;

        public long CompactRevision => kv.PublishedCompactRevision;

        public bool TryScan(long from, long to, IHistoryVisitor visitor)
        {
            if (kv.OpenHistory(from, to, out HistoryCursor cursor) != StoreError.None)
            {
                return false;
            }

            using (cursor)
            {
                while (cursor.MoveNext() && visitor.Visit(cursor.Main, cursor.IsDelete, cursor.KeyValue))
                {
                }
            }

            return true;
        }

        public bool TryGetAt(ReadOnlySpan<byte> key, long revision, IBufferWriter<byte> target) =>
            kv.TryGetAt(key, revision, target);
    }
}
