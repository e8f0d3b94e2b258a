using System.Text;
using Etcdserverpb;
using Google.Protobuf;

namespace Perf.Surface.Tests.Differential;

/// <summary>
/// Makes requests, valid and invalid, from a seed. It knows of the servers only the revisions they have answered with, so
/// that one seed and equal servers give the same requests.
/// </summary>
internal sealed class RequestMaker(int seed)
{
    private const int MaxTxnOps = 128;
    private const int RequestBytesMax = 1_572_864;
    private const int LeaseIds = 40;

    private static readonly ByteString[] _keys =
    [
        .. Enumerable.Range(0, 20).Select(i => ByteString.CopyFromUtf8($"k/{i:00}")),
        .. Enumerable.Range(0, 6).Select(i => ByteString.CopyFromUtf8($"m/{i}")),
        ByteString.CopyFromUtf8("k"), ByteString.CopyFromUtf8("k/"), ByteString.CopyFromUtf8("k0"),
        ByteString.CopyFromUtf8("\u00e9"), ByteString.CopyFrom(0), ByteString.CopyFrom(0, 0), ByteString.CopyFrom(0xff),
        ByteString.CopyFrom(0xff, 0xff), ByteString.CopyFrom(0xff, 0xff, 1),
    ];

    private readonly Random _dice = new(seed);
    private int _number;
    private int _grants;

    /// <summary>The revision the servers are at, as far as answers have told.</summary>
    public long Revision { get; set; } = 1;

    /// <summary>The last revision that was compacted.</summary>
    public long Compacted { get; set; }

    /// <summary>Steps made so far.</summary>
    public int Count => _number;

    /// <summary>The next request that leaves history as long as it is.</summary>
    public Step Next() => _dice.Next(1000) switch
    {
        < 330 => Kv("range", StepKind.Read, "Range", Range(validOnly: false)),
        < 560 => Kv("put", StepKind.Write, "Put", Put()),
        < 640 => Kv("delete", StepKind.Write, "DeleteRange", Delete()),
        < 820 => Kv("txn", StepKind.Write, "Txn", Txn(2)),
        < 850 => Kv("txn-read", StepKind.Read, "Txn", ReadTxn()),
        < 855 => Kv("txn-wide", StepKind.Write, "Txn", WideTxn()),
        < 940 => LeaseStep(),
        < 950 => Kv("compact-refused", StepKind.Write, "Compact", CompactRefused()),
        < 985 => MaintenanceStep(),
        < 999 => Odd(),
        _ => Large(),
    };

    /// <summary>
    /// The next request while there is no space: nothing with a put in a nested transaction, which 3.4 forgets to refuse
    /// (TXN-11).
    /// </summary>
    public Step NextWithoutSpace()
    {
        Step step = Next();
        while (step.Request is TxnRequest txn && txn.Success.Concat(txn.Failure).Any(op => op.RequestTxn is not null))
        {
            step = Next();
        }

        return step;
    }

    /// <summary>A compaction that is meant to succeed.</summary>
    public Step Compact(bool physical)
    {
        long revision = _dice.Next(4) switch
        {
            0 => Revision,
            1 => Math.Max(Compacted + 1, Revision - _dice.Next(20)),
            _ => Compacted + 1 + (long)(_dice.NextDouble() * Math.Max(0, Revision - Compacted - 1)),
        };
        return Kv(
            "compact", StepKind.Write, "Compact", new CompactionRequest { Revision = revision, Physical = physical });
    }

    /// <summary>A request of the maintenance service by name.</summary>
    public Step Maintenance(string name, string method, IMessage request) =>
        Make(name, StepKind.Write, "/etcdserverpb.Maintenance/" + method, request);

    /// <summary>A watch; its start is now, in the past, at what was compacted, or in the future.</summary>
    public WatchCreateRequest Watch(bool mayStartInPast, bool mayStartAtCompacted)
    {
        (ByteString key, ByteString end) = Span();
        var create = new WatchCreateRequest
        {
            Key = key,
            RangeEnd = end,
            PrevKv = One(3),
            ProgressNotify = One(10),
            Fragment = One(5),
        };
        if (One(8))
        {
            create.Filters.Add(WatchCreateRequest.Types.FilterType.Noput);
        }

        if (One(8))
        {
            create.Filters.Add(WatchCreateRequest.Types.FilterType.Nodelete);
        }

        if (One(4))
        {
            create.WatchId = _dice.Next(-2, 12);
        }

        create.StartRevision = _dice.Next(10) switch
        {
            0 => Revision + 1 + _dice.Next(30),
            1 when mayStartInPast => Math.Max(1, Compacted - 1 - _dice.Next(5)),
            2 when mayStartInPast && mayStartAtCompacted => Compacted,
            3 or 4 or 5 when mayStartInPast => Math.Max(1, Compacted + 1 + _dice.NextInt64(Math.Max(1, Revision - Compacted))),
            _ => 0,
        };
        return create;
    }

