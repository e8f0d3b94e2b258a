using System.Globalization;
using System.Text;
using Etcdserverpb;
using Google.Protobuf;
using Mvccpb;
using Perf.Grpc;
using Perf.Rpc.InProcess;

namespace Perf.Rpc.Concurrency;

/// <summary>
/// The recipe under locks and elections: everybody puts a key of his own below a common prefix, and whoever's key was
/// created first has what they wait for. A waiter watches only the one before him (SURFACE CON-01, CON-02).
/// </summary>
internal sealed class QueueKey
{
    private const string Kv = "/etcdserverpb.KV/";

    /// <summary>TTL of the lease that a caller without one gets; nobody renews it.</summary>
    private const long SessionTtlSeconds = 60;

    private readonly LocalClient _client;
    private readonly ServerCall _caller;

    private QueueKey(LocalClient client, ServerCall caller, ByteString prefix, long lease)
    {
        _client = client;
        _caller = caller;
        Prefix = prefix;
        Lease = lease;
        Key = ByteString.CopyFrom(
            [.. prefix.Span, .. Encoding.ASCII.GetBytes(lease.ToString("x", CultureInfo.InvariantCulture))]);
    }

    /// <summary>What the keys of all have in common.</summary>
    public ByteString Prefix { get; }

    public long Lease { get; }

    /// <summary>The key of this one.</summary>
    public ByteString Key { get; }

    /// <summary>Revision at which it was created; 0 before <see cref="EnterAsync"/>.</summary>
    public long CreateRevision { get; private set; }

    /// <summary>The name's prefix: a slash behind it.</summary>
    public static ByteString PrefixOf(ByteString name) => ByteString.CopyFrom([.. name.Span, (byte)'/']);

    /// <summary>The key of a lease; lease 0 has one granted.</summary>
    public static async Task<QueueKey> OfAsync(LocalClient client, ServerCall caller, ByteString name, long lease)
    {
        if (lease == 0)
        {
            LeaseGrantResponse granted = await client.CallAsync<LeaseGrantResponse>(
                "/etcdserverpb.Lease/LeaseGrant",
                new LeaseGrantRequest { TTL = SessionTtlSeconds },
                caller,
                caller.Cancelled).ConfigureAwait(false);
            lease = granted.ID;
        }

        return new QueueKey(client, caller, PrefixOf(name), lease);
    }

    /// <summary>The first of the queue.</summary>
    public static RangeRequest First(ByteString prefix) => new()
    {
        Key = prefix,
        RangeEnd = Behind(prefix),
        Limit = 1,
        SortTarget = RangeRequest.Types.SortTarget.Create,
        SortOrder = RangeRequest.Types.SortOrder.Ascend,
    };

    /// <summary>End of the range of a prefix.</summary>
    public static ByteString Behind(ByteString prefix)
    {
        byte[] end = prefix.ToByteArray();
        for (int at = end.Length - 1; at >= 0; at--)
        {
            if (end[at] < 0xFF)
            {
                end[at]++;
                return ByteString.CopyFrom(end, 0, at + 1);
            }
        }

        return ByteString.CopyFrom(0);
    }

    /// <summary>Puts the key unless it is there; the answer of its last operation is the queue's first.</summary>
    public async Task<TxnResponse> EnterAsync(ByteString value)
    {
        var txn = new TxnRequest
        {
            Compare = { IsCreatedAt(Key, 0) },
            Success =
            {
                new RequestOp { RequestPut = new PutRequest { Key = Key, Value = value, Lease = Lease } },
                new RequestOp { RequestRange = First(Prefix) },
            },
            Failure =
            {
                new RequestOp { RequestRange = new RangeRequest { Key = Key } },
                new RequestOp { RequestRange = First(Prefix) },
            },
        };
        TxnResponse answer = await _client.CallAsync<TxnResponse>(Kv + "Txn", txn, _caller, _caller.Cancelled)
            .ConfigureAwait(false);
        CreateRevision = answer.Succeeded
            ? answer.Header.Revision
            : answer.Responses[0].ResponseRange.Kvs[0].CreateRevision;
        return answer;
    }

    /// <summary>Waits until nobody is before us.</summary>
    public async Task WaitAsync()
    {
        while (true)
        {
            var before = new RangeRequest
            {
                Key = Prefix,
                RangeEnd = Behind(Prefix),
                Limit = 1,
                SortTarget = RangeRequest.Types.SortTarget.Create,
                SortOrder = RangeRequest.Types.SortOrder.Descend,
                MaxCreateRevision = CreateRevision - 1,
            };
            RangeResponse answer = await RangeAsync(before).ConfigureAwait(false);
            if (answer.Kvs.Count == 0)
            {
                return;
            }

            await DeletedAsync(answer.Kvs[0].Key, answer.Header.Revision).ConfigureAwait(false);
        }
    }

    public Task<RangeResponse> RangeAsync(RangeRequest request) =>
        _client.CallAsync<RangeResponse>(Kv + "Range", request, _caller, _caller.Cancelled);

    /// <summary>Leaves the queue, also when the caller is gone.</summary>
    public Task<DeleteRangeResponse> LeaveAsync() => _client.CallAsync<DeleteRangeResponse>(
        Kv + "DeleteRange", new DeleteRangeRequest { Key = Key }, _caller, CancellationToken.None);

    /// <summary>A compare: the key was created at that revision, 0 for not at all.</summary>
    public static Compare IsCreatedAt(ByteString key, long revision) => new()
    {
        Key = key,
        Target = Compare.Types.CompareTarget.Create,
        Result = Compare.Types.CompareResult.Equal,
        CreateRevision = revision,
    };

    private async Task DeletedAsync(ByteString key, long revision)
    {
        await using LocalWatch watch = _client.Watch(
            new WatchCreateRequest { Key = key, StartRevision = revision }, _caller);
        while (true)
        {
            WatchResponse answer = await watch.NextAsync(_caller.Cancelled).ConfigureAwait(false);
            if (answer.Events.Any(ev => ev.Type == Event.Types.EventType.Delete))
            {
                return;
            }
        }
    }
}
