using System.Buffers;
using Perf.Engine;
using Perf.Store.Backend;
using Perf.Store.Commands;

namespace Perf.Store.Mvcc;

public sealed partial class MvccStore
{
    private const int KvsField = 2;
    private const int MoreField = 3;
    private const int CountField = 4;

    /// <summary>Reopening a reader so often for an exact count; then the range is walked.</summary>
    private const int CountAttempts = 8;

    [ThreadStatic]
    private static RangeHits? s_hits;

    /// <summary>
    /// Answers a range request as of the newest published revision, or of the one asked for. The header gives ids
    /// and term. Nothing is written unless None is returned. Any thread.
    /// </summary>
    public StoreError Range(in RangeView range, in ResponseHeader header, IBufferWriter<byte> response) =>
        Range(in range, in header, response, counts: true);

    /// <summary>
    /// The same for a part of a longer answer: with <paramref name="counts"/> false nothing behind the limit is looked
    /// at, and the count is that of the keys found.
    /// </summary>
    public StoreError Range(in RangeView range, in ResponseHeader header, IBufferWriter<byte> response, bool counts)
    {
        RangeHits hits = s_hits ??= new RangeHits();
        for (int attempt = 0; ; attempt++)
        {
            using RecordReader reader = OpenReader(out KeyIndex index, out long revision, out long compacted);
            long at = range.Revision <= 0 ? revision : range.Revision;
            if (at > revision)
            {
                return StoreError.FutureRev;
            }
            if (at < compacted)
            {
                return StoreError.Compacted;
            }

            bool mayCount = at == revision && attempt < CountAttempts;
            bool collected = Collect(
                in range, index, at, mayCount ? revision : -1, hits, attempt >= CountAttempts, counts);
            if (_published.Compacted > at)
            {
                // Compaction overtook the walk and may have cut what it needed.
                if (range.Revision > 0)
                {
                    return StoreError.Compacted;
                }
                continue;
            }
            if (!collected)
            {
                continue;
            }
            return WriteRange(in range, in reader, hits, header with { Revision = revision }, response);
        }
    }

    /// <summary>
    /// The key's KeyValue bytes as of a revision; false when it had none there, or the revision is compacted. Any
    /// thread.
    /// </summary>
    public bool TryGetAt(ReadOnlySpan<byte> key, long revision, IBufferWriter<byte> target)
    {
        using RecordReader reader = OpenReader(out KeyIndex index, out long newest, out long compacted);
        if (revision < compacted || revision > newest)
        {
            return false;
        }
        uint id = index.Tree.FindShared(key);
        if (id == 0
            || !index.Keys.TryVersionAt(id, revision, out KeyVersion version)
            || _published.Compacted > revision
            || !reader.TryGet(version.Main, version.Sub, false, out ReadOnlySpan<byte> bytes))
        {
            return false;
        }
        target.Write(bytes);
        return true;
    }

    /// <summary>How many of the ascending ids lie in the range; the first is known not to lie before it.</summary>
    private static int CountInside(KeyTable keys, ReadOnlySpan<uint> ids, in KeyRange range)
    {
        if (range.ToEnd || ids.IsEmpty || keys.Key(ids[^1]).SequenceCompareTo(range.To) < 0)
        {
            return ids.Length;
        }
        int low = 0;
        int high = ids.Length - 1;
        while (low < high)
        {
            int middle = (low + high) / 2;
            if (keys.Key(ids[middle]).SequenceCompareTo(range.To) < 0)
            {
                low = middle + 1;
            }
            else
            {
                high = middle;
            }
        }
        return low;
    }

    /// <summary>Most hits that a request can need, before sorting and filtering; 0: all.</summary>
    private static long FetchLimit(in RangeView range)
    {
        bool fetchesAll = range.SortOrder != SortOrder.None || range.HasRevisionFilter || range.Limit <= 0;
        return fetchesAll ? 0 : range.Limit + 1;
    }

