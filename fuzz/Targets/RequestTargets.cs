using Etcdserverpb;
using Google.Protobuf;
using Perf.Store;
using Perf.Store.Commands;

namespace Perf.Fuzz.Targets;

/// <summary>
/// Requests read in place against Google's parser: what both accept has the same content, and what it writes
/// we accept.
/// </summary>
internal abstract class RequestTarget<T>(string name, MessageParser<T> parser) : FuzzTarget(name)
    where T : class, IMessage<T>
{
    private const int RecursionMax = 1000;

    public override byte[] Change(Mutator mutator, IReadOnlyList<byte[]> corpus) => mutator.Fields(corpus);

    public override void Run(ReadOnlySpan<byte> input)
    {
        byte[] bytes = input.ToArray();
        T? reference = null;
        try
        {
            reference = parser.WithDiscardUnknownFields(true).ParseFrom(
                CodedInputStream.CreateWithLimits(new MemoryStream(bytes), int.MaxValue, RecursionMax));
        }
        catch (InvalidProtocolBufferException)
        {
        }

        bool accepted = Accepts(bytes);
        // Like etcd's own reader, ours counts groups without comparing their numbers and leaves bodies to who reads them.
        if (accepted && reference is not null)
        {
            Enter();
            Compare(bytes, reference);
        }

        if (reference is not null && IsModest(reference))
        {
            byte[] canonical = reference.ToByteArray();
            Require(Accepts(canonical), "refused a message as Google writes it");
            Compare(canonical, reference);
        }
    }

    protected abstract bool Accepts(ReadOnlySpan<byte> bytes);

    /// <summary>Not so deep that we may refuse it.</summary>
    protected virtual bool IsModest(T reference) => true;

    protected abstract void Compare(ReadOnlySpan<byte> bytes, T reference);
}

internal sealed class PutTarget() : RequestTarget<PutRequest>("put", PutRequest.Parser)
{
    public override IEnumerable<byte[]> Seeds() =>
    [
        new PutRequest { Key = ByteString.CopyFromUtf8("key"), Value = ByteString.CopyFromUtf8("value") }.ToByteArray(),
        new PutRequest { Key = ByteString.CopyFromUtf8("k"), Lease = long.MaxValue, PrevKv = true, IgnoreValue = true }.ToByteArray(),
        new PutRequest { Lease = -1, IgnoreLease = true }.ToByteArray(),
    ];

    protected override bool Accepts(ReadOnlySpan<byte> bytes)
    {
        bool accepted = PutView.TryParse(bytes, out _);
        RequireEqual(accepted, RequestValidator.ValidatePut(bytes) != StoreError.Malformed, "validator and view");
        return accepted;
    }

    protected override void Compare(ReadOnlySpan<byte> bytes, PutRequest reference)
    {
        PutView.TryParse(bytes, out PutView view);
        RequireSame(reference.Key.Span, view.Key, "key");
        RequireSame(reference.Value.Span, view.Value, "value");
        RequireEqual(reference.Lease, IsPlanted ? (int)view.Lease : view.Lease, "lease");
        RequireEqual(
            (reference.PrevKv, reference.IgnoreValue, reference.IgnoreLease),
            (view.PrevKv, view.IgnoreValue, view.IgnoreLease),
            "switches");
        StoreError expected = reference.Key.IsEmpty ? StoreError.EmptyKey
            : reference.IgnoreValue && !reference.Value.IsEmpty ? StoreError.ValueProvided
            : reference.IgnoreLease && reference.Lease != 0 ? StoreError.LeaseProvided
            : StoreError.None;
        RequireEqual(expected, RequestValidator.ValidatePut(bytes), "verdict");
    }
}