    /// <summary>One in so many.</summary>
    public bool One(int of) => _dice.Next(of) == 0;

    /// <summary>A number below that.</summary>
    public int Below(int bound) => _dice.Next(bound);

    private Step Kv(string name, StepKind kind, string method, IMessage request) =>
        Make(name, kind, "/etcdserverpb.KV/" + method, request);

    private Step Make(string name, StepKind kind, string path, IMessage request) =>
        new(_number++, name, kind, path, request, request.ToByteArray());

    private Step Raw(string name, StepKind kind, string path, byte[] bytes) => new(_number++, name, kind, path, null, bytes);

    private ByteString Key() => _dice.Next(100) switch
    {
        < 96 => _keys[_dice.Next(_keys.Length)],
        < 98 => ByteString.Empty,
        _ => ByteString.CopyFromUtf8("missing"),
    };

    private (ByteString Key, ByteString End) Span()
    {
        ByteString key = Key();
        return _dice.Next(20) switch
        {
            < 10 => (key, ByteString.Empty),
            < 12 => (ByteString.CopyFromUtf8("k/"), ByteString.CopyFromUtf8("k0")),
            < 13 => (ByteString.CopyFromUtf8("k/1"), ByteString.CopyFromUtf8("k/2")),
            < 16 => (key, _keys[_dice.Next(_keys.Length)]),
            < 17 => (key, key),
            < 19 => (key, ByteString.CopyFrom(0)),
            _ => (ByteString.CopyFrom(0), ByteString.CopyFrom(0)),
        };
    }

    private long AnyRevision() => _dice.Next(24) switch
    {
        < 11 => 0,
        < 16 => Math.Max(1, Revision - _dice.Next(60)),
        16 => Compacted,
        17 => Compacted - 1,
        18 => Compacted + 1,
        19 => Revision,
        20 => Revision + 1 + _dice.Next(3),
        21 => -_dice.Next(1, 9),
        22 => One(2) ? long.MaxValue : long.MinValue,
        _ => Math.Max(1, Revision / 2),
    };

    private long NearRevision() => One(10) ? -3 : Math.Max(1, Revision - 40 + _dice.Next(50));

    private RangeRequest Range(bool validOnly)
    {
        (ByteString key, ByteString end) = Span();
        var range = new RangeRequest { Key = validOnly && key.IsEmpty ? _keys[0] : key, RangeEnd = end };
        if (!validOnly || One(12))
        {
            range.Revision = AnyRevision();
        }

        range.Serializable = One(3);
        range.KeysOnly = One(8);
        range.CountOnly = One(10);
        if (One(3))
        {
            range.Limit = _dice.Next(-1, 8);
        }

        if (One(3))
        {
            range.SortOrder = One(15) ? (RangeRequest.Types.SortOrder)7 : (RangeRequest.Types.SortOrder)_dice.Next(3);

            // An unknown target is not tried: it ends 3.4 with a panic (RNG-11).
            range.SortTarget = (RangeRequest.Types.SortTarget)_dice.Next(5);
        }

        if (One(6))
        {
            range.MinModRevision = NearRevision();
        }

        if (One(8))
        {
            range.MaxModRevision = NearRevision();
        }

        if (One(8))
        {
            range.MinCreateRevision = NearRevision();
        }

        if (One(8))
        {
            range.MaxCreateRevision = NearRevision();
        }

        return range;
    }

    private PutRequest Put()
    {
        var put = new PutRequest
        {
            Key = Key(),
            Value = One(12) ? ByteString.Empty : Value(),
            PrevKv = One(4),
            IgnoreValue = One(16),
            IgnoreLease = One(16),
        };
        put.Lease = _dice.Next(20) switch
        {
            < 5 => LeaseId(),
            5 when One(4) => _dice.Next(-5, 0),
            6 when One(3) => 987_654_321,
            _ => 0,
        };
        if (put.IgnoreValue && !One(4))
        {
            put.Value = ByteString.Empty;
        }

        if (put.IgnoreLease && !One(4))
        {
            put.Lease = 0;
        }

        return put;
    }

    private ByteString Value()
    {
        int length = One(60) ? 3000 : _dice.Next(12);
        byte[] value = new byte[length];
        _dice.NextBytes(value);
        return One(3) ? ByteString.CopyFromUtf8("v" + _dice.Next(20)) : ByteString.CopyFrom(value);
    }

