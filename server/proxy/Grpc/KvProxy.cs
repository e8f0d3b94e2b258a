using Etcdserverpb;
using Google.Protobuf;
using Perf.Grpc;
using Metadata = Perf.Grpc.Metadata;

namespace Perf.Proxy.Grpc;

/// <summary>KV through the proxy: namespace, the cache of reads, order among serializable reads.</summary>
internal sealed class KvProxy(Upstream upstream, KeyNamespace keys, ProxyFigures figures, bool isOrdered)
{
    private const int OrderedAttemptsMax = 5;

    private readonly ReadCache _cache = new();
    private long _newest;

    public ReadCache Cache => _cache;

    public void Map(GrpcRouter router)
    {
        router.Map("/etcdserverpb.KV/Range", MethodKind.Unary, RangeAsync);
        router.Map("/etcdserverpb.KV/Put", MethodKind.Unary, PutAsync);
        router.Map("/etcdserverpb.KV/DeleteRange", MethodKind.Unary, DeleteAsync);
        router.Map("/etcdserverpb.KV/Txn", MethodKind.Unary, TxnAsync);
        router.Map("/etcdserverpb.KV/Compact", MethodKind.Unary, CompactAsync);
    }

    private async ValueTask RangeAsync(ServerCall call)
    {
        await call.ReadMessageAsync().ConfigureAwait(false);
        RangeRequest request = RangeRequest.Parser.Read(call);
        keys.Apply(request);
        ByteString key = ReadCache.Key(request, call.TryGetHeader("token", out string who) ? who : "");
        if (request.Serializable)
        {
            if (_cache.Find(key) is { } kept)
            {
                figures.Hit();
                call.WriteMessage(kept.Span);
                return;
            }

            figures.Miss();
        }

        RangeResponse answer = await OrderedAsync(call, request).ConfigureAwait(false);
        keys.Strip(answer);
        byte[] bytes = answer.ToByteArray();
        _cache.Add(key, request, bytes);
        call.WriteMessage(bytes);
    }

    private async Task<RangeResponse> OrderedAsync(ServerCall call, RangeRequest request)
    {
        Metadata headers = Upstream.Headers(call);
        for (int attempt = 1; ; attempt++)
        {
            RangeResponse answer = await upstream.CallAsync<RangeResponse>(
                call.Path, request, headers, call.Deadline, mayRepeat: true, call.Cancelled).ConfigureAwait(false);
            long newest = Volatile.Read(ref _newest);
            if (isOrdered && request.Serializable && answer.Header.Revision < newest)
            {
                // The next member may have come further; in the end the cluster itself is asked.
                request.Serializable = attempt < OrderedAttemptsMax;
                continue;
            }

            InterlockedMax(ref _newest, answer.Header.Revision);
            return answer;
        }
    }

    private ValueTask PutAsync(ServerCall call) => ChangeAsync<PutRequest, PutResponse>(
        call, PutRequest.Parser, keys.Apply, keys.Strip, request => _cache.Invalidate(request.Key, ByteString.Empty));

    private ValueTask DeleteAsync(ServerCall call) => ChangeAsync<DeleteRangeRequest, DeleteRangeResponse>(
        call, DeleteRangeRequest.Parser, keys.Apply, keys.Strip, request => _cache.Invalidate(request.Key, request.RangeEnd));

    private ValueTask TxnAsync(ServerCall call) =>
        ChangeAsync<TxnRequest, TxnResponse>(call, TxnRequest.Parser, keys.Apply, keys.Strip, Invalidate);

    /// <summary>A call that writes: what it touches is forgotten, also when it failed, since it may have been applied.</summary>
    private async ValueTask ChangeAsync<TRequest, TResponse>(
        ServerCall call,
        MessageParser<TRequest> parser,
        Action<TRequest> apply,
        Action<TResponse> strip,
        Action<TRequest> invalidate)
        where TRequest : IMessage<TRequest>
        where TResponse : IMessage<TResponse>, new()
    {
        await call.ReadMessageAsync().ConfigureAwait(false);
        TRequest request = parser.Read(call);
        apply(request);
        try
        {
            TResponse answer = await WriteAsync<TResponse>(call, request).ConfigureAwait(false);
            strip(answer);
            Answer(call, answer);
        }
        finally
        {
            invalidate(request);
        }
    }

    private async ValueTask CompactAsync(ServerCall call)
    {
        await call.ReadMessageAsync().ConfigureAwait(false);
        CompactionRequest request = CompactionRequest.Parser.Read(call);
        Answer(call, await WriteAsync<CompactionResponse>(call, request).ConfigureAwait(false));
        _cache.Compact(request.Revision);
    }

    private Task<T> WriteAsync<T>(ServerCall call, IMessage request)
        where T : IMessage<T>, new() => upstream.CallAsync<T>(
            call.Path, request, Upstream.Headers(call), call.Deadline, mayRepeat: false, call.Cancelled);

    private static void Answer(ServerCall call, IMessage answer)
    {
        int bytes = answer.CalculateSize();
        answer.WriteTo(call.StartMessage(bytes));
    }

    private void Invalidate(TxnRequest request)
    {
        foreach (RequestOp op in request.Success.Concat(request.Failure))
        {
            switch (op.RequestCase)
            {
                case RequestOp.RequestOneofCase.RequestPut:
                    _cache.Invalidate(op.RequestPut.Key, ByteString.Empty);
                    break;
                case RequestOp.RequestOneofCase.RequestDeleteRange:
                    _cache.Invalidate(op.RequestDeleteRange.Key, op.RequestDeleteRange.RangeEnd);
                    break;
                case RequestOp.RequestOneofCase.RequestTxn:
                    Invalidate(op.RequestTxn);
                    break;
            }
        }
    }

    private static void InterlockedMax(ref long target, long value)
    {
        long seen = Volatile.Read(ref target);
        while (value > seen)
        {
            long before = Interlocked.CompareExchange(ref target, value, seen);
            if (before == seen)
            {
                return;
            }

            seen = before;
        }
    }
}
