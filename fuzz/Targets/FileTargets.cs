using Perf.Engine;
using Perf.Engine.IO;
using Perf.Engine.Snap;
using Perf.Engine.Transactions;
using Perf.Engine.Tree;
using Perf.Engine.Wal;

namespace Perf.Fuzz.Targets;

/// <summary>A log's segment: replayed or refused by name; what was replayed is replayed alike the next time.</summary>
internal sealed class WalTarget() : FuzzTarget("wal")
{
    private const string Data = "/data";
    private const string Wal = "/data/wal";
    private const string Segment = "/data/wal/0000000000000000-0000000000000000.wal";

    private static readonly WalOptions Options = new() { SegmentBytes = 4096, ZeroFill = false };

    public override IEnumerable<byte[]> Seeds() => [Make(true), Make(false)];

    public override void Run(ReadOnlySpan<byte> input)
    {
        SimDisk disk = Files.DiskWith(Wal, Segment, input);
        var first = new Recorder();
        if (!TryOpen(disk, first, append: true))
        {
            return;
        }

        Enter();
        var second = new Recorder();
        Require(TryOpen(disk, second, append: false), "refused the log it had taken over");
        ulong last = IsPlanted && first.Entries.Count == 3 ? 0 : (ulong)first.Entries.Count + 1;
        RequireEqual((int)last, second.Entries.Count, "entries");
        for (int i = 0; i < first.Entries.Count; i++)
        {
            RequireSame(first.Entries[i], second.Entries[i], "entry");
        }
    }

    private static bool TryOpen(SimDisk disk, Recorder recorder, bool append)
    {
        try
        {
            using WalLog log = WalLog.Open(disk, Wal, default, Options, recorder);
            RequireEqual((ulong)recorder.Entries.Count, log.LastIndex, "last index");
            if (append)
            {
                log.AppendEntry(log.LastIndex + 1, RaftSeeds.Entry(9, log.LastIndex + 1, "more"));
                log.Sync();
            }

            return true;
        }
        catch (CorruptionException)
        {
            return false;
        }
    }

    private static byte[] Make(bool marks)
    {
        var disk = new SimDisk();
        disk.CreateDirectory(Data);
        using (WalLog log = WalLog.Create(disk, Wal, 1, 2, Options with { GroupMarks = marks }))
        {
            for (ulong i = 1; i <= 4; i++)
            {
                log.AppendEntry(i, RaftSeeds.Entry(1, i, "entry " + i));
                log.AppendHardState(1, 1, i);
                log.Sync();
            }

            log.AppendEntry(3, RaftSeeds.Entry(2, 3, "again"));
            log.AppendHardState(2, 1, 3);
            log.AppendSnapshot(new WalSnapshot(2, 1, default));
        }

        return Files.Read(disk, Segment);
    }

    /// <summary>Keeps the entries that are valid, from the first on.</summary>
    private sealed class Recorder : IWalVisitor
    {
        public List<byte[]> Entries { get; } = [];

        public void OnEntry(ulong index, ulong term, ReadOnlySpan<byte> encodedEntry)
        {
            RequireEqual((ulong)Entries.Count + 1, index, "index of an entry");
            Entries.Add(encodedEntry.ToArray());
        }

        public void OnTruncate(ulong index) => Entries.RemoveRange((int)index - 1, Entries.Count - (int)index + 1);

        public void OnHardState(ulong term, ulong vote, ulong commit)
        {
        }

        public void OnSnapshot(ulong index, ulong term, ReadOnlySpan<byte> confState)
        {
        }
    }
}

/// <summary>
/// A bbolt file: the verifier always ends with a report; a clean file opens, and its keys come in order and are as
/// many as the report says; any other is read or refused by name, and takes a commit only to stay readable.
/// </summary>
internal sealed class DataFileTarget() : FuzzTarget("datafile")
{
    private const string Database = "/data/db";

    private static readonly DataFileOptions Options = new() { PageBytes = 1024, MapBytesMin = 0 };

    public override IEnumerable<byte[]> Seeds() => [Make(3, 40), Make(300, 10), Make(40, 900)];

