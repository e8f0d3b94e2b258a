using System.Buffers;
using System.Security.Cryptography;
using Perf.Engine;
using Perf.Engine.IO;
using Perf.Engine.Wal;
using Perf.Node;
using Perf.Node.Cluster;
using Perf.Node.Config;
using Perf.Node.Logging;
using Perf.Raft;
using Perf.Store.Apply;
using Perf.Store.Auth;
using Perf.Store.Backend;

namespace Perf.Simulation;

/// <summary>
/// Flips single bits in the files that a lone member has left: log, data file, snapshots. What opens after that is
/// the same, entry by entry, hard state, members and digest of all replicated state; or it is refused, with file and
/// place. The one exception is the last group of the log, where a flip and a torn write are the same thing: what
/// stands before it is whole.
/// </summary>
internal static class BitFlips
{
    /// <summary>What became of the flips.</summary>
    public sealed class Report
    {
        public int Refused { get; set; }

        public int Harmless { get; set; }

        /// <summary>The last group of the log was taken for torn and cut off.</summary>
        public int Torn { get; set; }

        public SortedDictionary<string, int> ByKind { get; } = new(StringComparer.Ordinal);

        /// <inheritdoc/>
        public override string ToString() =>
            $"{Refused + Harmless + Torn} bits flipped ({string.Join(", ", ByKind.Select(k => $"{k.Value} in {k.Key}"))}):"
            + $" {Refused} refused with file and place, {Harmless} harmless, {Torn} in the log's last group";
    }

    public static Report Run(int flips, ulong seed)
    {
        var dice = new Dice(seed);
        var report = new Report();
        (SimDisk Disk, ServerConfig Config)[] members = [.. Seeds().Take(3).Select(Simulation.DiskOfLoneMember)];
        State[] whole = [.. members.Select(m => Read(m.Disk.KillCopy(), m.Config))];
        for (int i = 0; i < flips; i++)
        {
            int which = dice.Below(members.Length);
            (SimDisk disk, ServerConfig config) = members[which];
            SimDisk damaged = disk.KillCopy();
            string path = ChooseFile(damaged, config, dice);
            long offset = dice.Between(0, damaged.WrittenBytes(path) - 1);
            int bit = dice.Below(8);
            damaged.FlipBit(path, offset, bit);
            string kind = Path.GetExtension(path) is { Length: > 0 } extension ? extension[1..] : "db";
            report.ByKind[kind] = report.ByKind.GetValueOrDefault(kind) + 1;
            State state;
            try
            {
                state = Read(damaged, config);
            }
            catch (CorruptionException e)
            {
                Judge.Require(e.File.Length > 0 && e.Reason.Length > 0, $"refused without a place: {e}");
                report.Refused++;
                continue;
            }
            catch (Exception e) when (e is StartRefusedException or InvalidDataException)
            {
                report.Refused++;
                continue;
            }

            State expected = whole[which];
            if (state.Equals(expected))
            {
                report.Harmless++;
                continue;
            }

            // Nothing but entries at the end of the log may be missing.
            Judge.Require(
                path.EndsWith(".wal", StringComparison.Ordinal) && state.IsTornFormOf(expected),
                $"bit {bit} of {path} at {offset} flipped: {state}, was {expected}");
            report.Torn++;
        }

        return report;
    }

    /// <summary>Seeds whose plan has one member, small log files and snapshots.</summary>
    private static IEnumerable<ulong> Seeds()
    {
        for (ulong seed = 1; ; seed++)
        {
            var plan = new Plan(seed);
            if (plan is { Members: 1, SegmentBytes: <= 64 << 10, SnapshotCount: >= 30 and <= 200, ChurnEvery: 0 })
            {
                yield return seed;
            }
        }
    }

    private static string ChooseFile(SimDisk disk, ServerConfig config, Dice dice)
    {
        while (true)
        {
            string folder = dice.Percent(50) ? config.WalDirectory : config.SnapDir;
            IReadOnlyList<string> files = disk.List(folder);
            string path = $"{folder}/{files[dice.Below(files.Count)]}";
            if (!path.EndsWith(".tmp", StringComparison.Ordinal) && !path.EndsWith(".broken", StringComparison.Ordinal)
                && disk.WrittenBytes(path) > 0)
            {
                return path;
            }
        }
    }

