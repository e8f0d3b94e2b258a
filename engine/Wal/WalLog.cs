using System.Diagnostics.CodeAnalysis;
using Perf.Engine.IO;
using Perf.Engine.Memory;

namespace Perf.Engine.Wal;

/// <summary>
/// The write-ahead log in etcd's format (FORMATS A.6). One thread appends, flushes, syncs and cuts; members that
/// another thread may call say so. The first failed write or sync is final: it throws, and so does every call after it.
/// </summary>
public sealed partial class WalLog : IDisposable
{
    /// <summary>More than this is handed to the kernel without being asked; it bounds the staging buffer.</summary>
    private const int StagingBytesMax = 4 << 20;

    private readonly IDisk _disk;
    private readonly string _directory;
    private readonly WalOptions _options;
    private readonly WalMark? _mark;
    private readonly byte[] _metadata;

    /// <summary>From here on <see cref="Cut"/> is due; a little early, so that what follows is still preallocated.</summary>
    private readonly long _cutAtBytes;

    private readonly WalStaging _staging;
    private IOException? _failure;
    private bool _isDisposed;

    /// <summary>Running checksum behind the last record staged.</summary>
    private uint _crc;

    /// <summary>Something has been written since the last sync.</summary>
    private bool _isDirty;

    /// <summary>The next record begins a sync group.</summary>
    private bool _isMarkDue;

    /// <summary>The last record staged is a mark: the group it opens is still empty.</summary>
    private bool _endsWithMark;

    private int _syncsSinceMark;
    private ulong _term;
    private ulong _vote;
    private ulong _commit;

    private WalLog(
        IDisk disk, string walDirectory, WalOptions options, WalMark? mark, EntryIndex index, ulong nodeId, ulong clusterId)
    {
        _disk = disk;
        _directory = walDirectory;
        _options = options;
        _mark = mark;
        _staging = new WalStaging(!options.NoSync);
        _index = index;
        _cutAtBytes = options.SegmentBytes - options.SegmentBytes / 64;
        NodeId = nodeId;
        ClusterId = clusterId;
        Span<byte> metadata = stackalloc byte[RecordData.MetadataBytesMax];
        _metadata = metadata[..RecordData.WriteMetadata(metadata, nodeId, clusterId)].ToArray();
    }

    /// <summary>This member's id as the log's metadata says.</summary>
    public ulong NodeId { get; }

    /// <summary>The cluster's id as the log's metadata says.</summary>
    public ulong ClusterId { get; }

    /// <summary>Index of the last entry (or newer snapshot) appended.</summary>
    public ulong LastIndex { get; private set; }

    /// <summary>True when the present segment is full: call <see cref="Cut"/> at the next quiet moment.</summary>
    public bool CutDue => _staging.EndOffset >= _cutAtBytes;

    /// <summary>
    /// Stages an entry. An index at or below <see cref="LastIndex"/> voids everything from it on; a gap, or bytes
    /// that are not an entry with this index, are refused with an <see cref="ArgumentException"/>.
    /// </summary>
    public void AppendEntry(ulong index, ReadOnlySpan<byte> encodedEntry)
    {
        ThrowIfUnusable();
        if (!RecordData.TryReadEntry(encodedEntry, out _, out ulong encodedIndex) || encodedIndex != index)
        {
            throw new ArgumentException($"not an encoded entry with index {index}", nameof(encodedEntry));
        }

        if (index > LastIndex + 1)
        {
            throw new ArgumentException($"entry {index} leaves a gap behind {LastIndex}", nameof(index));
        }

        uint crcBefore = Stage(RecordKind.Entry, encodedEntry, out WalPosition position);
        lock (_gate)
        {
            if (index <= LastIndex)
            {
                _index.Truncate(index, position);
            }

            _index.Add(index, position, crcBefore);
        }

        LastIndex = index;
    }

    /// <summary>Stages a hard state, after the entries it belongs to.</summary>
    public void AppendHardState(ulong term, ulong vote, ulong commit)
    {
        ThrowIfUnusable();
        _term = term;
        _vote = vote;
        _commit = commit;
        StageHardState();
    }

    /// <summary>
    /// Stages a snapshot record; the .snap file must be durable before. An index above <see cref="LastIndex"/> is a
    /// snapshot received from another member: entries go on behind it.
    /// </summary>
    public void AppendSnapshot(WalSnapshot snapshot)
    {
        ThrowIfUnusable();
        ReadOnlySpan<byte> confState = snapshot.ConfState.Span;
        byte[] data = new byte[RecordData.SnapshotBytesMax(confState.Length)];
        int bytes = RecordData.WriteSnapshot(data, snapshot.Index, snapshot.Term, confState);
        Stage(RecordKind.Snapshot, data.AsSpan(0, bytes), out _);
        if (snapshot.Index > LastIndex)
        {
            lock (_gate)
            {
                _index.Clear();
            }

            LastIndex = snapshot.Index;
        }
    }

    /// <summary>Hands what is staged to the kernel in one write. Not durable.</summary>
    public void Flush()
    {
        ThrowIfUnusable();
        if (_staging.Staged == 0)
        {
            return;
        }

        try
        {
            _isDirty = true;
            _staging.WriteTo(_tail.File);
        }
        catch (IOException e)
        {
            Poison(e);
            throw;
        }
    }