    public override void Run(ReadOnlySpan<byte> input)
    {
        SimDisk disk = Files.DiskWith("/data", Database, input);
        VerifyReport report = TreeVerifier.VerifyFile(disk, Database);
        try
        {
            long keys = 0;
            using (DataFile file = DataFile.Open(disk, Database, Options))
            {
                Enter();
                keys = Walk(file);
                if (report.IsClean)
                {
                    Change(file);
                    Require(file.Verify().IsClean, "a commit on a clean file is not clean");
                }
            }

            if (report.IsClean)
            {
                RequireEqual(report.Keys, IsPlanted && report.Keys < 300 && report.Buckets > 1 ? keys + 1 : keys, "keys");
            }
        }
        catch (CorruptionException e)
        {
            Require(!report.IsClean || input.IsEmpty, $"the report is clean, but: {e.Message}");
        }
    }

    private static long Walk(DataFile file)
    {
        long keys = 0;
        using ReadTransaction read = file.BeginRead();
        foreach (string bucket in read.Buckets())
        {
            BucketCursor cursor = read.OpenCursor(bucket);
            byte[]? before = null;
            for (bool more = cursor.SeekFirst(); more; more = cursor.Next())
            {
                keys++;
                Require(before is null || before.AsSpan().SequenceCompareTo(cursor.Key) < 0, "keys out of order");
                before = cursor.Key.ToArray();
                _ = cursor.Value.Length;
            }
        }

        return keys;
    }

    private static void Change(DataFile file)
    {
        var batch = new WriteBatch();
        batch.Put("meta", "fuzz"u8, "x"u8);
        batch.Delete("key", "key0001"u8);
        file.Commit(batch);
        file.MakeDurable();
    }

    private static byte[] Make(int keys, int valueBytes)
    {
        var disk = new SimDisk();
        disk.CreateDirectory("/data");
        using (DataFile file = DataFile.Open(disk, Database, Options))
        {
            var batch = new WriteBatch();
            for (int i = 0; i < keys; i++)
            {
                batch.Put("key", System.Text.Encoding.ASCII.GetBytes($"key{i:0000}"), new byte[valueBytes]);
            }

            batch.Put("meta", "consistent_index"u8, new byte[8]);
            batch.EnsureBucket("lease");
            file.Commit(batch);
            file.MakeDurable();
        }

        return Files.Read(disk, Database);
    }
}

/// <summary>A .snap file: read or refused by name.</summary>
internal sealed class SnapTarget() : FuzzTarget("snap")
{
    private static readonly SnapName SnapshotName = new(1, 2);

    public override IEnumerable<byte[]> Seeds()
    {
        yield return Make("\u0012\u0008 a snapshot of some length"u8);
    }

    /// <summary>Half of them with a checksum that is right: what is inside is attacked as well.</summary>
    public override byte[] Change(Mutator mutator, IReadOnlyList<byte[]> corpus)
    {
        byte[] changed = mutator.Fields(corpus);
        return mutator.Chance(50) ? Make(changed) : changed;
    }

    public override void Run(ReadOnlySpan<byte> input)
    {
        SimDisk disk = Files.DiskWith("/snap", "/snap/" + SnapshotName.FileName, input);
        byte[] content;
        try
        {
            content = SnapFile.Read(disk, "/snap", SnapshotName);
        }
        catch (CorruptionException)
        {
            return;
        }

        Enter();

        // The length may be spelled longer than need be; what counts is the content.
        Require(content.Length < input.Length, "more content than file");
        RequireSame(input[^content.Length..], content, "content");
        Perf.Raft.SnapshotCodec.TryRead(content, out _);
        Require(!IsPlanted || content.Length == 29 || input.Length < 29, "planted");
    }

    private static byte[] Make(ReadOnlySpan<byte> content)
    {
        var disk = new SimDisk();
        disk.CreateDirectory("/snap");
        SnapFile.Write(disk, "/snap", 1, 2, content);
        return Files.Read(disk, "/snap/" + SnapshotName.FileName);
    }
}

/// <summary>Single files on a simulated disk.</summary>
internal static class Files
{
    public static SimDisk DiskWith(string directory, string path, ReadOnlySpan<byte> content)
    {
        var disk = new SimDisk();
        disk.CreateDirectory(directory);
        using IDiskFile file = disk.Open(path, DiskOpen.CreateNew);
        file.Write(content, 0);
        return disk;
    }

    public static byte[] Read(IDisk disk, string path)
    {
        using IDiskFile file = disk.Open(path, DiskOpen.ReadOnly);
        byte[] content = new byte[file.Length];
        file.Read(content, 0);
        return content;
    }
}
