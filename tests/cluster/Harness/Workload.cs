using Etcdserverpb;
using Google.Protobuf;
using Xunit;

namespace Perf.Cluster.Tests.Harness;

/// <summary>
/// Random requests of every kind that changes a key space: puts, deletes, nested transactions, leases, compactions,
/// alarms. Goes on where it was with another server on the same data, and repeats itself from its seed.
/// </summary>
internal sealed class Workload(int seed)
{
    private const int Keys = 150;
    private const int LeaseSeconds = 3600;

    private readonly Random _random = new(seed);
    private readonly List<long> _leases = [];
    private long _nextLease = 0x7000_0000_0000_0001;
    private long _revision = 1;
    private long _compacted;

    /// <summary>Sends so many requests, one after another. All of them are ones that a server accepts.</summary>
    public async Task RunAsync(Caller caller, int requests)
    {
        for (int i = 0; i < requests; i++)
        {
            await StepAsync(caller);
        }
    }

    /// <summary>Sends one request after another, each to any of these, until it is over.</summary>
    public async Task RunAsync(IReadOnlyList<Caller> callers, CancellationToken over)
    {
        while (!over.IsCancellationRequested)
        {
            await StepAsync(callers[_random.Next(callers.Count)]);
        }
    }

    private async Task StepAsync(Caller caller)
    {
        switch (_random.Next(100))
        {
            case < 45:
                _revision = (await caller.PutAsync(Put(Key()))).Header.Revision;
                break;
            case < 60:
                _revision = (await caller.DeleteAsync(Delete(Key(), many: _random.Next(5) == 0))).Header.Revision;
                break;
            case < 85:
                _revision = (await caller.TxnAsync(Txn(Shuffled(), depth: 0))).Header.Revision;
                break;
            case < 93:
                LeaseGrantResponse granted = await caller.GrantAsync(
                    new LeaseGrantRequest { ID = _nextLease++, TTL = LeaseSeconds + _random.Next(100) });
                _leases.Add(granted.ID);
                break;
            case < 96 when _leases.Count > 0:
                int revoked = _random.Next(_leases.Count);
                _revision = (await caller.RevokeAsync(new LeaseRevokeRequest { ID = _leases[revoked] })).Header.Revision;
                _leases.RemoveAt(revoked);
                break;
            case < 98:
                await CompactAsync(caller);
                break;
            default:
                await RaiseAndLowerAlarmAsync(caller);
                break;
        }
    }

    /// <summary>Compacts somewhere below the newest revision, whose hash the versions compute differently.</summary>
    private async Task CompactAsync(Caller caller)
    {
        long target = _revision - 1 - _random.Next(100);
        if (target > _compacted)
        {
            await caller.CompactAsync(new CompactionRequest { Revision = target, Physical = _random.Next(2) == 0 });
            _compacted = target;
        }
    }

    private static async Task RaiseAndLowerAlarmAsync(Caller caller)
    {
        var alarm = new AlarmRequest { Action = AlarmRequest.Types.AlarmAction.Activate, Alarm = AlarmType.Nospace };
        await caller.AlarmAsync(alarm);
        var refused = await Assert.ThrowsAsync<Grpc.RpcException>(() => caller.PutAsync("refused", "value"));
        Assert.Equal("etcdserver: mvcc: database space exceeded", refused.Message);
        alarm.Action = AlarmRequest.Types.AlarmAction.Deactivate;
        await caller.AlarmAsync(alarm);
    }

    private ByteString Key() => Key(_random.Next(Keys));

    private static ByteString Key(int number) => ByteString.CopyFromUtf8($"key/{number:d4}");

    /// <summary>All keys in a random order, so that a transaction touches none twice.</summary>
    private Queue<ByteString> Shuffled()
    {
        int[] numbers = [.. Enumerable.Range(0, Keys)];
        _random.Shuffle(numbers);
        return new Queue<ByteString>(numbers.Select(Key));
    }

    private PutRequest Put(ByteString key)
    {
        byte[] value = new byte[_random.Next(10) == 0 ? _random.Next(6000) : _random.Next(200)];
        _random.NextBytes(value);
        return new PutRequest
        {
            Key = key,
            Value = ByteString.CopyFrom(value),
            PrevKv = _random.Next(2) == 0,
            Lease = _leases.Count > 0 && _random.Next(4) == 0 ? _leases[_random.Next(_leases.Count)] : 0,
        };
    }

    private static DeleteRangeRequest Delete(ByteString key, bool many)
    {
        var request = new DeleteRangeRequest { Key = key };
        if (many)
        {
            // The ten keys that differ in the last digit.
            byte[] first = key.ToByteArray();
            first[^1] = (byte)'0';
            byte[] end = (byte[])first.Clone();
            end[^1] = (byte)'9' + 1;
            request.Key = ByteString.CopyFrom(first);
            request.RangeEnd = ByteString.CopyFrom(end);
        }

        return request;
    }

    private TxnRequest Txn(Queue<ByteString> keys, int depth)
    {
        var txn = new TxnRequest();
        txn.Compare.Add(new Compare
        {
            Key = Key(),
            Target = Compare.Types.CompareTarget.Version,
            Result = _random.Next(2) == 0 ? Compare.Types.CompareResult.Greater : Compare.Types.CompareResult.Equal,
            Version = _random.Next(2),
        });
        foreach (Google.Protobuf.Collections.RepeatedField<RequestOp> branch in new[] { txn.Success, txn.Failure })
        {
            for (int i = _random.Next(4); i > 0; i--)
            {
                branch.Add(_random.Next(depth < 2 ? 5 : 4) switch
                {
                    0 => new RequestOp { RequestRange = new RangeRequest { Key = keys.Dequeue() } },
                    1 => new RequestOp { RequestDeleteRange = Delete(keys.Dequeue(), many: false) },
                    4 => new RequestOp { RequestTxn = Txn(keys, depth + 1) },
                    _ => new RequestOp { RequestPut = Put(keys.Dequeue()) },
                });
            }
        }

        return txn;
    }
}