    private DeleteRangeRequest Delete()
    {
        (ByteString key, ByteString end) = One(2) ? (Key(), ByteString.Empty) : Span();
        if (!end.IsEmpty && !One(6))
        {
            end = ByteString.Empty;
        }

        return new DeleteRangeRequest { Key = key, RangeEnd = end, PrevKv = One(3) };
    }

    private TxnRequest Txn(int depth)
    {
        var txn = new TxnRequest();
        for (int i = _dice.Next(4); i > 0; i--)
        {
            txn.Compare.Add(Comparison());
        }

        for (int i = _dice.Next(5); i > 0; i--)
        {
            txn.Success.Add(Operation(depth));
        }

        for (int i = _dice.Next(4); i > 0; i--)
        {
            txn.Failure.Add(Operation(depth));
        }

        return txn;
    }

    private TxnRequest ReadTxn()
    {
        var txn = new TxnRequest();
        for (int i = _dice.Next(3); i > 0; i--)
        {
            txn.Compare.Add(Comparison());
        }

        for (int i = _dice.Next(3); i > 0; i--)
        {
            txn.Success.Add(new RequestOp { RequestRange = Range(validOnly: !One(4)) });
        }

        for (int i = _dice.Next(3); i > 0; i--)
        {
            txn.Failure.Add(new RequestOp { RequestRange = Range(validOnly: !One(4)) });
        }

        return txn;
    }

    /// <summary>As many operations as are allowed, one less, and one more; flat or shared with a nested one.</summary>
    private TxnRequest WideTxn()
    {
        var txn = new TxnRequest();
        int count = MaxTxnOps + _dice.Next(-1, 2);
        switch (_dice.Next(4))
        {
            case 0:
                for (int i = 0; i < count; i++)
                {
                    txn.Success.Add(new RequestOp { RequestPut = new() { Key = ByteString.CopyFromUtf8($"w/{i}") } });
                }

                break;
            case 1:
                for (int i = 0; i < count; i++)
                {
                    txn.Compare.Add(new Compare { Key = _keys[0], Target = Etcdserverpb.Compare.Types.CompareTarget.Version });
                }

                break;
            case 2:
                for (int i = 0; i < count; i++)
                {
                    txn.Failure.Add(new RequestOp { RequestRange = new() { Key = _keys[i % _keys.Length] } });
                }

                break;
            default:
                // One level takes one, the next has the rest.
                var inner = new TxnRequest();
                for (int i = 0; i < count - 1; i++)
                {
                    inner.Success.Add(new RequestOp { RequestRange = new() { Key = _keys[i % _keys.Length] } });
                }

                txn.Success.Add(new RequestOp { RequestTxn = inner });
                break;
        }

        return txn;
    }

    private Compare Comparison()
    {
        (ByteString key, ByteString end) = One(6) ? Span() : (Key(), ByteString.Empty);
        var compare = new Compare
        {
            Key = key,
            RangeEnd = end,
            Result = One(30) ? (Compare.Types.CompareResult)9 : (Compare.Types.CompareResult)_dice.Next(4),
            Target = One(30) ? (Compare.Types.CompareTarget)9 : (Compare.Types.CompareTarget)_dice.Next(5),
        };
        int union = One(10) ? _dice.Next(6) : (int)compare.Target;
        switch (union)
        {
            case 0:
                compare.Version = _dice.Next(-1, 5);
                break;
            case 1:
                compare.CreateRevision = One(2) ? 0 : NearRevision();
                break;
            case 2:
                compare.ModRevision = One(3) ? 0 : NearRevision();
                break;
            case 3:
                compare.Value = One(2) ? ByteString.CopyFromUtf8("v" + _dice.Next(20)) : Value();
                break;
            case 4:
                compare.Lease = One(2) ? 0 : LeaseId();
                break;
        }

        return compare;
    }

    private RequestOp Operation(int depth) => _dice.Next(40) switch
    {
        < 12 => new RequestOp { RequestRange = Range(validOnly: true) },
        < 27 => new RequestOp { RequestPut = Put() },
        < 34 => new RequestOp { RequestDeleteRange = Delete() },
        < 39 when depth > 0 => new RequestOp { RequestTxn = Txn(depth - 1) },
        39 when One(6) => new RequestOp(),
        _ => new RequestOp { RequestRange = Range(validOnly: true) },
    };

    private long LeaseId() => 1 + _dice.Next(LeaseIds);

