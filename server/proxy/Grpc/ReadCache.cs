using Etcdserverpb;
using Google.Protobuf;

namespace Perf.Proxy.Grpc;

/// <summary>
/// Answers to range requests, for those who ask serializably. An answer goes when a write through this proxy touches its
/// range, when it is the longest unused of too many, and, if it was of an old revision, when that is compacted. Writes
/// that other ways lead to the cluster are not seen: a serializable read may be old, here as in etcd's proxy.
/// </summary>
internal sealed class ReadCache
{
    /// <summary>etcd's proxy keeps as many.</summary>
    public const int EntriesMax = 2048;

    private readonly Lock _gate = new();
    private readonly Dictionary<ByteString, LinkedListNode<Entry>> _byRequest = [];
    private readonly LinkedList<Entry> _byUse = new();
    private long _compacted;

    public int Count
    {
        get
        {
            lock (_gate)
            {
                return _byRequest.Count;
            }
        }
    }

    /// <summary>What an answer is kept under: the request, told serializably, by whom.</summary>
    public static ByteString Key(RangeRequest request, string who)
    {
        RangeRequest key = request.Clone();
        key.Serializable = true;
        return ByteString.CopyFrom([.. System.Text.Encoding.UTF8.GetBytes(who), 0, .. key.ToByteArray()]);
    }

    /// <summary>Null: not here.</summary>
    public ReadOnlyMemory<byte>? Find(ByteString key)
    {
        lock (_gate)
        {
            if (!_byRequest.TryGetValue(key, out LinkedListNode<Entry>? node))
            {
                return null;
            }

            if (node.Value.Revision > 0 && node.Value.Revision < _compacted)
            {
                Drop(node);
                return null;
            }

            _byUse.Remove(node);
            _byUse.AddFirst(node);
            return node.Value.Answer;
        }
    }

    public void Add(ByteString key, RangeRequest request, ReadOnlyMemory<byte> answer)
    {
        lock (_gate)
        {
            if (request.Revision > 0 && request.Revision < _compacted)
            {
                return;
            }

            if (_byRequest.TryGetValue(key, out LinkedListNode<Entry>? old))
            {
                Drop(old);
            }

            var entry = new Entry(key, request.Key, request.RangeEnd, request.Revision, answer);
            _byRequest.Add(key, _byUse.AddFirst(entry));
            if (_byRequest.Count > EntriesMax)
            {
                Drop(_byUse.Last!);
            }
        }
    }

    /// <summary>A range was written: answers of now that overlap it are old. An empty end is one key.</summary>
    public void Invalidate(ByteString from, ByteString end)
    {
        lock (_gate)
        {
            for (LinkedListNode<Entry>? node = _byUse.First; node is not null;)
            {
                LinkedListNode<Entry>? next = node.Next;
                if (node.Value.Revision <= 0 && Overlaps(node.Value.From, node.Value.End, from, end))
                {
                    Drop(node);
                }

                node = next;
            }
        }
    }

    public void Compact(long revision)
    {
        lock (_gate)
        {
            _compacted = Math.Max(_compacted, revision);
        }
    }

    internal static bool Overlaps(ByteString fromA, ByteString endA, ByteString fromB, ByteString endB) =>
        IsBefore(fromA, fromB, endB) && IsBefore(fromB, fromA, endA);

    /// <summary>True when a key does not lie behind the range that begins at <paramref name="from"/>.</summary>
    private static bool IsBefore(ByteString key, ByteString from, ByteString end)
    {
        if (end.IsEmpty)
        {
            return key.Span.SequenceCompareTo(from.Span) <= 0;
        }

        return (end.Length == 1 && end[0] == 0) || key.Span.SequenceCompareTo(end.Span) < 0;
    }

    private void Drop(LinkedListNode<Entry> node)
    {
        _byRequest.Remove(node.Value.Key);
        _byUse.Remove(node);
    }

    private sealed record Entry(ByteString Key, ByteString From, ByteString End, long Revision, ReadOnlyMemory<byte> Answer);
}
