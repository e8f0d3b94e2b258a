using Perf.Engine.IO;
using Perf.Engine.Wal;
using Xunit;

namespace Perf.Engine.Tests.Wal;

/// <summary>Entries and small logs for the tests of the log.</summary>
internal static class WalSamples
{
    public const string Directory = "/data/member/wal";
    public const string MarkPath = "/data/member/perf/walmark";
    public const ulong NodeId = 0x8e9e05c52164694d;
    public const ulong ClusterId = 0xcdf818194e3a8c32;

    public static readonly WalOptions Small = new()
    {
        SegmentBytes = 4096,
        MarkPath = MarkPath,
        MarkEverySyncs = 1,
        ZeroFill = false,
    };

    public static SimDisk NewDisk()
    {
        var disk = new SimDisk();
        disk.CreateDirectory("/data/member/perf");
        disk.SyncDirectory("/");
        disk.SyncDirectory("/data");
        disk.SyncDirectory("/data/member");
        return disk;
    }

    /// <summary>An encoded raftpb.Entry of type normal; its data is filled from index and term.</summary>
    public static byte[] Entry(ulong term, ulong index, int dataBytes)
    {
        byte[] target = new byte[40 + dataBytes];
        int at = 0;
        target[at++] = 0x08;
        target[at++] = 0;
        target[at++] = 0x10;
        at += WalFormat.WriteVarint(target.AsSpan(at), term);
        target[at++] = 0x18;
        at += WalFormat.WriteVarint(target.AsSpan(at), index);
        target[at++] = 0x22;
        at += WalFormat.WriteVarint(target.AsSpan(at), (uint)dataBytes);
        target.AsSpan(at, dataBytes).Fill((byte)(index * 7 + term));
        return target[..(at + dataBytes)];
    }

    public static byte[] ReadAll(IDisk disk, string path)
    {
        using IDiskFile file = disk.Open(path, DiskOpen.ReadOnly);
        byte[] bytes = new byte[file.Length];
        Assert.Equal(bytes.Length, file.Read(bytes, 0));
        return bytes;
    }

    public static void WriteAll(IDisk disk, string path, ReadOnlySpan<byte> bytes)
    {
        using IDiskFile file = disk.Open(path, DiskOpen.OpenOrCreate);
        file.SetLength(0);
        file.Write(bytes, 0);
        file.SyncAll();
        disk.SyncDirectory(Path.GetDirectoryName(path)!);
    }
}

/// <summary>What a log should contain: the plain list that the real one is compared with.</summary>
internal sealed class WalModel : IWalVisitor
{
    public List<(ulong Index, ulong Term, byte[] Bytes)> Entries { get; private init; } = [];

    public List<(ulong Index, ulong Term)> Snapshots { get; private init; } = [];

    public (ulong Term, ulong Vote, ulong Commit) State { get; private set; }

    public ulong LastIndex => Entries.Count == 0 ? 0 : Entries[^1].Index;

    public void OnEntry(ulong index, ulong term, ReadOnlySpan<byte> encodedEntry)
    {
        if (Entries.Count > 0)
        {
            Assert.Equal(LastIndex + 1, index);
        }

        Entries.Add((index, term, encodedEntry.ToArray()));
    }

    public void OnTruncate(ulong index)
    {
        Assert.True(index <= LastIndex);
        Entries.RemoveAll(e => e.Index >= index);
    }

    public void OnHardState(ulong term, ulong vote, ulong commit)
    {
        State = (term, vote, commit);
    }

    public void OnSnapshot(ulong index, ulong term, ReadOnlySpan<byte> confState)
    {
        Snapshots.Add((index, term));
    }

    public WalModel Clone()
    {
        return new WalModel { Entries = [.. Entries], Snapshots = [.. Snapshots], State = State };
    }

    public bool Equals(WalModel other)
    {
        return State == other.State && Snapshots.SequenceEqual(other.Snapshots) && Entries.Count == other.Entries.Count
            && Entries.Zip(other.Entries).All(
                p => p.First.Index == p.Second.Index && p.First.Term == p.Second.Term
                    && p.First.Bytes.AsSpan().SequenceEqual(p.Second.Bytes));
    }

    public override string ToString()
    {
        return $"{Entries.Count} entries to {LastIndex}, state {State}, {Snapshots.Count} snapshots";
    }
}

/// <summary>Drives a log and its model together and remembers what has been acknowledged.</summary>
internal sealed class WalDriver(WalLog log)
{
    /// <summary>The model after each record appended so far; [0] is the state after creation.</summary>
    public List<WalModel> History { get; } = [Initial()];

    /// <summary>Everything up to this place of the history is durable.</summary>
    public int Acknowledged { get; private set; }

    public WalLog Log { get; } = log;

    public WalModel Now => History[^1];

    public void Entry(ulong term, ulong index, int dataBytes)
    {
        byte[] bytes = WalSamples.Entry(term, index, dataBytes);
        WalModel next = Now.Clone();
        if (index <= next.LastIndex)
        {
            next.OnTruncate(index);
        }

        next.OnEntry(index, term, bytes);
        History.Add(next);
        Log.AppendEntry(index, bytes);
    }

    public void State(ulong term, ulong vote, ulong commit)
    {
        WalModel next = Now.Clone();
        next.OnHardState(term, vote, commit);
        History.Add(next);
        Log.AppendHardState(term, vote, commit);
    }

    public void Snapshot(ulong index, ulong term)
    {
        WalModel next = Now.Clone();
        next.OnSnapshot(index, term, default);
        History.Add(next);
        Log.AppendSnapshot(new WalSnapshot(index, term, new byte[] { 0x08, 0x01 }));
    }

    public void Sync()
    {
        Log.Sync();
        Acknowledged = History.Count - 1;
    }

    public void Cut()
    {
        Log.Cut();
        Acknowledged = History.Count - 1;
    }

    private static WalModel Initial()
    {
        var model = new WalModel();
        model.OnSnapshot(0, 0, default);
        return model;
    }
}
