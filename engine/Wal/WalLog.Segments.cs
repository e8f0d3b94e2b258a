using Perf.Engine.IO;

namespace Perf.Engine.Wal;

/// <summary>The files: preparing, reading back, letting go, deleting.</summary>
public sealed partial class WalLog
{
    /// <summary>
    /// A purged segment on its way to be the next one. Not one of the names that etcd takes for a file of zeros; it passes over it,
    /// and our next start deletes it.
    /// </summary>
    private const string SpentName = "spent.tmp";

    /// <summary>Guards the fields below it; held for moments only.</summary>
    private readonly Lock _gate = new();

    /// <summary>Segments still held, oldest first.</summary>
    private readonly List<Segment> _segments = [];

    private readonly EntryIndex _index;
    private WalPosition _durable;
    private ulong _durableIndex;
    private IDiskFile? _prepared;
    private bool _isPreparing;
    private int _preparedCount;

    /// <summary>Held while old segments are read, closed or deleted; never by the appending thread.</summary>
    private readonly Lock _oldSegments = new();

    /// <summary>The segment appended to. Belongs to the appending thread.</summary>
    private Segment _tail = null!;

    /// <summary>Lowest index <see cref="ReadEntries"/> can still reach. Any thread.</summary>
    public ulong FirstReadableIndex
    {
        get
        {
            lock (_gate)
            {
                return _index.FirstIndex;
            }
        }
    }

    /// <summary>True when <see cref="PrepareNextSegment"/> has something to do. Any thread.</summary>
    public bool NextSegmentDue
    {
        get
        {
            lock (_gate)
            {
                return _prepared is null && !_isPreparing && !_isDisposed;
            }
        }
    }

    /// <summary>
    /// Makes the next segment ready: zero-filled, synced and locked, as 0.tmp or 1.tmp, out of a purged one where there is one. For
    /// one helper thread; does nothing when one is waiting. A failure throws but does not hurt the log.
    /// </summary>
    public void PrepareNextSegment()
    {
        int number;
        lock (_gate)
        {
            if (_prepared is not null || _isPreparing || _isDisposed)
            {
                return;
            }

            _isPreparing = true;
            number = _preparedCount++ & 1;
        }

        IDiskFile? file = null;
        try
        {
            string path = Path.Combine(_directory, $"{number}.tmp");
            file = _options.ZeroFill && _disk.FileExists(Path.Combine(_directory, SpentName))
                ? MakeOfSpent(path)
                : MakeSegmentFile(_disk, path, _options);
        }
        finally
        {
            lock (_gate)
            {
                _isPreparing = false;
                if (_isDisposed)
                {
                    file?.Dispose();
                }
                else
                {
                    _prepared = file;
                }
            }
        }
    }

    /// <summary>
    /// Reads durable entries [lo, hi) back from the segments, at least one and then up to <paramref name="bytesMax"/>
    /// bytes of encoded entries; returns how many went to the visitor (OnEntry only), 0 when <paramref name="lo"/>
    /// is below <see cref="FirstReadableIndex"/> or not yet durable. Throws <see cref="CorruptionException"/> when the
    /// bytes have changed. Any thread.
    /// </summary>
    public int ReadEntries(ulong lo, ulong hi, int bytesMax, IWalVisitor visitor)
    {
        lock (_oldSegments)
        {
            EntryAnchor anchor;
            WalPosition durable;
            lock (_gate)
            {
                if (_isDisposed || lo > _durableIndex || !_index.TryFind(lo, out anchor))
                {
                    return 0;
                }

                durable = _durable;
            }

            uint crc = anchor.CrcBefore;
            long offset = anchor.Position.Offset;
            int count = 0;
            long bytes = 0;
            for (ulong sequence = anchor.Position.Sequence; sequence <= durable.Sequence; sequence++)
            {
                Segment segment = FindSegment(sequence);
                long limit = sequence == durable.Sequence ? durable.Offset : segment.DataBytes;
                using var reader = new SegmentReader(segment.File, limit, offset, crc);
                while (reader.Read(out RecordView record))
                {
                    if (record.Kind != RecordKind.Entry)
                    {
                        continue;
                    }

                    if (!RecordData.TryReadEntry(record.Data, out ulong term, out ulong index))
                    {
                        throw new CorruptionException(segment.Path(_directory), reader.RecordOffset, "not an entry");
                    }

                    if (index < lo + (ulong)count || IsVoid(index, new WalPosition(sequence, reader.RecordOffset)))
                    {
                        continue;
                    }

                    if (index >= hi || (count > 0 && bytes + record.Data.Length > bytesMax))
                    {
                        return count;
                    }

                    if (index != lo + (ulong)count)
                    {
                        throw new CorruptionException(
                            segment.Path(_directory), reader.RecordOffset, $"entry {index} where {lo + (ulong)count} is due");
                    }

                    visitor.OnEntry(index, term, record.Data);
                    count++;
                    bytes += record.Data.Length;
                }

                if (reader.Damage is { } damage || reader.EndOffset != limit)
                {
                    throw new CorruptionException(
                        segment.Path(_directory), reader.EndOffset, reader.Damage?.Reason ?? "the data ends early");
                }

                crc = reader.Crc;
                offset = 0;
            }

            return count;
        }
    }

