using Etcdserverpb;
using Google.Protobuf;
using Mvccpb;
using Perf.Store.Commands;
using Xunit;

namespace Perf.Store.Tests.Requests;

public sealed class RequestValidatorTests
{
    [Fact]
    public void Puts_are_refused_for_what_they_lack()
    {
        Assert.Equal(StoreError.EmptyKey, Put(new PutRequest()));
        Assert.Equal(StoreError.ValueProvided, Put(new PutRequest { Key = K("a"), Value = K("x"), IgnoreValue = true }));
        Assert.Equal(StoreError.LeaseProvided, Put(new PutRequest { Key = K("a"), Lease = 1, IgnoreLease = true }));
        Assert.Equal(StoreError.None, Put(new PutRequest { Key = K("a"), IgnoreLease = true, IgnoreValue = true }));
        Assert.Equal(StoreError.Malformed, RequestValidator.ValidatePut([0x0A, 5, 1]));
        Assert.Equal(StoreError.Malformed, RequestValidator.ValidatePut([0x08, 5]));
        Assert.Equal(StoreError.EmptyKey, RequestValidator.ValidateDeleteRange([]));
        Assert.Equal(StoreError.EmptyKey, RequestValidator.ValidateRange([]));
        byte[] oddSort = new RangeRequest { Key = K("a"), SortOrder = (RangeRequest.Types.SortOrder)9 }.ToByteArray();
        Assert.Equal(StoreError.None, RequestValidator.ValidateRange(oddSort));
        Assert.Equal(StoreError.InvalidSortOption, RequestValidator.ValidateRange(oddSort, true));
    }

    [Fact]
    public void Op_limit_counts_the_longest_list_and_leaves_the_rest_to_nested_txns()
    {
        var txn = new TxnRequest();
        txn.Success.Add([PutOp("a"), PutOp("b"), PutOp("c")]);
        Assert.Equal(StoreError.TooManyOps, Validate(txn, 2));
        Assert.Equal(StoreError.None, Validate(txn, 3));
        var inner = new TxnRequest();
        inner.Failure.Add([PutOp("d"), PutOp("e")]);
        txn.Success.Add(new RequestOp { RequestTxn = inner });
        Assert.Equal(StoreError.TooManyOps, Validate(txn, 5));
        Assert.Equal(StoreError.None, Validate(txn, 6));
        txn.Failure.Add(new RequestOp());
        Assert.Equal(StoreError.KeyNotFound, Validate(txn, 6));
        txn.Compare.Add(new Compare());
        Assert.Equal(StoreError.EmptyKey, Validate(txn, 6));
    }

