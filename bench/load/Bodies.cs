using System.Buffers.Binary;
using Etcdserverpb;
using Google.Protobuf;

namespace Perf.Bench.Load;

/// <summary>The requests the scenarios are made of: framed, the same for every server.</summary>
internal static class Bodies
{
    /// <summary>Operations of a transaction that fills: etcd's limit.</summary>
    public const int FillOps = 128;

    private static readonly byte[] PutHeaders = Http2Connection.HeadersOf("/etcdserverpb.KV/Put");
    private static readonly byte[] RangeHeaders = Http2Connection.HeadersOf("/etcdserverpb.KV/Range");
    private static readonly byte[] TxnHeaders = Http2Connection.HeadersOf("/etcdserverpb.KV/Txn");
    private static readonly byte[] GrantHeaders = Http2Connection.HeadersOf("/etcdserverpb.Lease/LeaseGrant");
    private static readonly byte[] CompactHeaders = Http2Connection.HeadersOf("/etcdserverpb.KV/Compact");
    private static readonly byte[] DefragmentHeaders = Http2Connection.HeadersOf("/etcdserverpb.Maintenance/Defragment");
    private static readonly byte[] SnapshotHeaders = Http2Connection.HeadersOf("/etcdserverpb.Maintenance/Snapshot");

    /// <summary>The usual value, made once: garbage of the generator is time taken from the server.</summary>
    private static readonly ByteString Zeros = ByteString.CopyFrom(new byte[256]);

    public static Call Put(string key, int bytes) => Put(key, bytes == Zeros.Length ? Zeros : ByteString.CopyFrom(new byte[bytes]));

    public static Call Put(string key, byte[] value) => Put(key, ByteString.CopyFrom(value));

    public static Call Get(string key, bool serializable = false) => new(RangeHeaders, Frame(new RangeRequest
    {
        Key = ByteString.CopyFromUtf8(key),
        Serializable = serializable,
    }));

    /// <summary>A thousand keys of the filled ones, from the given one on.</summary>
    public static Call Page(string from) => new(RangeHeaders, Frame(new RangeRequest
    {
        Key = ByteString.CopyFromUtf8(from),
        RangeEnd = ByteString.CopyFromUtf8("key0"),
        Limit = 1000,
        Serializable = true,
    }));

    public static Call Txn(string key)
    {
        ByteString name = ByteString.CopyFromUtf8(key);
        var txn = new TxnRequest();
        txn.Compare.Add(new Compare
        {
            Key = name,
            Target = Compare.Types.CompareTarget.Version,
            Result = Compare.Types.CompareResult.Greater,
            Version = 0,
        });
        txn.Success.Add(new RequestOp
        {
            RequestPut = new PutRequest { Key = name, Value = ByteString.CopyFrom(new byte[256]) },
        });
        txn.Success.Add(new RequestOp { RequestRange = new RangeRequest { Key = name } });
        return new Call(TxnHeaders, Frame(txn));
    }

    /// <summary>Puts a run of keys at once.</summary>
    public static Call Fill(int from, int count, int bytes)
    {
        var txn = new TxnRequest();
        ByteString value = ByteString.CopyFrom(new byte[bytes]);
        for (int i = from; i < from + count; i++)
        {
            txn.Success.Add(new RequestOp
            {
                RequestPut = new PutRequest { Key = ByteString.CopyFromUtf8(Key(i)), Value = value },
            });
        }

        return new Call(TxnHeaders, Frame(txn));
    }

    /// <summary>Compacts, and waits until the records have left the file.</summary>
    public static Call Compact(long revision) =>
        new(CompactHeaders, Frame(new CompactionRequest { Revision = revision, Physical = true }));

    public static Call Defragment() => new(DefragmentHeaders, Frame(new DefragmentRequest()));

    /// <summary>Takes a snapshot.</summary>
    public static Call Snapshot() => new(SnapshotHeaders, Frame(new SnapshotRequest()));

    public static Call Grant(long id) => new(GrantHeaders, Frame(new LeaseGrantRequest { ID = id, TTL = 600 }));

    /// <summary>The i-th filled key.</summary>
    public static string Key(long i) => $"key/{i:d9}";

    /// <summary>A fixed walk over the first so many keys that looks random: the same for every server.</summary>
    public static string RandomKey(int i, int keys) => Key(i * 7_368_787L % keys);

    /// <summary>A message behind gRPC's five bytes.</summary>
    public static byte[] Frame(IMessage message)
    {
        int bytes = message.CalculateSize();
        byte[] frame = new byte[bytes + 5];
        BinaryPrimitives.WriteInt32BigEndian(frame.AsSpan(1), bytes);
        message.WriteTo(frame.AsSpan(5));
        return frame;
    }

    private static Call Put(string key, ByteString value) => new(PutHeaders, Frame(new PutRequest
    {
        Key = ByteString.CopyFromUtf8(key),
        Value = value,
    }));
}