    /// <summary>
    /// Lets go of the segments that a start from a snapshot at <paramref name="index"/> does not need: their entries
    /// cannot be read any more and <see cref="PurgeSegments"/> may delete them. Any thread.
    /// </summary>
    public void ReleaseBelow(ulong index)
    {
        lock (_oldSegments)
        {
            lock (_gate)
            {
                // A start from index reads from the last segment whose name says at most index.
                int first = _segments.FindLastIndex(s => s.Name.Index <= index);
                for (int i = 0; i < first; i++)
                {
                    _segments[i].File.Dispose();
                }

                if (first > 0)
                {
                    _segments.RemoveRange(0, first);
                    _index.RemoveBefore(_segments[0].Name.Sequence);
                }
            }
        }
    }

    /// <summary>
    /// Deletes the oldest released segments while more than <paramref name="keepMax"/> are there (0 keeps all), but for one, which
    /// waits to be used again; returns how many went. Any thread.
    /// </summary>
    public int PurgeSegments(int keepMax)
    {
        if (keepMax <= 0)
        {
            return 0;
        }

        lock (_oldSegments)
        {
            ulong firstHeld;
            lock (_gate)
            {
                if (_isDisposed)
                {
                    return 0;
                }

                firstHeld = _segments[0].Name.Sequence;
            }

            List<SegmentName> names = SegmentName.List(_disk, _directory);
            int purged = 0;
            while (names.Count - purged > keepMax && names[purged].Sequence < firstHeld)
            {
                PutAway(Path.Combine(_directory, names[purged].ToString()));

                // One by one, so that a crash never leaves a hole in the sequence.
                _disk.SyncDirectory(_directory);
                purged++;
            }

            return purged;
        }
    }

    /// <summary>
    /// Deletes a segment, or keeps it for the next one: a file system that frees the blocks of a whole segment, and soon finds as many
    /// again, keeps the log's syncs waiting meanwhile.
    /// </summary>
    private void PutAway(string path)
    {
        string spent = Path.Combine(_directory, SpentName);
        if (_options.ZeroFill && !_disk.FileExists(spent))
        {
            _disk.Rename(path, spent);
        }
        else
        {
            _disk.Delete(path);
        }
    }

    /// <summary>
    /// As <see cref="MakeSegmentFile"/>, out of the spent segment: its old records are gone from the disk before it has a name under
    /// which it could become part of a log.
    /// </summary>
    private IDiskFile MakeOfSpent(string path)
    {
        string spent = Path.Combine(_directory, SpentName);
        using (IDiskFile old = _disk.Open(spent, DiskOpen.ReadWrite))
        {
            FileBytes.FillZero(old, _options.SegmentBytes);
            old.SetLength(_options.SegmentBytes);

            // Whatever the options say: an old record that comes back would be taken for the log's.
            old.SyncAll();
        }

        _disk.Rename(spent, path);
        return Locked(_disk.Open(path, DiskOpen.ReadWrite));
    }

    /// <summary>A new file of the nominal size that reads as zeros, locked and durable but for its final name.</summary>
    private static IDiskFile MakeSegmentFile(IDisk disk, string path, WalOptions options)
    {
        if (disk.FileExists(path))
        {
            disk.Delete(path);
        }

        return Locked(disk.Open(path, DiskOpen.CreateNew), file =>
        {
            file.Allocate(0, options.SegmentBytes);
            if (options.ZeroFill)
            {
                FileBytes.FillZero(file, options.SegmentBytes);
            }

            if (!options.NoSync)
            {
                file.SyncAll();
            }
        });
    }

    /// <summary>The file, locked and prepared; closed where that fails.</summary>
    private static IDiskFile Locked(IDiskFile file, Action<IDiskFile>? prepare = null)
    {
        try
        {
            Lock(file);
            prepare?.Invoke(file);
            return file;
        }
        catch
        {
            file.Dispose();
            throw;
        }
    }

    private static void Lock(IDiskFile file)
    {
        if (!file.TryLockDescription())
        {
            throw new IOException($"{file.Path}: locked by another process");
        }
    }

    private (IDiskFile File, string Path) TakeNextSegment()
    {
        lock (_gate)
        {
            if (_prepared is not null)
            {
                IDiskFile prepared = _prepared;
                _prepared = null;
                return (prepared, prepared.Path);
            }
        }

        // None is ready (or the helper is at it): make one that costs little now and a little more with each sync.
        string path = Path.Combine(_directory, "2.tmp");
        return (MakeSegmentFile(_disk, path, _options with { ZeroFill = false }), path);
    }

    private void AddSegment(Segment segment)
    {
        _tail = segment;
        lock (_gate)
        {
            _segments.Add(segment);
            _index.Reserve(_options.SegmentBytes);
        }
    }

    private Segment FindSegment(ulong sequence)
    {
        lock (_gate)
        {
            return _segments[checked((int)(sequence - _segments[0].Name.Sequence))];
        }
    }

    private bool IsVoid(ulong index, WalPosition position)
    {
        lock (_gate)
        {
            return _index.IsVoid(index, position);
        }
    }

    private void CloseFiles()
    {
        lock (_oldSegments)
        {
            lock (_gate)
            {
                foreach (Segment segment in _segments)
                {
                    segment.File.Dispose();
                }

                if (_prepared is not null)
                {
                    _prepared.Dispose();
                    try
                    {
                        _disk.Delete(_prepared.Path);
                    }
                    catch (IOException)
                    {
                        // It is deleted at the next start.
                    }

                    _prepared = null;
                }
            }
        }

        _mark?.Dispose();
    }

    /// <summary>A segment file held open and locked.</summary>
    private sealed class Segment(SegmentName name, IDiskFile file)
    {
        public SegmentName Name { get; } = name;

        public IDiskFile File { get; } = file;

        /// <summary>Length of the data, once the segment is complete.</summary>
        public long DataBytes { get; set; }

        public string Path(string directory) => System.IO.Path.Combine(directory, Name.ToString());
    }
}