internal sealed class RangeTarget() : RequestTarget<RangeRequest>("range", RangeRequest.Parser)
{
    public override IEnumerable<byte[]> Seeds() =>
    [
        new RangeRequest { Key = ByteString.CopyFromUtf8("a"), RangeEnd = ByteString.CopyFrom(0), Limit = 5, Revision = 1L << 40 }.ToByteArray(),
        new RangeRequest
        {
            Key = ByteString.CopyFromUtf8("a"), Serializable = true, KeysOnly = true, CountOnly = true, MinModRevision = 1,
            MaxModRevision = 2, MinCreateRevision = 3, MaxCreateRevision = 4, SortOrder = (RangeRequest.Types.SortOrder)2,
            SortTarget = (RangeRequest.Types.SortTarget)3,
        }.ToByteArray(),
    ];

    protected override bool Accepts(ReadOnlySpan<byte> bytes) => RangeView.TryParse(bytes, out _);

    protected override void Compare(ReadOnlySpan<byte> bytes, RangeRequest reference)
    {
        RangeView.TryParse(bytes, out RangeView view);
        RequireSame(reference.Key.Span, view.Key, "key");
        RequireSame(reference.RangeEnd.Span, view.RangeEnd, "end");
        RequireEqual((reference.Limit, reference.Revision), (view.Limit, IsPlanted ? (uint)view.Revision : view.Revision), "limit, revision");
        RequireEqual(((int)reference.SortOrder, (int)reference.SortTarget), ((int)view.SortOrder, (int)view.SortTarget), "sort");
        RequireEqual(
            (reference.Serializable, reference.KeysOnly, reference.CountOnly),
            (view.Serializable, view.KeysOnly, view.CountOnly),
            "switches");
        RequireEqual(
            (reference.MinModRevision, reference.MaxModRevision, reference.MinCreateRevision, reference.MaxCreateRevision),
            (view.MinModRevision, view.MaxModRevision, view.MinCreateRevision, view.MaxCreateRevision),
            "filters");
        RequireEqual(
            reference.Key.IsEmpty ? StoreError.EmptyKey : StoreError.None, RequestValidator.ValidateRange(bytes), "verdict");
    }
}

internal sealed class DeleteRangeTarget() : RequestTarget<DeleteRangeRequest>("delete", DeleteRangeRequest.Parser)
{
    public override IEnumerable<byte[]> Seeds() =>
    [
        new DeleteRangeRequest { Key = ByteString.CopyFromUtf8("a"), RangeEnd = ByteString.CopyFromUtf8("b"), PrevKv = true }.ToByteArray(),
    ];

    protected override bool Accepts(ReadOnlySpan<byte> bytes) => DeleteRangeView.TryParse(bytes, out _);

    protected override void Compare(ReadOnlySpan<byte> bytes, DeleteRangeRequest reference)
    {
        DeleteRangeView.TryParse(bytes, out DeleteRangeView view);
        RequireSame(reference.Key.Span, view.Key, "key");
        RequireSame(IsPlanted ? default : view.RangeEnd, reference.RangeEnd.Span, "end");
        RequireEqual(reference.PrevKv, view.PrevKv, "prev_kv");
        RequireEqual(
            reference.Key.IsEmpty ? StoreError.EmptyKey : StoreError.None, RequestValidator.ValidateDeleteRange(bytes), "verdict");
    }
}

internal sealed class TxnTarget() : RequestTarget<TxnRequest>("txn", TxnRequest.Parser)
{
    private const int OpsMax = 128;

    public override IEnumerable<byte[]> Seeds()
    {
        var put = new RequestOp { RequestPut = new PutRequest { Key = ByteString.CopyFromUtf8("k"), Value = ByteString.CopyFromUtf8("v") } };
        var range = new RequestOp { RequestRange = new RangeRequest { Key = ByteString.CopyFromUtf8("k") } };
        var delete = new RequestOp
        {
            RequestDeleteRange = new DeleteRangeRequest { Key = ByteString.CopyFromUtf8("j"), RangeEnd = ByteString.CopyFromUtf8("l") },
        };
        var compare = new Compare { Key = ByteString.CopyFromUtf8("k"), ModRevision = 7, Target = (Compare.Types.CompareTarget)2 };
        var inner = new TxnRequest { Compare = { compare }, Success = { put }, Failure = { range, delete } };
        yield return inner.ToByteArray();
        yield return new TxnRequest { Success = { new RequestOp { RequestTxn = inner }, range }, Failure = { put } }.ToByteArray();
        yield return new TxnRequest { Success = { put, put }, Failure = { put, delete } }.ToByteArray();
    }

