using System.Buffers;
using System.Runtime.InteropServices;
using Perf.Store.Commands;

namespace Perf.Store.Watch;

// Messages to outputs. What the watchers of a group are sent differs only in watch_id: the events of the batch that
// match are laid out once as runs of bytes, and every watcher gets a copy of them behind its own head.
internal sealed partial class WatchShard
{
    /// <summary>Up to here a message is written into one span; a longer one run by run.</summary>
    private const int OneSpanBytesMax = 16 << 10;

    private readonly List<Run> _runs = [];
    private readonly List<RevisionMark> _marks = [];
    private readonly List<long> _eventEnds = [];
    private readonly byte[] _header = new byte[48];
    private int _headerBytes;
    private long _headerRevision = -1;
    private ulong _headerTerm;

    /// <summary>The header as field 1; encoded anew only when revision or term differ from the last.</summary>
    private ReadOnlySpan<byte> Header(long revision)
    {
        ulong term = _hub.RaftTerm;
        if (revision != _headerRevision || term != _headerTerm)
        {
            var header = new ResponseHeader(_hub.Options.ClusterId, _hub.Options.MemberId, revision, term);
            var writer = new ProtoWriter(_header);
            header.WriteField(ref writer);
            _headerBytes = writer.Position;
            _headerRevision = revision;
            _headerTerm = term;
        }
        return _header.AsSpan(0, _headerBytes);
    }

    private void DeliverTo(WatchGroup group, long from, long end, bool isLive)
    {
        LayOut(group);
        for (int i = 0; i < group.Count;)
        {
            Watcher watcher = group[i];

            // Behind, and not yet where this scan began: it takes no part. While live, the cursor has seen to it.
            if (isLive || watcher.NextRevision >= from)
            {
                Send(watcher, end, isLive);
            }
            if (i < group.Count && ReferenceEquals(group[i], watcher))
            {
                i++;
            }
        }
        _runs.Clear();
        _marks.Clear();
        _eventEnds.Clear();
    }

    private void LayOut(WatchGroup group)
    {
        bool withPrevious = group.Target.PreviousKv;
        long total = 0;
        int count = 0;
        foreach (int at in group.Pending)
        {
            ref BatchEvent e = ref _batch[at];
            byte[] data = e.Data;
            int offset = e.Offset;
            int length = e.Length;
            if (withPrevious)
            {
                _batch.EnsurePrevious(ref e, _history);
                data = e.PreviousData!;
                offset = e.PreviousOffset;
                length = e.PreviousLength;
            }

            Span<Run> runs = CollectionsMarshal.AsSpan(_runs);
            if (runs.Length > 0 && ReferenceEquals(runs[^1].Data, data) && runs[^1].Offset + runs[^1].Length == offset)
            {
                runs[^1].Length += length;
            }
            else
            {
                _runs.Add(new Run { Data = data, Offset = offset, Length = length, Start = total });
            }
            total += length;
            _eventEnds.Add(total);
            count++;

            Span<RevisionMark> marks = CollectionsMarshal.AsSpan(_marks);
            if (marks.Length > 0 && marks[^1].Revision == e.Revision)
            {
                marks[^1].EndEvent = count;
            }
            else
            {
                _marks.Add(new RevisionMark { Revision = e.Revision, EndEvent = count });
            }
        }
    }

    /// <summary>
    /// Sends the revisions from the watcher's next one on, as few messages as their limit allows. A full stream stops
    /// in front of a revision; the watcher waits there.
    /// </summary>
    private void Send(Watcher watcher, long end, bool isLive)
    {
        ReadOnlySpan<RevisionMark> marks = CollectionsMarshal.AsSpan(_marks);
        int mark = 0;
        while (mark < marks.Length && marks[mark].Revision < watcher.NextRevision)
        {
            mark++;
        }
        WatchStream stream = watcher.Stream;
        while (mark < marks.Length)
        {
            if (IsFull(stream))
            {
                watcher.NextRevision = marks[mark].Revision;
                Pause(watcher);
                return;
            }
            int firstEvent = mark == 0 ? 0 : marks[mark - 1].EndEvent;
            long start = StartOf(firstEvent);
            int last = mark;
            while (last + 1 < marks.Length && EndOf(marks[last + 1].EndEvent) - start <= _hub.Options.MessageBytesMax)
            {
                last++;
            }

            // As etcd: a live message carries its own revision, a message out of the history how far it was read.
            long revision = isLive || last + 1 < marks.Length ? marks[last].Revision : end;
            SendEvents(watcher, revision, firstEvent, marks[last].EndEvent);
            mark = last + 1;
        }
    }

