using System.Buffers;
using Google.Protobuf;
using Mvccpb;
using Perf.Store.Mvcc;
using Perf.Store.Watch;

namespace Perf.Store.Tests.Watch;

/// <summary>
/// A key space that is obviously right: a list of records. It talks to the hub as the real one does, and is the
/// model that watches are held against.
/// </summary>
internal sealed class FakeStore : IWatchHistory
{
    private readonly List<(long Revision, Event Event)> _all = [];
    private readonly Dictionary<string, KeyValue> _newest = [];
    private List<(long Revision, bool IsDelete, KeyValue Stored)> _records = [];
    private long _revision = 1;

    public WatchHub? Hub { get; set; }

    public long CurrentRevision { get; private set; } = 1;

    public long CompactRevision { get; private set; } = -1;

    /// <summary>The revision applied, published or not.</summary>
    public long Applied => _revision;

    /// <summary>Records that scans have shown.</summary>
    public long Scanned { get; private set; }

    /// <summary>Called once in the middle of the next scan.</summary>
    public Action? DuringScan { get; set; }

    /// <summary>Every event that ever was, compacted or not, with prev_kv where there was one.</summary>
    public IReadOnlyList<(long Revision, Event Event)> All => _all;

    public static string Text(ByteString key) => key.ToStringUtf8();

    public long Put(string key, string value = "v") => Apply((key, value));

    public long Delete(string key) => Apply((key, null));

    /// <summary>One transaction; a null value deletes. Deletes of missing keys change nothing.</summary>
    public long Apply(params (string Key, string? Value)[] changes)
    {
        long revision = _revision + 1;
        var events = new List<RevisionEvent>();
        foreach ((string key, string? value) in changes)
        {
            _newest.TryGetValue(key, out KeyValue? previous);
            if (value is null && previous is null)
            {
                continue;
            }
            ByteString keyBytes = ByteString.CopyFromUtf8(key);
            KeyValue stored;
            KeyValue told;
            if (value is null)
            {
                stored = new KeyValue { Key = keyBytes };
                told = new KeyValue { Key = keyBytes, ModRevision = revision };
                _newest.Remove(key);
            }
            else
            {
                stored = new KeyValue
                {
                    Key = keyBytes,
                    CreateRevision = previous?.CreateRevision ?? revision,
                    ModRevision = revision,
                    Version = (previous?.Version ?? 0) + 1,
                    Value = ByteString.CopyFromUtf8(value),
                };
                told = stored;
                _newest[key] = stored;
            }
            _records.Add((revision, value is null, stored));
            var change = new Event
            {
                Type = value is null ? Event.Types.EventType.Delete : Event.Types.EventType.Put,
                Kv = told,
            };
            bool isCreate = value is not null && stored.CreateRevision == revision;
            if (!isCreate && previous is not null && previous.ModRevision < revision)
            {
                change.PrevKv = previous;
            }
            _all.Add((revision, change));
            byte[] bytes = told.ToByteArray();
            int keyAt = bytes.AsSpan().IndexOf(keyBytes.Span);
            events.Add(new RevisionEvent(
                value is null, isCreate, bytes.AsMemory(keyAt, keyBytes.Length), bytes, owner: null!));
        }
        if (events.Count > 0)
        {
            _revision = revision;
            Hub?.OnTransaction(revision, events.ToArray());
        }
        return _revision;
    }

    public void Publish()
    {
        CurrentRevision = _revision;
        Hub?.OnPublished(_revision);
    }

    /// <summary>Keeps of every key the newest record up to the revision, a tombstone only if it lies exactly there.</summary>
    public void Compact(long revision)
    {
        Hub?.OnCompacted(revision);
        CompactRevision = revision;
        var kept = new List<(long Revision, bool IsDelete, KeyValue Stored)>();
        for (int i = 0; i < _records.Count; i++)
        {
            (long at, bool isDelete, KeyValue stored) = _records[i];
            bool isSuperseded = false;
            for (int k = i + 1; k < _records.Count && _records[k].Revision <= revision; k++)
            {
                isSuperseded |= _records[k].Stored.Key == stored.Key;
            }
            if (at > revision || (!isSuperseded && (!isDelete || at == revision)))
            {
                kept.Add(_records[i]);
            }
        }
        _records = kept;
    }

    /// <summary>A snapshot brings the changes that this member has missed; no transaction was seen here.</summary>
    public void InstallSnapshot(Action<FakeStore> missed, long? compacted = null)
    {
        WatchHub? hub = Hub;
        Hub = null;
        missed(this);
        if (compacted is long revision)
        {
            Compact(revision);
        }
        CurrentRevision = _revision;
        Hub = hub;
        Hub?.OnReset(_revision);
    }

    public bool TryScan(long from, long to, IHistoryVisitor visitor)
    {
        if (from < CompactRevision)
        {
            return false;
        }
        foreach ((long revision, bool isDelete, KeyValue stored) in _records)
        {
            if (revision >= from && revision <= to)
            {
                Scanned++;
                if (!visitor.Visit(revision, isDelete, stored.ToByteArray()))
                {
                    break;
                }
                if (DuringScan is { } action)
                {
                    DuringScan = null;
                    action();
                    break;
                }
            }
        }
        return true;
    }

    public bool TryGetAt(ReadOnlySpan<byte> key, long revision, IBufferWriter<byte> target)
    {
        if (revision < CompactRevision)
        {
            return false;
        }
        KeyValue? found = null;
        foreach ((long at, bool isDelete, KeyValue stored) in _records)
        {
            if (at <= revision && stored.Key.Span.SequenceEqual(key))
            {
                found = isDelete ? null : stored;
            }
        }
        if (found is null)
        {
            return false;
        }
        target.Write(found.ToByteArray());
        return true;
    }
}
