namespace Perf.Client;

/// <summary>Keys and values. Thread-safe.</summary>
public sealed class Kv
{
    private readonly Caller _caller;
    private readonly Prefixing? _prefixing;

    internal Kv(Caller caller, Prefixing? prefixing = null)
    {
        _caller = caller;
        _prefixing = prefixing;
    }

    /// <summary>Reads a key or a range of keys.</summary>
    public async Task<GetResponse> GetAsync(
        Bytes key, GetOptions? options = null, CancellationToken cancellation = default) =>
        GetResponse.From(Outside(await _caller.UnaryAsync(
            "/etcdserverpb.KV/Range",
            Inside((options ?? new GetOptions()).ToRequest(key)),
            Etcdserverpb.RangeResponse.Parser,
            Repeat.WhenUnavailable,
            cancellation).ConfigureAwait(false)));

    /// <summary>
    /// The same, fetched in pieces that are all of one revision: for answers larger than a message may be. Known to etcd
    /// since 3.7; older ones refuse it with <see cref="RpcCode.Unimplemented"/>. Not repeated when it fails midway.
    /// </summary>
    public async Task<GetResponse> GetInPiecesAsync(
        Bytes key, GetOptions? options = null, CancellationToken cancellation = default)
    {
        Duplex<Etcdserverpb.RangeRequest, Etcdserverpb.RangeStreamResponse> stream =
            await _caller.OpenAsync<Etcdserverpb.RangeRequest, Etcdserverpb.RangeStreamResponse>(
                "/etcdserverpb.KV/RangeStream",
                Etcdserverpb.RangeStreamResponse.Parser,
                requireLeader: false,
                endpoint: null,
                cancellation).ConfigureAwait(false);
        await using (stream.ConfigureAwait(false))
        {
            await stream.SendAsync(Inside((options ?? new GetOptions()).ToRequest(key)), cancellation).ConfigureAwait(false);
            await stream.CompleteAsync().ConfigureAwait(false);
            var whole = new Etcdserverpb.RangeResponse();
            while (await stream.ReceiveAsync().ConfigureAwait(false) is { } piece)
            {
                whole.MergeFrom(piece.RangeResponse);
            }

            return GetResponse.From(Outside(whole));
        }
    }

    /// <summary>
    /// Writes a key. When it throws with <see cref="RpcCode.Unavailable"/>, <see cref="RpcCode.DeadlineExceeded"/> or
    /// a cancellation, the write may or may not have been applied.
    /// </summary>
    public async Task<PutResponse> PutAsync(
        Bytes key, Bytes value, PutOptions? options = null, CancellationToken cancellation = default) =>
        PutResponse.From(Outside(await _caller.UnaryAsync(
            "/etcdserverpb.KV/Put",
            Inside((options ?? new PutOptions()).ToRequest(key, value)),
            Etcdserverpb.PutResponse.Parser,
            Repeat.WhenNotSent,
            cancellation).ConfigureAwait(false)));

    /// <summary>Deletes a key or a range of keys; what <see cref="PutAsync"/> says of doubt holds here too.</summary>
    public async Task<DeleteResponse> DeleteAsync(
        Bytes key, DeleteOptions? options = null, CancellationToken cancellation = default) =>
        DeleteResponse.From(Outside(await _caller.UnaryAsync(
            "/etcdserverpb.KV/DeleteRange",
            Inside((options ?? new DeleteOptions()).ToRequest(key)),
            Etcdserverpb.DeleteRangeResponse.Parser,
            Repeat.WhenNotSent,
            cancellation).ConfigureAwait(false)));

    /// <summary>Starts a transaction: <c>Txn().If(..).Then(..).Else(..).CommitAsync()</c>.</summary>
    public Txn Txn() => new(this);

    /// <summary>Forgets history before a revision. With <paramref name="physical"/> waits until it is gone from disk.</summary>
    public async Task<EtcdResponse> CompactAsync(
        long revision, bool physical = false, CancellationToken cancellation = default)
    {
        Etcdserverpb.CompactionResponse answer = await _caller.UnaryAsync(
            "/etcdserverpb.KV/Compact",
            new Etcdserverpb.CompactionRequest { Revision = revision, Physical = physical },
            Etcdserverpb.CompactionResponse.Parser,
            Repeat.WhenNotSent,
            cancellation).ConfigureAwait(false);
        return EtcdResponse.From(answer.Header, answer);
    }

    internal async Task<TxnResponse> CommitAsync(Etcdserverpb.TxnRequest request, CancellationToken cancellation) =>
        TxnResponse.From(Outside(await _caller.UnaryAsync(
            "/etcdserverpb.KV/Txn",
            _prefixing?.Into(request) ?? request,
            Etcdserverpb.TxnResponse.Parser,
            Repeat.WhenNotSent,
            cancellation).ConfigureAwait(false)));

    private Etcdserverpb.RangeRequest Inside(Etcdserverpb.RangeRequest m) => _prefixing?.Into(m) ?? m;

    private Etcdserverpb.PutRequest Inside(Etcdserverpb.PutRequest m) => _prefixing?.Into(m) ?? m;

    private Etcdserverpb.DeleteRangeRequest Inside(Etcdserverpb.DeleteRangeRequest m) => _prefixing?.Into(m) ?? m;

    private Etcdserverpb.RangeResponse Outside(Etcdserverpb.RangeResponse m) => _prefixing?.OutOf(m) ?? m;

    private Etcdserverpb.PutResponse Outside(Etcdserverpb.PutResponse m) => _prefixing?.OutOf(m) ?? m;

    private Etcdserverpb.DeleteRangeResponse Outside(Etcdserverpb.DeleteRangeResponse m) =>
        _prefixing?.OutOf(m) ?? m;

    private Etcdserverpb.TxnResponse Outside(Etcdserverpb.TxnResponse m) => _prefixing?.OutOf(m) ?? m;
}

/// <summary>Builds a transaction. For one thread; commit it once.</summary>
public sealed class Txn
{
    private readonly Kv _kv;
    private readonly List<Compare> _compares = [];
    private readonly List<Op> _success = [];
    private readonly List<Op> _failure = [];

    internal Txn(Kv kv) => _kv = kv;

    /// <summary>Adds conditions; all must hold for the success branch to run.</summary>
    public Txn If(params IEnumerable<Compare> compares)
    {
        _compares.AddRange(compares);
        return this;
    }

    /// <summary>Adds operations to the success branch.</summary>
    public Txn Then(params IEnumerable<Op> operations)
    {
        _success.AddRange(operations);
        return this;
    }

    /// <summary>Adds operations to the failure branch.</summary>
    public Txn Else(params IEnumerable<Op> operations)
    {
        _failure.AddRange(operations);
        return this;
    }

    /// <summary>Sends the transaction; what <see cref="Kv.PutAsync"/> says of doubt holds here too.</summary>
    public Task<TxnResponse> CommitAsync(CancellationToken cancellation = default) =>
        _kv.CommitAsync(Wire.Txn(_compares, _success, _failure), cancellation);
}