    private void SendEvents(Watcher watcher, long revision, int firstEvent, int endEvent)
    {
        WatchStream stream = watcher.Stream;
        watcher.SentSinceTick = true;
        Volatile.Write(ref _eventsDelivered, _eventsDelivered + endEvent - firstEvent);
        try
        {
            long bytesMax = _hub.Options.FragmentBytesMax;
            ReadOnlySpan<byte> header = Header(revision);
            var whole = new WatchMessage(header, watcher.Id);
            if (!watcher.Target.Fragment
                || endEvent - firstEvent == 1
                || whole.Bytes + EndOf(endEvent) - StartOf(firstEvent) < bytesMax)
            {
                WriteMessage(stream, whole, firstEvent, endEvent);
                return;
            }

            var part = new WatchMessage(header, watcher.Id) { Fragment = true };
            int at = firstEvent;
            while (at < endEvent)
            {
                int stop = at + 1;
                while (stop < endEvent && part.Bytes + EndOf(stop + 1) - StartOf(at) < bytesMax)
                {
                    stop++;
                }
                WriteMessage(stream, stop == endEvent ? whole : part, at, stop);
                at = stop;
            }
        }
        catch (Exception e) when (e is not OutOfMemoryException)
        {
            Fault(stream);
        }
    }

    private long StartOf(int batchEvent) => batchEvent == 0 ? 0 : _eventEnds[batchEvent - 1];

    private long EndOf(int endEvent) => _eventEnds[endEvent - 1];

    private void WriteMessage(WatchStream stream, in WatchMessage message, int firstEvent, int endEvent)
    {
        if (stream.IsFaulted)
        {
            return;
        }
        long start = StartOf(firstEvent);
        long left = EndOf(endEvent) - start;
        int headBytes = message.Bytes;
        int bytes = checked((int)(headBytes + left));
        IBufferWriter<byte> target = stream.Output.StartMessage(bytes);
        MarkDirty(stream);

        bool oneSpan = bytes <= OneSpanBytesMax;
        Span<byte> span = target.GetSpan(oneSpan ? bytes : headBytes);
        int at = message.Write(span);
        if (!oneSpan)
        {
            target.Advance(at);
        }

        ReadOnlySpan<Run> runs = CollectionsMarshal.AsSpan(_runs);
        int run = 0;
        while (runs[run].Start + runs[run].Length <= start)
        {
            run++;
        }
        int skip = (int)(start - runs[run].Start);
        while (left > 0)
        {
            int length = (int)Math.Min(runs[run].Length - skip, left);
            ReadOnlySpan<byte> piece = runs[run].Data.AsSpan(runs[run].Offset + skip, length);
            if (oneSpan)
            {
                piece.CopyTo(span[at..]);
                at += length;
            }
            else
            {
                target.Write(piece);
            }
            left -= length;
            skip = 0;
            run++;
        }
        if (oneSpan)
        {
            target.Advance(at);
        }
    }

    /// <summary>A message without events.</summary>
    private void SendControl(WatchStream stream, in WatchMessage message)
    {
        if (stream.IsFaulted)
        {
            return;
        }
        try
        {
            int bytes = message.Bytes;
            IBufferWriter<byte> target = stream.Output.StartMessage(bytes);
            MarkDirty(stream);
            target.Advance(message.Write(target.GetSpan(bytes)));
        }
        catch (Exception e) when (e is not OutOfMemoryException)
        {
            Fault(stream);
        }
    }

    private void MarkDirty(WatchStream stream)
    {
        if (!stream.IsDirty)
        {
            stream.IsDirty = true;
            _dirtyStreams.Add(stream);
        }
    }

    /// <summary>Sends what this turn has written, and what outputs without room have kept from turns before.</summary>
    private void Flush()
    {
        int kept = 0;
        for (int i = 0; i < _dirtyStreams.Count; i++)
        {
            WatchStream stream = _dirtyStreams[i];
            try
            {
                if (stream.IsFaulted || stream.Output.TryFlush())
                {
                    stream.IsDirty = false;
                }
                else
                {
                    _dirtyStreams[kept++] = stream;
                }
            }
            catch (Exception e) when (e is not OutOfMemoryException)
            {
                Fault(stream);
            }
        }
        _dirtyStreams.RemoveRange(kept, _dirtyStreams.Count - kept);
        DropFaulted();
    }

    private bool IsFull(WatchStream stream) => !stream.IsFaulted && stream.Output.IsFull;

    /// <summary>
    /// The output threw: the stream is over. Its watchers stay where they are until the end of the turn, because
    /// somebody may be walking through them.
    /// </summary>
    private void Fault(WatchStream stream)
    {
        if (!stream.IsFaulted)
        {
            stream.IsFaulted = true;
            _faultedStreams.Add(stream);
        }
    }

    /// <summary>Consecutive bytes of one array; Start counts from the first event of the group.</summary>
    private struct Run
    {
        public byte[] Data;
        public int Offset;
        public int Length;
        public long Start;
    }

    /// <summary>The events of one revision end at EndEvent (exclusive); they begin where the one before ends.</summary>
    private struct RevisionMark
    {
        public long Revision;
        public int EndEvent;
    }
}
