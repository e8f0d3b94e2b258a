using System.Text;
using Etcdserverpb;
using Google.Protobuf;
using Perf.Store.Auth;

namespace Perf.Store.Tests.Auth;

/// <summary>
/// A naive idea of permissions, and random requests to hold against it: permissions as a list, ranges as sets of the
/// keys "a" to "h" (and what follows), requests as message trees.
/// </summary>
internal sealed class AuthModel(Func<long, IEnumerable<string>> keysOfLease)
{
    public static readonly string[] Alphabet = ["a", "b", "c", "d", "e", "f", "g", "h"];

    private static readonly string[] Universe =
        [.. "abcdefghijklmnop".SelectMany(c => new[] { $"{c}", $"{c}\0", $"{c}\0\0", $"{c}m" }), "zzz"];

    public static List<Permission> RandomGrants(Random random)
    {
        var grants = new List<Permission>();
        int count = random.Next(1, 7);
        for (int i = 0; i < count; i++)
        {
            string key = Alphabet[random.Next(random.Next(1, 8))];
            string end = random.Next(5) switch
            {
                0 => "",
                1 => "\0",
                2 => key + "\0",
                _ => ((char)(key[0] + random.Next(1, 6))).ToString(),
            };
            var kind = random.Next(4) == 0 ? PermissionKind.Read : random.Next(4) == 0 ? PermissionKind.Write : PermissionKind.ReadWrite;

            // A second grant on the same range would replace the first.
            var grant = new Permission(kind, Encoding.UTF8.GetBytes(key), Encoding.UTF8.GetBytes(end));
            if (!grants.Exists(held => held.IsOn(grant.Key, grant.RangeEnd)))
            {
                grants.Add(grant);
            }
        }

        return grants;
    }

    public static TxnRequest RandomTxn(Random random, int depth = 0)
    {
        var txn = new TxnRequest();
        for (int i = random.Next(2); i > 0; i--)
        {
            txn.Compare.Add(new Compare { Key = RandomKey(random), RangeEnd = random.Next(3) == 0 ? RandomEnd(random) : ByteString.Empty });
        }

        for (int i = random.Next(3); i > 0; i--)
        {
            txn.Success.Add(RandomOp(random, depth));
        }

        for (int i = random.Next(2); i > 0; i--)
        {
            txn.Failure.Add(RandomOp(random, depth));
        }

        return txn;
    }

    /// <summary>Every leaf of the tree is allowed.</summary>
    public bool May(List<Permission> grants, TxnRequest txn) =>
        txn.Compare.All(compare => Covers(grants, PermissionKind.Read, compare.Key.ToStringUtf8(), compare.RangeEnd.ToStringUtf8()))
        && txn.Success.Concat(txn.Failure).All(op => op.RequestCase switch
        {
            RequestOp.RequestOneofCase.RequestRange => Covers(
                grants, PermissionKind.Read, op.RequestRange.Key.ToStringUtf8(), op.RequestRange.RangeEnd.ToStringUtf8()),
            RequestOp.RequestOneofCase.RequestPut => MayPut(grants, op.RequestPut),
            RequestOp.RequestOneofCase.RequestDeleteRange => MayDelete(grants, op.RequestDeleteRange),
            RequestOp.RequestOneofCase.RequestTxn => May(grants, op.RequestTxn),
            _ => true,
        });

    /// <summary>
    /// Key by key over a universe that is fine enough: every letter, what directly follows it, what lies between it
    /// and the next, and something beyond all.
    /// </summary>
    public static bool Covers(List<Permission> grants, PermissionKind kind, string key, string end)
    {
        IEnumerable<string> wanted = end.Length == 0
            ? [key]
            : Universe
                .Where(k => string.CompareOrdinal(k, key) >= 0 && (end == "\0" || string.CompareOrdinal(k, end) < 0))
                .Prepend(key);
        return wanted.All(k => grants.Exists(
            grant => (grant.Kind == kind || grant.Kind == PermissionKind.ReadWrite) && Holds(grant, k)));

        static bool Holds(Permission grant, string k)
        {
            string from = Encoding.UTF8.GetString(grant.Key);
            string to = Encoding.UTF8.GetString(grant.RangeEnd);
            return to.Length == 0
                ? k == from
                : string.CompareOrdinal(k, from) >= 0 && (to == "\0" || string.CompareOrdinal(k, to) < 0);
        }
    }

    public static string Show(List<Permission> grants) => string.Join(' ', grants.Select(
        grant => $"{grant.Kind}[{Encoding.UTF8.GetString(grant.Key)},{Encoding.UTF8.GetString(grant.RangeEnd)})"));

    private static RequestOp RandomOp(Random random, int depth)
    {
        switch (random.Next(depth < 3 ? 5 : 4))
        {
            case 0:
                return new RequestOp { RequestRange = new RangeRequest { Key = RandomKey(random), RangeEnd = RandomEnd(random) } };
            case 1:
                return new RequestOp { RequestPut = new PutRequest { Key = RandomKey(random), Lease = random.Next(5), PrevKv = random.Next(3) == 0 } };
            case 2:
                return new RequestOp { RequestDeleteRange = new DeleteRangeRequest { Key = RandomKey(random), RangeEnd = RandomEnd(random), PrevKv = random.Next(3) == 0 } };
            case 3:
                return new RequestOp();
            default:
                return new RequestOp { RequestTxn = RandomTxn(random, depth + 1) };
        }
    }

    private static ByteString RandomKey(Random random) => ByteString.CopyFromUtf8(Alphabet[random.Next(Alphabet.Length)]);

    private static ByteString RandomEnd(Random random) => random.Next(6) switch
    {
        0 or 1 or 2 => ByteString.Empty,
        3 => ByteString.CopyFrom(0),
        _ => RandomKey(random),
    };

    private bool MayPut(List<Permission> grants, PutRequest put)
    {
        string key = put.Key.ToStringUtf8();
        return Covers(grants, PermissionKind.Write, key, "")
            && keysOfLease(put.Lease).All(attached => Covers(grants, PermissionKind.Write, attached, ""))
            && (!put.PrevKv || Covers(grants, PermissionKind.Read, key, ""));
    }

    private static bool MayDelete(List<Permission> grants, DeleteRangeRequest delete)
    {
        string key = delete.Key.ToStringUtf8();
        string end = delete.RangeEnd.ToStringUtf8();
        return Covers(grants, PermissionKind.Write, key, end) && (!delete.PrevKv || Covers(grants, PermissionKind.Read, key, end));
    }
}
