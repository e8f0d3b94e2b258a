using Etcdserverpb;
using Google.Protobuf;

namespace Perf.Client;

/// <summary>Puts a prefix before every key of a request, and takes it off every key of an answer.</summary>
internal sealed class Prefixing(Bytes prefix)
{
    private static readonly ByteString NoEnd = ByteString.CopyFrom(0);
    private readonly ByteString _end = Wire.String(prefix.PrefixEnd());

    /// <summary>The same range inside the namespace: its own end takes the place of "no upper bound".</summary>
    public (ByteString Key, ByteString End) Range(ByteString key, ByteString end) => (
        key == NoEnd && end == NoEnd ? Wire.String(prefix) : Join(key),
        end.IsEmpty ? end : end == NoEnd ? _end : Join(end));

    public RangeRequest Into(RangeRequest request)
    {
        RequireKey(request.Key, request.RangeEnd);
        (request.Key, request.RangeEnd) = Range(request.Key, request.RangeEnd);
        return request;
    }

    public PutRequest Into(PutRequest request)
    {
        RequireKey(request.Key, ByteString.Empty);
        request.Key = Join(request.Key);
        return request;
    }

    public DeleteRangeRequest Into(DeleteRangeRequest request)
    {
        RequireKey(request.Key, request.RangeEnd);
        (request.Key, request.RangeEnd) = Range(request.Key, request.RangeEnd);
        return request;
    }

    /// <summary>A copy: the operations belong to the caller, who may send them again.</summary>
    public TxnRequest Into(TxnRequest request)
    {
        TxnRequest inside = request.Clone();
        foreach (Etcdserverpb.Compare compare in inside.Compare)
        {
            (compare.Key, compare.RangeEnd) = Range(compare.Key, compare.RangeEnd);
        }

        foreach (RequestOp op in inside.Success.Concat(inside.Failure))
        {
            switch (op.RequestCase)
            {
                case RequestOp.RequestOneofCase.RequestRange:
                    Into(op.RequestRange);
                    break;
                case RequestOp.RequestOneofCase.RequestPut:
                    Into(op.RequestPut);
                    break;
                case RequestOp.RequestOneofCase.RequestDeleteRange:
                    Into(op.RequestDeleteRange);
                    break;
                case RequestOp.RequestOneofCase.RequestTxn:
                    op.RequestTxn = Into(op.RequestTxn);
                    break;
            }
        }

        return inside;
    }

    public Etcdserverpb.RangeResponse OutOf(Etcdserverpb.RangeResponse answer)
    {
        Strip(answer.Kvs);
        return answer;
    }

    public Etcdserverpb.PutResponse OutOf(Etcdserverpb.PutResponse answer)
    {
        Strip(answer.PrevKv);
        return answer;
    }

    public DeleteRangeResponse OutOf(DeleteRangeResponse answer)
    {
        Strip(answer.PrevKvs);
        return answer;
    }

    public Etcdserverpb.TxnResponse OutOf(Etcdserverpb.TxnResponse answer)
    {
        foreach (ResponseOp op in answer.Responses)
        {
            Strip(op.ResponseRange?.Kvs ?? op.ResponseDeleteRange?.PrevKvs ?? []);
            Strip(op.ResponsePut?.PrevKv);
            if (op.ResponseTxn is { } nested)
            {
                OutOf(nested);
            }
        }

        return answer;
    }

    /// <summary>The response with keys as the watcher knows them.</summary>
    public WatchResponse OutOf(WatchResponse response) => new()
    {
        HasHeader = response.HasHeader,
        Header = response.Header,
        Events = [.. response.Events.Select(e => e with { Kv = Strip(e.Kv), PrevKv = e.PrevKv is { } p ? Strip(p) : null })],
    };

    private static void RequireKey(ByteString key, ByteString end)
    {
        // With the prefix before it the server would not see that there is none.
        if (key.IsEmpty && end.IsEmpty)
        {
            throw new EtcdException(RpcCode.InvalidArgument, "etcdserver: key is not provided");
        }
    }

    private ByteString Join(ByteString key)
    {
        byte[] whole = new byte[prefix.Length + key.Length];
        prefix.Span.CopyTo(whole);
        key.Span.CopyTo(whole.AsSpan(prefix.Length));
        return UnsafeByteOperations.UnsafeWrap(whole);
    }

    private KeyValue Strip(KeyValue kv) => kv with { Key = kv.Key.Memory[prefix.Length..] };

    private void Strip(IEnumerable<Mvccpb.KeyValue> kvs)
    {
        foreach (Mvccpb.KeyValue kv in kvs)
        {
            Strip(kv);
        }
    }

    private void Strip(Mvccpb.KeyValue? kv)
    {
        if (kv is not null)
        {
            kv.Key = UnsafeByteOperations.UnsafeWrap(kv.Key.Memory[prefix.Length..]);
        }
    }
}
