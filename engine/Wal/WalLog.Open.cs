using Perf.Engine.IO;

namespace Perf.Engine.Wal;

/// <summary>Making a log, and coming back to one: replay, repair of a torn tail, refusal of damage.</summary>
public sealed partial class WalLog
{
    /// <summary>
    /// Makes a new log (in wal.tmp, then renamed) whose first records are durable on return. Refuses a directory
    /// that already holds segments with an <see cref="IOException"/>.
    /// </summary>
    public static WalLog Create(IDisk disk, string walDirectory, ulong nodeId, ulong clusterId, WalOptions options)
    {
        walDirectory = Path.TrimEndingDirectorySeparator(walDirectory);
        if (Exists(disk, walDirectory))
        {
            throw new IOException($"{walDirectory}: holds a log already");
        }

        string making = walDirectory + ".tmp";
        if (disk.DirectoryExists(making))
        {
            disk.DeleteDirectory(making);
        }

        disk.CreateDirectory(making);
        var name = new SegmentName(0, 0);
        IDiskFile file = MakeSegmentFile(disk, Path.Combine(making, name.ToString()), options);
        WalLog? log = null;
        try
        {
            WalMark? mark = options.MarkPath is null ? null : WalMark.Open(disk, options.MarkPath);
            log = new WalLog(disk, walDirectory, options, mark, new EntryIndex(), nodeId, clusterId);
            log.AddSegment(new Segment(name, file));
            log.Stage(RecordKind.Crc, default, out _);
            log.Stage(RecordKind.Metadata, log._metadata, out _);
            log.AppendSnapshot(default);
            log.StageMark();
            log.Sync();
            if (!options.NoSync)
            {
                disk.SyncDirectory(making);
            }

            if (disk.DirectoryExists(walDirectory))
            {
                disk.DeleteDirectory(walDirectory);
            }

            disk.Rename(making, walDirectory);
            if (!options.NoSync)
            {
                disk.SyncDirectory(Path.GetDirectoryName(walDirectory)!);
            }

            log.WriteMark();
            return log;
        }
        catch
        {
            if (log is null)
            {
                file.Dispose();
            }
            else
            {
                log.Abandon();
            }

            throw;
        }
    }

    /// <summary>
    /// Opens a log for appending and replays it from a snapshot record on ((0, 0) for the beginning) through the
    /// visitor. A torn tail is cut off (the file as found stays beside it as .broken); damage of anything that was
    /// acknowledged throws <see cref="CorruptionException"/> and changes no file. On return everything replayed is
    /// durable.
    /// </summary>
    public static WalLog Open(IDisk disk, string walDirectory, WalSnapshot from, WalOptions options, IWalVisitor visitor)
    {
        return new Replay(disk, Path.TrimEndingDirectorySeparator(walDirectory), from, options, visitor).Open();
    }

    /// <summary>True when the directory holds at least one segment.</summary>
    public static bool Exists(IDisk disk, string walDirectory)
    {
        return disk.DirectoryExists(walDirectory) && SegmentName.List(disk, walDirectory).Count > 0;
    }

    /// <summary>
    /// All snapshot records with an index at or below the last committed index, oldest first. Takes no lock, repairs
    /// nothing; throws <see cref="CorruptionException"/> for damage before the last segment.
    /// </summary>
    public static IReadOnlyList<WalSnapshot> ValidSnapshots(IDisk disk, string walDirectory)
    {
        List<SegmentName> names = SegmentName.List(disk, walDirectory);
        var snapshots = new List<WalSnapshot>();
        ulong commit = 0;
        ReadSnapshots(disk, walDirectory, names[FirstUnbroken(names)..], (snapshot, committed) =>
        {
            commit = committed;
            if (snapshot is { } found)
            {
                snapshots.Add(found);
            }

            return true;
        });
        snapshots.RemoveAll(s => s.Index > commit);
        return snapshots;
    }