    /// <summary>Opens the member's files as its start does, and reads everything.</summary>
    private static State Read(SimDisk disk, ServerConfig config)
    {
        var founding = new Founding(config, disk, Log.None) { SegmentBytes = 64 << 10 };
        Snapshot? snapshot = founding.NewestSnapshot();
        var entries = new Recorder();
        SnapshotMetadata from = snapshot?.Metadata ?? SnapshotMetadata.None;
        using (WalLog log = WalLog.Open(
            disk,
            config.WalDirectory,
            new WalSnapshot(from.Index, from.Term, default),
            new WalOptions { SegmentBytes = 64 << 10, MarkPath = Path.Combine(config.SidecarDir, "walmark") },
            entries))
        {
        }

        var clock = new VirtualTime();
        RandomFill random = target => target.Clear();
        var backend = new BackendStore(
            new SnapshotIntake(config, disk, Log.None).OpenDatabase(snapshot), new BackendOptions { Clock = clock });
        using MemberState state = MemberState.Open(
            config,
            backend,
            1,
            1,
            snapshot is null ? null : new V2Snapshot(from.Index, snapshot.Data),
            clock,
            random,
            new SimpleTokens(clock, random, TimeSpan.FromSeconds(300)),
            runner: null,
            parts: 1,
            wakeWatches: _ => { });

        // The start goes on from the snapshot with what the log holds and knows to be committed.
        foreach (Entry entry in entries.Entries)
        {
            if (entry.Index <= from.Index || entry.Index > entries.HardState.Commit)
            {
                continue;
            }

            if (entry.Type == EntryType.ConfChange)
            {
                state.Machine.ApplyConfChange(entry.Index, entry.Term, entry.Data.Span);
            }
            else
            {
                state.Machine.Apply(entry.Index, entry.Term, entry.Data.Span, null);
            }
        }

        state.Machine.Publish();
        return new State(
            [.. entries.Entries.Select(e => (e.Index, Convert.ToHexString(SHA256.HashData(e.Encoded.Span))))],
            entries.Entries.Count == 0 ? from.Index : entries.Entries[^1].Index,
            entries.HardState,
            string.Join(',', state.Machine.Members.Current.Members.Select(m => $"{m.Id:x}{m.IsLearner}")),
            state.Machine.AppliedIndex,
            state.Machine.Digest());
    }

    /// <summary>Everything a start finds. The log may end with the snapshot: an older one then has entries behind it, up to the same end.</summary>
    private sealed record State(
        List<(ulong Index, string Hash)> Entries, ulong Last, HardState HardState, string Members, ulong Applied, string Digest)
    {
        public bool Equals(State? other) => other is not null && IsSame(other)
            && other.HardState == HardState && other.Applied == Applied && other.Digest == Digest
            && Last == other.Last;

        public override int GetHashCode() => Digest.GetHashCode(StringComparison.Ordinal);

        public override string ToString() =>
            $"{Entries.Count} entries to {Last}, {HardState}, applied {Applied}, members {Members}, {Digest[..8]}";

        /// <summary>Shorter at the end of the log alone.</summary>
        public bool IsTornFormOf(State whole) => IsSame(whole) && Last <= whole.Last && Applied <= whole.Applied;

        /// <summary>Entries that both have are the same; an older snapshot to begin with is as good.</summary>
        private bool IsSame(State other)
        {
            Dictionary<ulong, string> known = other.Entries.ToDictionary(e => e.Index, e => e.Hash);
            return Members == other.Members
                && Entries.TrueForAll(e => !known.TryGetValue(e.Index, out string? hash) || hash == e.Hash);
        }
    }

    private sealed class Recorder : IWalVisitor
    {
        public List<Entry> Entries { get; } = [];

        public HardState HardState { get; private set; }

        public void OnEntry(ulong index, ulong term, ReadOnlySpan<byte> encodedEntry)
        {
            if (EntryCodec.TryRead(encodedEntry.ToArray(), null, out Entry entry) != OperationStatus.Done)
            {
                throw new StartRefusedException($"the log's entry {index} is not a raft entry");
            }

            Judge.Require(entry.Index == index && entry.Term == term, $"entry {index} says {entry.Term}/{entry.Index}");
            Entries.Add(entry);
        }

        public void OnTruncate(ulong index) => Entries.RemoveAll(e => e.Index >= index);

        public void OnHardState(ulong term, ulong vote, ulong commit) => HardState = new HardState(term, vote, commit);

        public void OnSnapshot(ulong index, ulong term, ReadOnlySpan<byte> confState)
        {
        }
    }
}
