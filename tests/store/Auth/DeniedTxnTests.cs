using System.Text;
using Etcdserverpb;
using Google.Protobuf;
using Mvccpb;
using Perf.Store.Auth;
using Perf.Store.Commands;
using Perf.Store.Mvcc;
using Perf.Store.Tests.Apply;
using Xunit;

namespace Perf.Store.Tests.Auth;

/// <summary>
/// Random transaction trees x random grants through the one apply function. One denied leaf and nothing happens and
/// nothing is told; else the answer holds only what the user may read (CVE-2026-33343, CVE-2026-44283).
/// </summary>
public sealed class DeniedTxnTests : IDisposable
{
    private const int Rounds = 250;
    private const int TreesPerRound = 20;

    private readonly MachineRig _rig = new();

    // Gets everything but the denied: it must not be possible to tell the two apart.
    private readonly MachineRig _twin = new();

    public void Dispose()
    {
        _rig.Dispose();
        _twin.Dispose();
    }

    [Theory]
    [InlineData(21)]
    [InlineData(22)]
    public void One_denied_leaf_refuses_the_whole_tree_and_leaks_no_byte(int seed)
    {
        var random = new Random(seed);
        var model = new AuthModel(lease => _rig.Machine.LeaseKeys.KeysOf(lease).Select(Encoding.UTF8.GetString));
        _rig.EnableAuth();
        _twin.EnableAuth();
        int allowed = 0;
        int denied = 0;
        for (int round = 0; round < Rounds; round++)
        {
            List<Permission> grants = AuthModel.RandomGrants(random);
            Prepare(grants);
            _rig.AsUser("user");
            _twin.AsUser("user");
            for (int i = 0; i < TreesPerRound;)
            {
                TxnRequest txn = AuthModel.RandomTxn(random);
                if (RequestValidator.ValidateTxn(txn.ToByteArray(), 128) != StoreError.None)
                {
                    // Refused at the door; it never gets here.
                    continue;
                }

                i++;
                string what = $"seed {seed} round {round}: {txn} with {AuthModel.Show(grants)}";
                long revision = _rig.Machine.Kv.Revision;
                bool may = model.May(grants, txn);
                StoreError error = _rig.Error(new InternalRaftRequest { Txn = txn.Clone() });
                if (may)
                {
                    allowed++;
                    Assert.True(error != StoreError.PermissionDenied, what);
                    Assert.Equal(error, _twin.Error(new InternalRaftRequest { Txn = txn.Clone() }));
                    if (error == StoreError.None)
                    {
                        Assert.All(Keys(_rig.Read<TxnResponse>()), key => Assert.True(
                            AuthModel.Covers(grants, PermissionKind.Read, key, ""), $"{key} got out, {what}"));
                    }
                }
                else
                {
                    denied++;
                    Assert.True(error == StoreError.PermissionDenied, $"{error}, {what}");
                    Assert.True(_rig.ResponseBytes == 0, $"{_rig.ResponseBytes} bytes were answered, {what}");
                    Assert.True(_rig.Machine.Kv.Revision == revision, what);
                }
            }

            Assert.Equal(Hash(_twin), Hash(_rig));
            for (long lease = 1; lease <= 4; lease++)
            {
                Assert.Equal(_twin.Machine.LeaseKeys.KeysOf(lease), _rig.Machine.LeaseKeys.KeysOf(lease));
            }
        }

        Assert.Equal(Rounds * TreesPerRound, allowed + denied);
        Assert.InRange(allowed, 200, (Rounds * TreesPerRound) - 200);
        Assert.Equal(_twin.Machine.Digest(), _rig.Machine.Digest());
    }

    private static HashKvResult Hash(MachineRig rig)
    {
        Assert.Equal(StoreError.None, rig.Machine.Kv.HashKv(0, out HashKvResult hash));
        return hash;
    }

    /// <summary>Every key that an answer tells something of.</summary>
    private static IEnumerable<string> Keys(TxnResponse answer) => answer.Responses.SelectMany(op => op.ResponseCase switch
    {
        ResponseOp.ResponseOneofCase.ResponseRange => Names(op.ResponseRange.Kvs),
        ResponseOp.ResponseOneofCase.ResponsePut => Names(op.ResponsePut.PrevKv is { } kv ? [kv] : []),
        ResponseOp.ResponseOneofCase.ResponseDeleteRange => Names(op.ResponseDeleteRange.PrevKvs),
        ResponseOp.ResponseOneofCase.ResponseTxn => Keys(op.ResponseTxn),
        _ => [],
    });

    private static IEnumerable<string> Names(IEnumerable<KeyValue> kvs) => kvs.Select(kv => kv.Key.ToStringUtf8());

    /// <summary>All keys there with leases on some of them, and the user's one role as the grants say.</summary>
    private void Prepare(List<Permission> grants)
    {
        foreach (MachineRig rig in (MachineRig[])[_rig, _twin])
        {
            rig.AsUser("root");
            for (long lease = 1; lease <= 3; lease++)
            {
                rig.Apply(new InternalRaftRequest { LeaseRevoke = new LeaseRevokeRequest { ID = lease } });
                rig.Ok(new InternalRaftRequest { LeaseGrant = new LeaseGrantRequest { ID = lease, TTL = 60 } });
            }

            foreach (string key in AuthModel.Alphabet)
            {
                long lease = key switch { "a" => 1, "c" or "g" => 2, _ => 0 };
                Assert.Equal(StoreError.None, rig.Put(key, "secret of " + key, lease));
            }

            rig.Ok(new InternalRaftRequest { AuthRoleDelete = new AuthRoleDeleteRequest { Role = "role" } });
            rig.Ok(new InternalRaftRequest { AuthRoleAdd = new AuthRoleAddRequest { Name = "role" } });
            foreach (Permission grant in grants)
            {
                rig.Ok(new InternalRaftRequest
                {
                    AuthRoleGrantPermission = new AuthRoleGrantPermissionRequest
                    {
                        Name = "role",
                        Perm = new Authpb.Permission
                        {
                            PermType = (Authpb.Permission.Types.Type)grant.Kind,
                            Key = ByteString.CopyFrom(grant.Key),
                            RangeEnd = ByteString.CopyFrom(grant.RangeEnd),
                        },
                    },
                });
            }

            rig.Ok(new InternalRaftRequest { AuthUserGrantRole = new AuthUserGrantRoleRequest { User = "user", Role = "role" } });
            rig.AsUser("root");
        }
    }
}