    protected override bool Accepts(ReadOnlySpan<byte> bytes) =>
        RequestValidator.ValidateTxn(bytes, OpsMax) != StoreError.Malformed;

    protected override bool IsModest(TxnRequest reference) => Depth(reference) <= RequestValidator.TxnDepthMax;

    protected override void Compare(ReadOnlySpan<byte> bytes, TxnRequest reference)
    {
        Require(TxnView.TryParse(bytes, out TxnView view), "validated, yet unreadable");
        int planted = IsPlanted && view.FailureCount > 0 ? 1 : 0;
        RequireEqual(
            (reference.Compare.Count, reference.Success.Count, reference.Failure.Count),
            (view.CompareCount, view.SuccessCount, view.FailureCount + planted),
            "counts");
        RequireEqual(IsWrite(reference), RequestValidator.IsWriteTxn(bytes, out _), "is a write");
        int at = 0;
        foreach (ReadOnlySpan<byte> part in view.Branch(true))
        {
            Require(RequestOpView.TryParse(part, out RequestOpView op), "an op of a valid txn is unreadable");
            string kind = reference.Success[at++].RequestCase.ToString();
            string ours = op.Kind.ToString();
            Require(kind == ours || kind == "Request" + ours, $"op is {kind}, read as {ours}");
        }

        RequestValidator.IsApplicableTxn(bytes);
    }

    private static bool IsWrite(TxnRequest txn) =>
        txn.Success.Concat(txn.Failure).Any(op => op.RequestCase != RequestOp.RequestOneofCase.RequestRange);

    private static int Depth(TxnRequest txn) => 1 + txn.Success.Concat(txn.Failure)
        .Select(op => op.RequestTxn is null ? 0 : Depth(op.RequestTxn)).DefaultIfEmpty(0).Max();
}

internal sealed class InternalRequestTarget() : RequestTarget<InternalRaftRequest>("internal", InternalRaftRequest.Parser)
{
    public override IEnumerable<byte[]> Seeds() =>
    [
        new InternalRaftRequest
        {
            Header = new RequestHeader { ID = 77, Username = "root", AuthRevision = 3 },
            Put = new PutRequest { Key = ByteString.CopyFromUtf8("k"), Value = ByteString.CopyFromUtf8("v") },
        }.ToByteArray(),
        new InternalRaftRequest { ID = 5, Compaction = new CompactionRequest { Revision = 9, Physical = true } }.ToByteArray(),
    ];

    protected override bool Accepts(ReadOnlySpan<byte> bytes) => InternalRequestView.TryParse(bytes, out _);

    protected override bool IsModest(InternalRaftRequest reference) => true;

    protected override void Compare(ReadOnlySpan<byte> bytes, InternalRaftRequest reference)
    {
        InternalRequestView.TryParse(bytes, out InternalRequestView view);
        ulong id = reference.ID != 0 ? reference.ID : reference.Header?.ID ?? 0;
        RequireEqual(id, IsPlanted ? 0 : view.Id, "id");
        RequireEqual(reference.Header?.AuthRevision ?? 0, view.AuthRevision, "auth revision");
        if (view.Field == InternalField.Put && reference.Put is not null && PutView.TryParse(view.Body, out PutView put))
        {
            // Of two puts in one entry, which nobody writes, the last counts; Google's reader would make one of them.
            RequireSame(PutRequest.Parser.ParseFrom(view.Body).Key.Span, put.Key, "put.key");
        }
    }
}
