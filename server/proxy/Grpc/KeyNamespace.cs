using Etcdserverpb;
using Google.Protobuf;
using Mvccpb;

namespace Perf.Proxy.Grpc;

/// <summary>Puts a prefix before the keys of requests and takes it off those of answers. Without a prefix it does nothing.</summary>
internal sealed class KeyNamespace(string prefix)
{
    private readonly ByteString _prefix = ByteString.CopyFromUtf8(prefix);

    public bool IsNone => _prefix.Length == 0;

    public ByteString Add(ByteString key) => ByteString.CopyFrom([.. _prefix.Span, .. key.Span]);

    public ByteString Remove(ByteString key) =>
        key.Span.StartsWith(_prefix.Span) ? ByteString.CopyFrom(key.Span[_prefix.Length..]) : key;

    /// <summary>The end of a range, where "\0" stands for: to the last key.</summary>
    public ByteString AddEnd(ByteString end)
    {
        if (end.IsEmpty)
        {
            return end;
        }

        if (end.Length > 1 || end[0] != 0)
        {
            return Add(end);
        }

        // The first key behind all that begin with the prefix.
        byte[] after = _prefix.ToByteArray();
        for (int i = after.Length - 1; i >= 0; i--)
        {
            if (after[i] < byte.MaxValue)
            {
                after[i]++;
                return ByteString.CopyFrom(after.AsSpan(0, i + 1));
            }
        }

        return end;
    }

    public void Apply(RangeRequest request)
    {
        if (!IsNone)
        {
            request.Key = request.Key.IsEmpty ? request.Key : Add(request.Key);
            request.RangeEnd = AddEnd(request.RangeEnd);
        }
    }

    public void Apply(PutRequest request)
    {
        if (!IsNone && !request.Key.IsEmpty)
        {
            request.Key = Add(request.Key);
        }
    }

    public void Apply(DeleteRangeRequest request)
    {
        if (!IsNone)
        {
            request.Key = request.Key.IsEmpty ? request.Key : Add(request.Key);
            request.RangeEnd = AddEnd(request.RangeEnd);
        }
    }

    public void Apply(TxnRequest request)
    {
        if (IsNone)
        {
            return;
        }

        foreach (Compare compare in request.Compare)
        {
            compare.Key = compare.Key.IsEmpty ? compare.Key : Add(compare.Key);
            compare.RangeEnd = AddEnd(compare.RangeEnd);
        }

        foreach (RequestOp op in request.Success.Concat(request.Failure))
        {
            switch (op.RequestCase)
            {
                case RequestOp.RequestOneofCase.RequestRange:
                    Apply(op.RequestRange);
                    break;
                case RequestOp.RequestOneofCase.RequestPut:
                    Apply(op.RequestPut);
                    break;
                case RequestOp.RequestOneofCase.RequestDeleteRange:
                    Apply(op.RequestDeleteRange);
                    break;
                case RequestOp.RequestOneofCase.RequestTxn:
                    Apply(op.RequestTxn);
                    break;
            }
        }
    }

    public void Strip(RangeResponse answer) => Strip(answer.Kvs);

    public void Strip(PutResponse answer) => Strip(answer.PrevKv);

    public void Strip(DeleteRangeResponse answer) => Strip(answer.PrevKvs);

    public void Strip(TxnResponse answer)
    {
        if (IsNone)
        {
            return;
        }

        foreach (ResponseOp op in answer.Responses)
        {
            switch (op.ResponseCase)
            {
                case ResponseOp.ResponseOneofCase.ResponseRange:
                    Strip(op.ResponseRange);
                    break;
                case ResponseOp.ResponseOneofCase.ResponsePut:
                    Strip(op.ResponsePut);
                    break;
                case ResponseOp.ResponseOneofCase.ResponseDeleteRange:
                    Strip(op.ResponseDeleteRange);
                    break;
                case ResponseOp.ResponseOneofCase.ResponseTxn:
                    Strip(op.ResponseTxn);
                    break;
            }
        }
    }

    public void Strip(IEnumerable<KeyValue> kvs)
    {
        if (!IsNone)
        {
            foreach (KeyValue kv in kvs)
            {
                kv.Key = Remove(kv.Key);
            }
        }
    }

    public void Strip(KeyValue? kv)
    {
        if (!IsNone && kv is not null)
        {
            kv.Key = Remove(kv.Key);
        }
    }
}