    /// <summary>
    /// Flushes, then fdatasync: all that was appended is durable on return. Ends the sync group. Costs nothing when
    /// nothing was appended.
    /// </summary>
    public void Sync()
    {
        Flush();
        if (!_isDirty)
        {
            return;
        }

        SyncFile(_tail.File);
        BecomeDurable(_tail.Name.Sequence);
        if (++_syncsSinceMark >= _options.MarkEverySyncs)
        {
            WriteMark();
        }
    }

    /// <summary>
    /// Ends the present segment and starts the next: everything appended is durable on return. Takes the prepared
    /// segment or makes one; when there is no space for it, it throws and the log stays usable.
    /// </summary>
    public void Cut()
    {
        Flush();
        (IDiskFile file, string path) = TakeNextSegment();
        try
        {
            Segment old = _tail;
            old.File.SetLength(_staging.WrittenOffset);
            SyncFile(old.File);
            BecomeDurable(old.Name.Sequence);
            old.DataBytes = _staging.WrittenOffset;

            var name = new SegmentName(old.Name.Sequence + 1, LastIndex + 1);
            _staging.GoTo(file, 0);
            StageHead();
            _staging.WriteTo(file);
            if (!_options.NoSync)
            {
                file.SyncAll();
            }

            _disk.Rename(path, Path.Combine(_directory, name.ToString()));
#if MUTANTS
            if (!Mutant.Is("23-name-of-log-file-not-synced"))
#endif
            if (!_options.NoSync)
            {
                _disk.SyncDirectory(_directory);
            }

            AddSegment(new Segment(name, file));
            BecomeDurable(name.Sequence);
            WriteMark();
        }
        catch (IOException e)
        {
            if (!ReferenceEquals(_tail.File, file))
            {
                file.Dispose();
            }

            Poison(e);
            throw;
        }
    }

    /// <summary>Syncs (unless the log has failed), brings the sidecar up to date and releases the locks.</summary>
    public void Dispose()
    {
        if (_isDisposed)
        {
            return;
        }

        try
        {
            if (_failure is null)
            {
                Sync();
                WriteMark();
            }
        }
        finally
        {
            _isDisposed = true;
            CloseFiles();
            _staging.Dispose();
        }
    }

    /// <summary>Frames a record into the staging buffer; returns the running checksum before it.</summary>
    private uint Stage(RecordKind kind, ReadOnlySpan<byte> data, out WalPosition position)
    {
        int bytesMax = data.Length + 2 * WalFormat.FrameOverheadMax;
        if (_staging.Staged >= StagingBytesMax)
        {
            Flush();
        }

        Span<byte> room = _staging.Room(bytesMax);
        int bytes = 0;
        if (_isMarkDue)
        {
            _isMarkDue = false;
            bytes = WalFormat.WriteFrame(room, RecordKind.Crc, _crc, default);
        }

        position = new WalPosition(_tail.Name.Sequence, _staging.EndOffset + bytes);
        uint crcBefore = _crc;
        _endsWithMark = false;
        _crc = Crc32C.Append(_crc, data);
        bytes += WalFormat.WriteFrame(room[bytes..], kind, _crc, data);
        _staging.Add(bytes);
        return crcBefore;
    }

    /// <summary>What every segment begins with. The mark at its end opens the first sync group behind it.</summary>
    private void StageHead()
    {
        _isMarkDue = false;
        Stage(RecordKind.Crc, default, out _);
        Stage(RecordKind.Metadata, _metadata, out _);
        if (_term != 0 || _vote != 0 || _commit != 0)
        {
            StageHardState();
        }

        StageMark();
    }

    private void StageMark()
    {
        if (MarksGroups)
        {
            _isMarkDue = false;
            Stage(RecordKind.Crc, default, out _);
            _endsWithMark = true;
        }
    }

    private void StageHardState()
    {
        Span<byte> data = stackalloc byte[RecordData.StateBytesMax];
        int bytes = RecordData.WriteState(data, _term, _vote, _commit);
        Stage(RecordKind.State, data[..bytes], out _);
    }

    /// <summary>Without syncs a mark would claim what is not so.</summary>
    private bool MarksGroups => _options.GroupMarks && !_options.NoSync;

    private void SyncFile(IDiskFile file)
    {
        if (_options.NoSync)
        {
            return;
        }

        try
        {
            file.SyncData();
        }
        catch (IOException e)
        {
            Poison(e);
            throw;
        }
    }

    private void BecomeDurable(ulong sequence)
    {
        _isDirty = false;
        _isMarkDue = MarksGroups && !_endsWithMark;
        lock (_gate)
        {
            _durable = new WalPosition(sequence, _staging.WrittenOffset);
            _durableIndex = LastIndex;
        }
    }

    private void WriteMark()
    {
        _syncsSinceMark = 0;
        if (_mark is not null && !_options.NoSync)
        {
            _mark.Write(new WalMarkValue(NodeId, ClusterId, _durable.Sequence, _durable.Offset, _crc));
        }
    }

    private void Poison(IOException failure)
    {
        _failure ??= failure;
    }

    private void ThrowIfUnusable()
    {
        if (_failure is not null || _isDisposed)
        {
            ThrowUnusable();
        }
    }

    [DoesNotReturn]
    private void ThrowUnusable()
    {
        ObjectDisposedException.ThrowIf(_isDisposed, this);
        throw new IOException($"{_directory}: the log failed before and takes nothing more", _failure);
    }
}
