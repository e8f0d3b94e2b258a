using System.Buffers;
using System.Text;
using Etcdserverpb;
using Google.Protobuf;
using Perf.Engine.IO;
using Perf.Engine.Transactions;
using Perf.Store.Apply;
using Perf.Store.Auth;
using Perf.Store.Backend;
using Perf.Store.Commands;
using Perf.Store.Membership;
using Perf.Store.Tests.Auth;
using Xunit;

namespace Perf.Store.Tests.Apply;

/// <summary>A state machine on a disk in memory, and the log that feeds it.</summary>
internal sealed class MachineRig : IDisposable
{
    public const ulong ClusterId = 0xC1;
    public const ulong MemberId = 1;
    private const string Path = "/data/db";

    private readonly ArrayBufferWriter<byte> _response = new();
    private readonly FakeHasher _hasher = new();

    public MachineRig(SimDisk? disk = null, V2Snapshot? snapshot = null)
    {
        Disk = disk ?? new SimDisk();
        Disk.CreateDirectory("/data");
        Disk.SyncDirectory("/");
        Tokens = new SimpleTokens(Clock, new Random(7).NextBytes, TimeSpan.Zero);
        Backend = new BackendStore(DataFile.Open(Disk, Path, new DataFileOptions { MapBytesMin = 64 << 20 }));
        Machine = StateMachine.Open(Backend, Options, snapshot);
        Index = Machine.AppliedIndex;
    }

    public SimDisk Disk { get; }

    public ManualClock Clock { get; } = new();

    public SimpleTokens Tokens { get; }

    public BackendStore Backend { get; }

    public StateMachine Machine { get; }

    /// <summary>Last entry given to the machine.</summary>
    public ulong Index { get; private set; }

    public ulong Term { get; set; } = 1;

    /// <summary>Header of the next requests.</summary>
    public (string User, ulong Revision) As { get; set; } = ("", 0);

    private StateMachineOptions Options => new()
    {
        ClusterId = ClusterId,
        MemberId = MemberId,
        Clock = Clock,
        Tokens = Tokens,
        Hasher = _hasher,
    };

    public void Dispose() => Backend.Dispose();

    public ApplyOutcome Apply(byte[] data, bool wait = true)
    {
        _response.ResetWrittenCount();
        var outcome = Machine.Apply(++Index, Term, data, wait ? _response : null);
        Machine.Publish();
        return outcome;
    }

    public ApplyOutcome Apply(InternalRaftRequest request, bool wait = true)
    {
        request.Header ??= new RequestHeader { ID = 1000 + Index, Username = As.User, AuthRevision = As.Revision };
        return Apply(request.ToByteArray(), wait);
    }

    public ApplyOutcome Apply(ConfChange change)
    {
        var outcome = Machine.ApplyConfChange(++Index, Term, change.Encode());
        Machine.Publish();
        return outcome;
    }

    /// <summary>The request's error alone.</summary>
    public StoreError Error(InternalRaftRequest request) => Apply(request).Error;

    /// <summary>Applies what must succeed and reads the answer.</summary>
    public T Answer<T>(InternalRaftRequest request)
        where T : IMessage<T>, new()
    {
        Assert.Equal(StoreError.None, Apply(request).Error);
        return Read<T>();
    }

    /// <summary>The last answer.</summary>
    public T Read<T>()
        where T : IMessage<T>, new() => new MessageParser<T>(() => new T()).ParseFrom(_response.WrittenSpan);

    public int ResponseBytes => _response.WrittenCount;

    public StoreError Put(string key, string value, long lease = 0) => Error(Requests.Put(key, value, lease));

    public string? Get(string key)
    {
        var buffer = new ArrayBufferWriter<byte>();
        Assert.True(RangeView.TryParse(new RangeRequest { Key = ByteString.CopyFromUtf8(key) }.ToByteArray(), out var view));
        Assert.Equal(StoreError.None, Machine.Kv.Range(view, default, buffer));
        var kvs = RangeResponse.Parser.ParseFrom(buffer.WrittenSpan).Kvs;
        return kvs.Count == 0 ? null : kvs[0].Value.ToStringUtf8();
    }

    /// <summary>Users root (administrator) and user (may read and write what begins with "u"), auth on.</summary>
    public void EnableAuth()
    {
        Ok(new InternalRaftRequest { AuthUserAdd = new AuthUserAddRequest { Name = "root", Password = "pw" } });
        Ok(new InternalRaftRequest { AuthUserGrantRole = new AuthUserGrantRoleRequest { User = "root", Role = "root" } });
        Ok(new InternalRaftRequest { AuthUserAdd = new AuthUserAddRequest { Name = "user", Password = "pw" } });
        Ok(new InternalRaftRequest { AuthRoleAdd = new AuthRoleAddRequest { Name = "role" } });
        Ok(new InternalRaftRequest
        {
            AuthRoleGrantPermission = new AuthRoleGrantPermissionRequest
            {
                Name = "role",
                Perm = new Authpb.Permission
                {
                    PermType = Authpb.Permission.Types.Type.Readwrite,
                    Key = ByteString.CopyFromUtf8("u"),
                    RangeEnd = ByteString.CopyFromUtf8("v"),
                },
            },
        });
        Ok(new InternalRaftRequest { AuthUserGrantRole = new AuthUserGrantRoleRequest { User = "user", Role = "role" } });
        Ok(new InternalRaftRequest { AuthEnable = new AuthEnableRequest() });
    }

    public void AsUser(string name) => As = (name, Machine.Auth.Revision);

    public void Ok(InternalRaftRequest request) => Assert.Equal(StoreError.None, Error(request));

    public string Bucket(string bucket, string key) =>
        Backend.TryGet(bucket, Encoding.ASCII.GetBytes(key), out var value) ? Encoding.UTF8.GetString(value) : "";
}

/// <summary>Requests as a client's messages in an entry.</summary>
internal static class Requests
{
    public static InternalRaftRequest Put(string key, string value, long lease = 0) => new()
    {
        Put = new PutRequest { Key = ByteString.CopyFromUtf8(key), Value = ByteString.CopyFromUtf8(value), Lease = lease },
    };

    public static InternalRaftRequest Delete(string key, string end = "") => new()
    {
        DeleteRange = new DeleteRangeRequest { Key = ByteString.CopyFromUtf8(key), RangeEnd = ByteString.CopyFromUtf8(end) },
    };

    public static InternalRaftRequest Grant(long id, long ttl = 60) => new() { LeaseGrant = new LeaseGrantRequest { ID = id, TTL = ttl } };

    public static InternalRaftRequest Txn(params RequestOp[] operations) => new() { Txn = new TxnRequest { Success = { operations } } };

    public static InternalRaftRequest Alarm(AlarmRequest.Types.AlarmAction action, AlarmType kind, ulong member = 7) => new()
    {
        Alarm = new AlarmRequest { Action = action, Alarm = kind, MemberID = member },
    };
}