    /// <summary>
    /// True when the snapshot is one of <see cref="ValidSnapshots"/> and a start from it can find its record. Reads from
    /// the segment that such a start begins with, and no further than needed: what lies before has no say any more.
    /// </summary>
    public static bool Vouches(IDisk disk, string walDirectory, ulong index, ulong term)
    {
        List<SegmentName> names = SegmentName.List(disk, walDirectory);
        int first = FirstNeeded(names, index);
        if (first < FirstUnbroken(names))
        {
            return false;
        }

        bool isRecorded = false;
        bool isCommitted = false;
        ReadSnapshots(disk, walDirectory, names[first..], (snapshot, committed) =>
        {
            isRecorded |= snapshot is { } found && found.Index == index && found.Term == term;
            isCommitted |= committed >= index;
            return !(isRecorded && isCommitted);
        });
        return isRecorded && isCommitted;
    }

    /// <summary>Place of the segment that a start from a snapshot at the index begins with; -1 where there is none.</summary>
    private static int FirstNeeded(List<SegmentName> names, ulong index) => names.FindLastIndex(n => n.Index <= index);

    /// <summary>A purge that was interrupted by a power failure may have left older ones; they do not count.</summary>
    private static int FirstUnbroken(List<SegmentName> names)
    {
        int first = names.Count - 1;
        while (first > 0 && names[first - 1].Sequence == names[first].Sequence - 1)
        {
            first--;
        }

        return Math.Max(first, 0);
    }

    /// <summary>
    /// Shows each snapshot record, and each hard state (null), with the commit index as of there; ends when
    /// <paramref name="goOn"/> says so.
    /// </summary>
    private static void ReadSnapshots(
        IDisk disk, string walDirectory, List<SegmentName> names, Func<WalSnapshot?, ulong, bool> goOn)
    {
        ulong commit = 0;
        uint? crc = null;
        for (int i = 0; i < names.Count; i++)
        {
            string path = Path.Combine(walDirectory, names[i].ToString());
            using IDiskFile file = disk.Open(path, DiskOpen.ReadOnly);
            using var reader = new SegmentReader(file, file.Length, crc);
            while (reader.Damage is null && reader.Read(out RecordView record))
            {
                bool isMore = true;
                if (record.Kind == RecordKind.State)
                {
                    if (RecordData.TryReadState(record.Data, out _, out _, out ulong committed))
                    {
                        commit = committed;
                        isMore = goOn(null, commit);
                    }
                    else
                    {
                        reader.RejectRecord("not a hard state");
                    }
                }
                else if (record.Kind == RecordKind.Snapshot)
                {
                    if (RecordData.TryReadSnapshot(
                        record.Data, out ulong index, out ulong term, out ReadOnlySpan<byte> confState))
                    {
                        isMore = goOn(new WalSnapshot(index, term, confState.ToArray()), commit);
                    }
                    else
                    {
                        reader.RejectRecord("not a snapshot record");
                    }
                }

                if (!isMore)
                {
                    return;
                }
            }

            if (reader.Damage is { } damage && i < names.Count - 1)
            {
                throw new CorruptionException(path, damage.Offset, damage.Reason);
            }

            crc = reader.Crc;
        }
    }

    /// <summary>Closes everything after a failed start.</summary>
    private void Abandon()
    {
        _isDisposed = true;
        CloseFiles();
        _staging.Dispose();
    }

    /// <summary>Takes over from a replay: held segments, and the state at the end of the data.</summary>
    private void Resume(IEnumerable<Segment> segments, long endOffset, uint endCrc, ulong lastIndex)
    {
        foreach (Segment segment in segments)
        {
            AddSegment(segment);
        }

        _staging.GoTo(_tail.File, endOffset);
        _crc = endCrc;
        LastIndex = lastIndex;

        // What was read may be in the page cache only; the mark says from now on that it is durable.
        _isDirty = true;
        StageMark();
        Sync();
        if (!_options.NoSync)
        {
            _disk.SyncDirectory(_directory);
            _disk.SyncDirectory(Path.GetDirectoryName(_directory)!);
        }

        WriteMark();
    }
}