    [Fact]
    public void Depth_is_capped()
    {
        var txn = new TxnRequest();
        for (int depth = 1; depth < RequestValidator.TxnDepthMax; depth++)
        {
            txn = new TxnRequest { Success = { new RequestOp { RequestTxn = txn } } };
        }
        Assert.Equal(StoreError.None, Validate(txn, 1000));
        txn = new TxnRequest { Success = { new RequestOp { RequestTxn = txn } } };
        Assert.Equal(StoreError.Malformed, Validate(txn, 1000));
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void Duplicate_keys_are_found_in_a_branch(bool many)
    {
        Assert.Equal(StoreError.None, Branch(many, PutOp("a"), PutOp("b"), DeleteOp("c", "")));
        Assert.Equal(StoreError.DuplicateKey, Branch(many, PutOp("a"), PutOp("a")));
        Assert.Equal(StoreError.DuplicateKey, Branch(many, PutOp("a"), DeleteOp("a", "")));
        Assert.Equal(StoreError.DuplicateKey, Branch(many, DeleteOp("a", "c"), PutOp("b")));
        Assert.Equal(StoreError.None, Branch(many, DeleteOp("a", "c"), PutOp("c")));
        Assert.Equal(StoreError.None, Branch(many, DeleteOp("a", "c"), DeleteOp("b", "d")));
        Assert.Equal(StoreError.DuplicateKey, Branch(many, DeleteOp("a", "c"), DeleteOp("b", "e"), PutOp("d")));

        // As etcd does: "from key on" ends, as a string, before it begins.
        Assert.Equal(StoreError.None, Branch(many, DeleteOp("a", "\0"), PutOp("b")));
    }

    [Fact]
    public void Nested_branches_exclude_each_other_but_not_their_surroundings()
    {
        var inner = new TxnRequest { Success = { PutOp("a") }, Failure = { PutOp("a") } };
        var nested = new RequestOp { RequestTxn = inner };
        Assert.Equal(StoreError.None, Branch(false, nested, PutOp("b")));
        Assert.Equal(StoreError.DuplicateKey, Branch(false, nested, PutOp("a")));
        Assert.Equal(StoreError.DuplicateKey, Branch(false, nested, nested));
        Assert.Equal(StoreError.DuplicateKey, Branch(false, nested, DeleteOp("a", "")));
        var deleting = new RequestOp { RequestTxn = new TxnRequest { Failure = { DeleteOp("a", "c") } } };
        Assert.Equal(StoreError.DuplicateKey, Branch(false, deleting, PutOp("b")));
        var both = new TxnRequest { Success = { PutOp("a") }, Failure = { PutOp("a") } };
        Assert.Equal(StoreError.None, Validate(both, 10));
    }

    [Fact]
    public void Only_plain_ranges_make_a_read()
    {
        var txn = new TxnRequest();
        Assert.False(RequestValidator.IsWriteTxn(txn.ToByteArray(), out bool serializable));
        Assert.True(serializable);
        txn.Failure.Add(new RequestOp { RequestRange = new RangeRequest { Key = K("a"), Serializable = true } });
        Assert.False(RequestValidator.IsWriteTxn(txn.ToByteArray(), out serializable));
        Assert.True(serializable);
        txn.Success.Add(new RequestOp { RequestRange = new RangeRequest { Key = K("a") } });
        Assert.False(RequestValidator.IsWriteTxn(txn.ToByteArray(), out serializable));
        Assert.False(serializable);
        txn.Success.Add(new RequestOp { RequestTxn = new TxnRequest() });
        Assert.True(RequestValidator.IsWriteTxn(txn.ToByteArray(), out _));
    }

    [Fact]
    public void Cost_is_that_of_the_dearer_branch()
    {
        var inner = new TxnRequest { Success = { PutOp("abc") } };
        var txn = new TxnRequest { Success = { PutOp("a"), new RequestOp { RequestTxn = inner } }, Failure = { PutOp("b") } };
        Assert.Equal(256 + 1 + 1 + 256 + 3 + 1, QuotaCost.Txn(txn.ToByteArray()));
    }

    [Fact]
    public void Key_values_are_written_as_protobuf_writes_them()
    {
        var random = new Random(4);
        for (int i = 0; i < 2000; i++)
        {
            var message = new KeyValue
            {
                Key = Bytes(random, 300),
                CreateRevision = Number(random),
                ModRevision = Number(random),
                Version = Number(random),
                Value = Bytes(random, 300),
                Lease = Number(random),
            };
            byte[] target = new byte[1000];
            int bytes = KeyValueCodec.Write(
                target,
                message.Key.Span,
                message.CreateRevision,
                message.ModRevision,
                message.Version,
                message.Value.Span,
                message.Lease);
            Assert.Equal(message.ToByteArray(), target[..bytes]);
            Assert.Equal(bytes, KeyValueCodec.Bytes(
                message.Key.Length,
                message.CreateRevision,
                message.ModRevision,
                message.Version,
                message.Value.Length,
                message.Lease));
            Assert.True(KeyValueView.TryParse(target.AsSpan(0, bytes), out KeyValueView view));
            Assert.Equal(message.Value.ToByteArray(), view.Value.ToArray());
            Assert.Equal(message.Lease, view.Lease);
        }
    }

    [Fact]
    public void Internal_requests_are_a_prefix_before_the_clients_bytes()
    {
        var put = new PutRequest { Key = K("a"), Value = K("b") };
        byte[] body = put.ToByteArray();
        int prefix = InternalRequestCodec.PrefixBytes(77, "root"u8, 3, InternalField.Put, body.Length);
        byte[] entry = new byte[prefix + body.Length];
        Assert.Equal(prefix, InternalRequestCodec.WritePrefix(entry, 77, "root"u8, 3, InternalField.Put, body.Length));
        body.CopyTo(entry, prefix);
        InternalRaftRequest parsed = InternalRaftRequest.Parser.ParseFrom(entry);
        Assert.Equal(put, parsed.Put);
        Assert.Equal(77UL, parsed.Header.ID);
        Assert.True(InternalRequestView.TryParse(entry, out InternalRequestView view));
        Assert.Equal((77UL, 3UL, InternalField.Put), (view.Id, view.AuthRevision, view.Field));
        Assert.Equal("root"u8, view.Username);
        Assert.Equal(body, view.Body.ToArray());
    }

    private static ByteString K(string text) => ByteString.CopyFromUtf8(text);

    private static ByteString Bytes(Random random, int max)
    {
        byte[] bytes = new byte[random.Next(3) == 0 ? 0 : random.Next(max)];
        random.NextBytes(bytes);
        return ByteString.CopyFrom(bytes);
    }

    private static long Number(Random random) => random.Next(4) switch
    {
        0 => 0,
        1 => random.NextInt64(),
        2 => -1,
        _ => random.Next(300),
    };

    private static StoreError Put(PutRequest put) => RequestValidator.ValidatePut(put.ToByteArray());

    private static StoreError Validate(TxnRequest txn, int opsMax) =>
        RequestValidator.ValidateTxn(txn.ToByteArray(), opsMax);

    /// <summary>Padded with other keys when asked, so that the large branch's way is taken.</summary>
    private static StoreError Branch(bool many, params RequestOp[] ops)
    {
        var txn = new TxnRequest();
        txn.Failure.Add(ops);
        for (int i = 0; many && i < 20; i++)
        {
            txn.Failure.Add(PutOp($"z{i}"));
        }
        return Validate(txn, 128);
    }

    private static RequestOp PutOp(string key) =>
        new() { RequestPut = new PutRequest { Key = K(key), Value = K("v") } };

    private static RequestOp DeleteOp(string key, string end) =>
        new() { RequestDeleteRange = new DeleteRangeRequest { Key = K(key), RangeEnd = K(end) } };
}
