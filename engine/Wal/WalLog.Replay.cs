using Perf.Engine.IO;

namespace Perf.Engine.Wal;

/// <summary>Coming back to a log.</summary>
public sealed partial class WalLog
{
    /// <summary>
    /// One start: reads the segments through the visitor and decides what a bad place means.
    /// <para>Damage is a torn tail when it lies in the last sync group of the last segment: no group mark stands
    /// behind it and the sidecar does not know it as durable. Then it is cut off. All other damage was acknowledged
    /// data; it is named and nothing is touched. Where no mark stands before it either, etcd wrote the segment, and
    /// etcd's own rule decides.</para>
    /// </summary>
    private sealed class Replay(
        IDisk disk, string directory, WalSnapshot from, WalOptions options, IWalVisitor visitor)
    {
        private readonly List<Segment> _segments = [];
        private readonly EntryIndex _index = new();
        private WalMarkValue? _durable;
        private byte[]? _metadata;
        private ulong _nodeId;
        private ulong _clusterId;
        private ulong _lastIndex = from.Index;
        private ulong _firstTerm;
        private (ulong Term, ulong Vote, ulong Commit) _state;
        private bool _hasSnapshot;
        private uint? _crc;
        private long _endOffset;
        private bool _isTorn;

        public WalLog Open()
        {
            WalMark? mark = null;
            WalLog? log = null;
            try
            {
                List<SegmentName> names = SelectSegments();
                foreach (SegmentName name in names)
                {
                    IDiskFile file = disk.Open(System.IO.Path.Combine(directory, name.ToString()), DiskOpen.ReadWrite);
                    _segments.Add(new Segment(name, file));
                    Lock(file);
                }

                mark = options.MarkPath is null ? null : WalMark.Open(disk, options.MarkPath);
                _durable = mark?.Found;
                for (int i = 0; i < _segments.Count; i++)
                {
                    ReadSegment(_segments[i], i == _segments.Count - 1);
                }

                CheckWhole();
                if (_isTorn)
                {
                    CutOff(_segments[^1], _endOffset);
                }

                DeleteLeftovers();
                Extend(_segments[^1]);

                log = new WalLog(disk, directory, options, mark, _index, _nodeId, _clusterId)
                {
                    _term = _state.Term,
                    _vote = _state.Vote,
                    _commit = _state.Commit,
                };
                log.Resume(_segments, _endOffset, _crc!.Value, _lastIndex);
                return log;
            }
            catch
            {
                foreach (Segment segment in _segments)
                {
                    segment.File.Dispose();
                }

                mark?.Dispose();
                throw;
            }
        }

        private List<SegmentName> SelectSegments()
        {
            List<SegmentName> names = disk.DirectoryExists(directory) ? SegmentName.List(disk, directory) : [];
            if (names.Count == 0)
            {
                throw new IOException($"{directory}: holds no log");
            }

            int first = FirstNeeded(names, from.Index);
            if (first < 0)
            {
                throw new CorruptionException(
                    directory, 0, $"the log begins with entry {names[0].Index}, snapshot {from.Index} needs earlier ones");
            }

            names.RemoveRange(0, first);
            for (int i = 1; i < names.Count; i++)
            {
                if (names[i].Sequence != names[i - 1].Sequence + 1)
                {
                    throw new CorruptionException(directory, 0, $"segment {names[i - 1].Sequence + 1:x16} is missing");
                }
            }

            return names;
        }

        private void ReadSegment(Segment segment, bool isLast)
        {
            string path = segment.Path(directory);
            using var reader = new SegmentReader(segment.File, segment.File.Length, _crc);
            while (reader.Damage is null && reader.Read(out RecordView record))
            {
                string? refusal = Take(record, new WalPosition(segment.Name.Sequence, reader.RecordOffset), reader.CrcBefore);
                if (refusal is not null)
                {
                    reader.RejectRecord(refusal);
                }
                else
                {
                    CheckAgainstMark(segment, reader);
                }
            }

            _crc = reader.Crc;
            _endOffset = reader.EndOffset;
            segment.DataBytes = reader.EndOffset;
            if (reader.Damage is { } damage)
            {
                if (!isLast || damage.Kind is DamageKind.Certain)
                {
                    throw new CorruptionException(path, damage.Offset, damage.Reason);
                }

                CheckIsTorn(segment, reader, damage);
                _isTorn = true;
            }
            else if (DurableOffset(segment) > reader.EndOffset)
            {
                throw new CorruptionException(
                    path, reader.EndOffset, $"the data ends here, but had been durable up to {DurableOffset(segment)}");
            }
        }

        /// <summary>Hands a record on; returns why it cannot be.</summary>
        private string? Take(in RecordView record, WalPosition position, uint crcBefore)
        {
            switch (record.Kind)
            {
                case RecordKind.Metadata:
                    return TakeMetadata(record.Data);

                case RecordKind.Entry:
                    return TakeEntry(record.Data, position, crcBefore);

                case RecordKind.State:
                    if (!RecordData.TryReadState(record.Data, out ulong term, out ulong vote, out ulong commit))
                    {
                        return "not a hard state";
                    }

                    _state = (term, vote, commit);
                    visitor.OnHardState(term, vote, commit);
                    return null;

                case RecordKind.Snapshot:
                    return TakeSnapshot(record.Data, position);

                default:
                    return null;
            }
        }

        private string? TakeMetadata(ReadOnlySpan<byte> data)
        {
            if (_metadata is not null)
            {
                return data.SequenceEqual(_metadata) ? null : "the metadata differs from the first segment's";
            }

            if (!RecordData.TryReadMetadata(data, out _nodeId, out _clusterId))
            {
                return "not metadata";
            }

            _metadata = data.ToArray();
            if (_durable is { } durable && (durable.NodeId != _nodeId || durable.ClusterId != _clusterId))
            {
                // The sidecar of another log that stood here before.
                _durable = null;
            }

            if (_durable?.Sequence > _segments[^1].Name.Sequence)
            {
                return $"segment {_durable.Value.Sequence:x16} had been durable and is missing";
            }

            return null;
        }

        private string? TakeEntry(ReadOnlySpan<byte> data, WalPosition position, uint crcBefore)
        {
            if (!RecordData.TryReadEntry(data, out ulong term, out ulong index))
            {
                return "not an entry";
            }

#if MUTANTS
            if (index <= from.Index || (term < from.Term && !Mutant.Is("29-replaced-entries-replayed")))
#else
            if (index <= from.Index || term < from.Term)
#endif
            {
                // In the snapshot; or written before it and replaced by what the snapshot holds, though the record that
                // replaced it is skipped here: nothing behind a snapshot has a lower term.
                return null;
            }

            if (index > _lastIndex + 1)
            {
                return $"entry {index} leaves a gap behind {_lastIndex}";
            }

            if (index <= _lastIndex)
            {
                _index.Truncate(index, position);
                visitor.OnTruncate(index);
            }

            if (index == from.Index + 1)
            {
                _firstTerm = term;
            }

            _index.Add(index, position, crcBefore);
            _lastIndex = index;
            visitor.OnEntry(index, term, data);
            return null;
        }

        private string? TakeSnapshot(ReadOnlySpan<byte> data, WalPosition position)
        {
            if (!RecordData.TryReadSnapshot(data, out ulong index, out ulong term, out ReadOnlySpan<byte> confState))
            {
                return "not a snapshot record";
            }

            if (index == from.Index)
            {
                if (term != from.Term)
                {
                    return $"snapshot {index} has term {term}, the .snap file {from.Term}";
                }

                _hasSnapshot = true;
                if (_lastIndex > from.Index && _firstTerm < from.Term)
                {
                    // A received snapshot replaced a log that had gone another way.
                    _index.Truncate(from.Index + 1, position);
                    visitor.OnTruncate(from.Index + 1);
                    _lastIndex = from.Index;
                }
            }

            visitor.OnSnapshot(index, term, confState);
            return null;
        }

        private long DurableOffset(Segment segment)
        {
            return _durable is { } durable && durable.Sequence == segment.Name.Sequence ? durable.Offset : 0;
        }

        private void CheckAgainstMark(Segment segment, SegmentReader reader)
        {
            long durable = DurableOffset(segment);
            if (reader.RecordOffset < durable && reader.EndOffset >= durable
                && (reader.EndOffset != durable || reader.Crc != _durable!.Value.Crc))
            {
                throw new CorruptionException(
                    segment.Path(directory), reader.RecordOffset, $"not the data that had been durable up to {durable}");
            }
        }

        private void CheckIsTorn(Segment segment, SegmentReader reader, Damage damage)
        {
            string path = segment.Path(directory);
            if (damage.Offset < DurableOffset(segment))
            {
                throw new CorruptionException(
                    path, damage.Offset, $"{damage.Reason}; the data had been durable up to {DurableOffset(segment)}");
            }

            byte[] rest = FileBytes.ReadRange(segment.File, damage.Offset, segment.File.Length);
            int mark = GroupMarkSearch.Find(rest);
            if (mark >= 0)
            {
                throw new CorruptionException(
                    path, damage.Offset, $"{damage.Reason}; a later sync group begins at {damage.Offset + mark}");
            }

            if (!reader.HasGroupMarks && damage.Kind is not DamageKind.Torn)
            {
                throw new CorruptionException(path, damage.Offset, damage.Reason);
            }
        }

        /// <summary>Keeps the file as found beside it, then ends it at the last good record.</summary>
        private void CutOff(Segment segment, long end)
        {
            string path = segment.Path(directory);
            string broken = path + ".broken";
            if (disk.FileExists(broken))
            {
                disk.Delete(broken);
            }

            using (IDiskFile copy = disk.Open(broken, DiskOpen.CreateNew))
            {
                FileBytes.Copy(segment.File, copy);
            }

            disk.SyncDirectory(directory);
            segment.File.SetLength(end);
            segment.File.SyncAll();

            // What will be built upon is read once more as it now stands.
            uint? seed = null;
            using var reader = new SegmentReader(segment.File, segment.File.Length, seed);
            while (reader.Read(out _))
            {
            }

            if (reader.Damage is not null || reader.EndOffset != end || reader.Crc != _crc)
            {
                throw new CorruptionException(path, reader.EndOffset, "the repaired segment does not read as before");
            }
        }

        private void CheckWhole()
        {
            if (!_hasSnapshot)
            {
                throw new CorruptionException(
                    directory, 0, $"no record of the snapshot with index {from.Index} and term {from.Term}");
            }

            if (_state.Commit > _lastIndex)
            {
                throw new CorruptionException(
                    _segments[^1].Path(directory), _endOffset,
                    $"entries up to {_state.Commit} had been committed, the log ends with {_lastIndex}");
            }
        }

        private void DeleteLeftovers()
        {
            foreach (string name in disk.List(directory))
            {
                if (name == SpentName
                    || (name.Length == 5 && char.IsAsciiDigit(name[0]) && name.EndsWith(".tmp", StringComparison.Ordinal)))
                {
                    disk.Delete(System.IO.Path.Combine(directory, name));
                }
            }
        }

        /// <summary>Brings a short tail back to the nominal size, so that appending meets no full disk.</summary>
        private void Extend(Segment tail)
        {
            long length = tail.File.Length;
            if (length >= options.SegmentBytes)
            {
                return;
            }

            try
            {
                tail.File.Allocate(length, options.SegmentBytes - length);
            }
            catch (IOException)
            {
                // No space: reads must still be served, and the next append says what is to be said.
            }
        }
    }
}