    /// <summary>
    /// Finds the versions that the request means as of a revision, and how many there are. With
    /// <paramref name="countRevision"/> &gt;= 0 the total may come from the tree's counts, which are those of
    /// that published revision; false when they could not be had and <paramref name="mayWalk"/> is not set.
    /// </summary>
    private bool Collect(
        in RangeView request, KeyIndex index, long at, long countRevision, RangeHits hits, bool mayWalk, bool counts)
    {
        hits.Clear();
        KeyRange range = KeyRange.Of(request.Key, request.RangeEnd);
        if (range.IsSingle)
        {
            uint id = index.Tree.FindShared(range.From);
            if (id != 0 && index.Keys.TryVersionAt(id, at, out KeyVersion version))
            {
                hits.Total = 1;
                if (!request.CountOnly)
                {
                    hits.Add(version.Main, version.Sub, version.Length);
                }
            }
            return true;
        }
        if (range.IsEmpty)
        {
            return true;
        }

        long limit = request.CountOnly ? -1 : FetchLimit(in request);
        if (!counts && limit > 0)
        {
            Walk(index, in range, at, limit, counted: true, hits);
            hits.Total = Math.Min(hits.Count, request.Limit);
            return true;
        }

        bool counted = false;
        if (limit != 0 && countRevision >= 0)
        {
            counted = index.Tree.TryCountLive(in range, _published, countRevision, out long total);
            hits.Total = total;
            if (!counted && !mayWalk)
            {
                return false;
            }
        }
        if (!counted)
        {
            hits.Total = 0;
        }
        if (counted && (limit < 0 || hits.Total == 0))
        {
            return true;
        }
        Walk(index, in range, at, limit, counted, hits);
        return true;
    }

    /// <summary>
    /// Walks the range's leaves. Limit &lt; 0: counts only; 0: takes all; else takes that many and, unless the
    /// total is known, counts the rest.
    /// </summary>
    private static void Walk(KeyIndex index, in KeyRange range, long at, long limit, bool counted, RangeHits hits)
    {
        Span<uint> ids = stackalloc uint[KeyTree.LeafKeysMax];
        ReadOnlySpan<byte> from = range.From;
        long live = 0;
        while (true)
        {
            int copied = index.Tree.CopyLeaf(from, ids, out byte[]? next);
            int inside = CountInside(index.Keys, ids[..copied], in range);
            foreach (uint id in ids[..inside])
            {
                if (!index.Keys.TryVersionAt(id, at, out KeyVersion version))
                {
                    continue;
                }
                live++;
                if (limit >= 0 && (limit == 0 || hits.Count < limit))
                {
                    hits.Add(version.Main, version.Sub, version.Length);
                }
                if (counted && hits.Count == limit)
                {
                    return;
                }
            }
            if (inside < copied || next is null)
            {
                break;
            }
            from = next;
        }
        if (!counted)
        {
            hits.Total = live;
        }
    }

    /// <summary>Filters, sorts and cuts (RNG-06..11), then writes the whole RangeResponse.</summary>
    private static StoreError WriteRange(
        in RangeView range,
        in RecordReader reader,
        RangeHits hits,
        in ResponseHeader header,
        IBufferWriter<byte> response)
    {
        if (range.HasRevisionFilter)
        {
            Filter(in range, in reader, hits);
        }
        Sort(in range, in reader, hits);
        bool more = range.Limit > 0 && hits.Count > range.Limit;
        if (more)
        {
            hits.Truncate((int)range.Limit);
        }

        long bytes = header.FieldBytes + ProtoSize.Bool(MoreField, more) + ProtoSize.Int64(CountField, hits.Total);
        for (int i = 0; i < hits.Count; i++)
        {
            ref RangeHit hit = ref hits[i];
            if (range.KeysOnly)
            {
                hit.Length = KeyOnlyBytes(RecordOf(in reader, hit.Main, hit.Sub), out _, out _);
            }
            bytes += ProtoSize.Message(KvsField, hit.Length);
        }
        if (bytes > int.MaxValue)
        {
            return StoreError.RequestTooLarge;
        }
        (response as ISizedBufferWriter)?.Begin((int)bytes);

        var head = new ProtoWriter(response.GetSpan(header.FieldBytes));
        header.WriteField(ref head);
        response.Advance(head.Position);
        for (int i = 0; i < hits.Count; i++)
        {
            ref RangeHit hit = ref hits[i];
            ReadOnlySpan<byte> record = RecordOf(in reader, hit.Main, hit.Sub);
            var writer = new ProtoWriter(response.GetSpan(ProtoSize.Message(KvsField, hit.Length)));
            writer.MessageHead(KvsField, hit.Length);
            if (range.KeysOnly)
            {
                KeyOnlyBytes(record, out int valueAt, out int behindValue);
                writer.Raw(record[..valueAt]);
                writer.Raw(record[behindValue..]);
            }
            else
            {
                // The index and the record tell the length independently.
                Check.That(record.Length == hit.Length);
                writer.Raw(record);
            }
            response.Advance(writer.Position);
        }
        var tail = new ProtoWriter(response.GetSpan(16));
        tail.Bool(MoreField, more);
        tail.Int64(CountField, hits.Total);
        response.Advance(tail.Position);
        return StoreError.None;
    }