    private Step LeaseStep()
    {
        const string Service = "/etcdserverpb.Lease/";
        return _dice.Next(20) switch
        {
            < 6 => Make("lease-grant", StepKind.Write, Service + "LeaseGrant", new LeaseGrantRequest
            {
                ID = One(12) ? -LeaseId() : LeaseId(),

                // Far apart, so that the order of their ends is the same however fast a server is.
                TTL = One(15) ? 9_000_000_000 + _dice.Next(-1, 2) : 1_000_000 + (1_000L * _grants++),
            }),
            < 10 => Make("lease-revoke", StepKind.Write, Service + "LeaseRevoke", new LeaseRevokeRequest
            {
                ID = One(8) ? 0 : LeaseId(),
            }),
            < 14 => Make("lease-ttl", StepKind.Read, Service + "LeaseTimeToLive", new LeaseTimeToLiveRequest
            {
                ID = One(8) ? 555 : LeaseId(),
                Keys = One(2),
            }),
            < 16 => Make("lease-leases", StepKind.Read, Service + "LeaseLeases", new LeaseLeasesRequest()),
            _ => Make("lease-keepalive", StepKind.KeepAlive, Service + "LeaseKeepAlive", new LeaseKeepAliveRequest
            {
                ID = One(8) ? 555 : LeaseId(),
            }),
        };
    }

    private CompactionRequest CompactRefused() => new()
    {
        Revision = _dice.Next(4) switch
        {
            0 => Revision + 1_000_000,
            1 => Compacted,
            2 => -1,
            _ => Math.Max(0, Compacted - 3),
        },
        Physical = One(2),
    };

    private Step MaintenanceStep() => _dice.Next(16) switch
    {
        < 4 => Make("status", StepKind.Read, "/etcdserverpb.Maintenance/Status", new StatusRequest()),
        < 9 => Make("hashkv", StepKind.Read, "/etcdserverpb.Maintenance/HashKV", new HashKVRequest { Revision = AnyRevision() }),
        9 => Make("hash", StepKind.Read, "/etcdserverpb.Maintenance/Hash", new HashRequest()),
        10 => Maintenance("moveleader", "MoveLeader", new MoveLeaderRequest { TargetID = One(2) ? 0UL : 77 }),
        11 when One(20) => Maintenance("defragment", "Defragment", new DefragmentRequest()),
        12 when One(6) => Make("snapshot", StepKind.Snapshot, "/etcdserverpb.Maintenance/Snapshot", new SnapshotRequest()),
        < 15 => Make("alarm-get", StepKind.Read, "/etcdserverpb.Maintenance/Alarm", new AlarmRequest
        {
            MemberID = One(2) ? 0UL : 77,
            Alarm = (AlarmType)_dice.Next(3),
        }),
        _ => Maintenance("alarm-deactivate", "Alarm", new AlarmRequest
        {
            // ACTIVATE with NONE is not tried: 3.4 keeps such an alarm, later versions do nothing (MNT-02).
            Action = AlarmRequest.Types.AlarmAction.Deactivate,
            Alarm = (AlarmType)_dice.Next(3),
            MemberID = 55,
        }),
    };

    /// <summary>What no proper client sends: unknown methods, unknown fields, bytes that are no message.</summary>
    private Step Odd()
    {
        switch (_dice.Next(7))
        {
            case 0:
                return Raw("unknown-method", StepKind.Read, "/etcdserverpb.KV/Frobnicate", []);
            case 1:
                return Raw("unknown-service", StepKind.Read, "/etcdserverpb.Nothing/Frobnicate", []);
            case 2:
                return Raw("put-unknown-fields", StepKind.Write, "/etcdserverpb.KV/Put", [
                    .. Put().ToByteArray(), 0xfa, 0x7f, 3, 1, 2, 3]);
            case 3:
                Step range = Kv("range-unknown-fields", StepKind.Read, "Range", Range(validOnly: true));
                return range with { Bytes = [.. range.Bytes, 0xf8, 0x7f, 9] };
            case 4:
                return Raw("empty-message", StepKind.Write, "/etcdserverpb.KV/" + (One(2) ? "Txn" : "Put"), []);
            case 5:
                // Twice the same field: the last one counts.
                return Raw("put-field-twice", StepKind.Write, "/etcdserverpb.KV/Put", [
                    .. Put().ToByteArray(), .. new PutRequest { Key = _keys[_dice.Next(_keys.Length)] }.ToByteArray()]);
            default:
                return Raw("broken-message", StepKind.Write, "/etcdserverpb.KV/Put", [0x0a, 0x7f, 1]);
        }
    }

    private Step Large()
    {
        int bytes = _dice.Next(3) switch
        {
            0 => RequestBytesMax + 100_000,
            1 => RequestBytesMax + (512 * 1024) + 1000,
            _ => 300_000,
        };
        return Kv("put-large", StepKind.Write, "Put", new PutRequest
        {
            Key = ByteString.CopyFromUtf8("large"),
            Value = ByteString.CopyFrom(Encoding.ASCII.GetBytes(new string('x', bytes))),
        });
    }
}