    /// <summary>Bytes of a record without its value field, and where that field lies.</summary>
    private static int KeyOnlyBytes(ReadOnlySpan<byte> record, out int valueAt, out int behindValue)
    {
        valueAt = record.Length;
        behindValue = record.Length;
        var reader = new ProtoReader(record);
        int at = 0;
        while (reader.Next())
        {
            if (reader.Field == KeyValueCodec.ValueField)
            {
                valueAt = at;
                behindValue = reader.Position;
            }
            at = reader.Position;
        }
        return record.Length - (behindValue - valueAt);
    }

    private static void Filter(in RangeView range, in RecordReader reader, RangeHits hits)
    {
        int kept = 0;
        for (int i = 0; i < hits.Count; i++)
        {
            RangeHit hit = hits[i];
            bool passes = (range.MaxModRevision == 0 || hit.Main <= range.MaxModRevision)
                && (range.MinModRevision == 0 || hit.Main >= range.MinModRevision);
            if (passes && (range.MaxCreateRevision | range.MinCreateRevision) != 0)
            {
                KeyValueView.TryParse(RecordOf(in reader, hit.Main, hit.Sub), out KeyValueView record);
                passes = (range.MaxCreateRevision == 0 || record.CreateRevision <= range.MaxCreateRevision)
                    && (range.MinCreateRevision == 0 || record.CreateRevision >= range.MinCreateRevision);
            }
            if (passes)
            {
                hits[kept++] = hit;
            }
        }
        hits.Truncate(kept);
    }

    private static void Sort(in RangeView range, in RecordReader reader, RangeHits hits)
    {
        SortOrder order = range.SortOrder;
        if (range.SortTarget != SortTarget.Key && order == SortOrder.None)
        {
            order = SortOrder.Ascend;
        }
        bool known = range.SortTarget is >= SortTarget.Key and <= SortTarget.Value;
        if (order is not (SortOrder.Ascend or SortOrder.Descend) || !known || hits.Count < 2)
        {
            return;
        }
        if (range.SortTarget == SortTarget.Key)
        {
            // They come in key order.
            if (order == SortOrder.Descend)
            {
                hits.Reverse();
            }
            return;
        }

        var keys = new SortKey[hits.Count];
        for (int i = 0; i < keys.Length; i++)
        {
            ref RangeHit hit = ref hits[i];
            KeyValueView.TryParse(RecordOf(in reader, hit.Main, hit.Sub), out KeyValueView record);
            keys[i] = range.SortTarget switch
            {
                SortTarget.Version => new SortKey(i, record.Version, null),
                SortTarget.Create => new SortKey(i, record.CreateRevision, null),
                SortTarget.Mod => new SortKey(i, record.ModRevision, null),
                _ => new SortKey(i, 0, record.Value.ToArray()),
            };
        }
        hits.Reorder(SortKeys(keys, order == SortOrder.Descend));
    }

    /// <summary>Apart, because its closure would otherwise be made for every range.</summary>
    private static SortKey[] SortKeys(SortKey[] keys, bool descend)
    {
        Array.Sort(keys, (left, right) =>
        {
            int compared = left.Value is null
                ? left.Number.CompareTo(right.Number)
                : left.Value.AsSpan().SequenceCompareTo(right.Value);
            compared = descend ? -compared : compared;
            return compared != 0 ? compared : left.Position.CompareTo(right.Position);
        });
        return keys;
    }
}
