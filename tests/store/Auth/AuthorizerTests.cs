using System.Text;
using Etcdserverpb;
using Google.Protobuf;
using Perf.Store.Auth;
using Perf.Store.Tests.Apply;
using Xunit;

namespace Perf.Store.Tests.Auth;

/// <summary>
/// The authorizer against a naive model: permissions as a list, ranges as sets of the keys "a" to "h" (and what
/// follows), requests as generated message trees.
/// </summary>
public sealed class AuthorizerTests : ILeaseKeys
{
    private static readonly string[] Alphabet = ["a", "b", "c", "d", "e", "f", "g", "h"];

    private readonly Dictionary<long, string[]> _leases = new() { [1] = ["a"], [2] = ["c", "g"], [3] = [] };

    public IReadOnlyList<byte[]> KeysOf(long lease) =>
        _leases.TryGetValue(lease, out string[]? keys) ? [.. keys.Select(Encoding.UTF8.GetBytes)] : [];

    [Theory]
    [InlineData(11)]
    [InlineData(12)]
    public void Ten_thousand_random_txn_trees_are_allowed_exactly_when_every_leaf_is(int seed)
    {
        var random = new Random(seed);
        int allowed = 0;
        int trees = 0;
        for (int round = 0; round < 250; round++)
        {
            var (store, grants) = RandomGrants(random);
            for (int i = 0; i < 20; i++, trees++)
            {
                var txn = RandomTxn(random, depth: 0);
                bool expected = MayTxn(grants, txn);

                var subject = store.Subject("user"u8, store.Revision);
                var outcome = RequestAuthorizer.CheckTxn(subject, txn.ToByteArray(), this);

                Assert.True(
                    outcome == (expected ? StoreError.None : StoreError.PermissionDenied),
                    $"seed {seed} round {round}.{i}: {outcome}, expected allowed={expected}: {txn} with {Show(grants)}");
                allowed += expected ? 1 : 0;
            }
        }

        // The mixture must test both answers.
        Assert.Equal(5000, trees);
        Assert.InRange(allowed, trees / 20, trees * 19 / 20);
    }

    [Fact]
    public void Ranges_are_covered_as_the_naive_set_of_keys_says()
    {
        // Every kind of range end against every kind of grant: nil, the empty key's successor, \0, below the key.
        var random = new Random(5);
        string[] ends = ["", "\0", "a", "a\0", "b", "c\0", "h", "i", "zz"];
        for (int round = 0; round < 400; round++)
        {
            var (store, grants) = RandomGrants(random);
            var subject = store.Subject("user"u8, store.Revision);
            foreach (string key in Alphabet)
            {
                foreach (string end in ends)
                {
                    bool expected = Covers(grants, PermissionKind.Read, key, end);
                    var request = new RangeRequest { Key = Bytes(key), RangeEnd = Bytes(end) };
                    var outcome = RequestAuthorizer.CheckRange(subject, request.ToByteArray());
                    Assert.True(
                        outcome == (expected ? StoreError.None : StoreError.PermissionDenied),
                        $"[{key},{end}) {outcome}, expected {expected} with {Show(grants)}");
                }
            }
        }
    }

    [Fact]
    public void A_grant_on_one_key_does_not_open_what_follows_it()
    {
        var store = Enabled([new Permission(PermissionKind.ReadWrite, "k"u8.ToArray(), [])]);
        var subject = store.Subject("user"u8, store.Revision);

        Assert.Equal(StoreError.None, subject.Check(PermissionKind.Read, "k"u8, default));
        Assert.Equal(StoreError.None, subject.Check(PermissionKind.Read, "k"u8, "k\0"u8));
        Assert.Equal(StoreError.PermissionDenied, subject.Check(PermissionKind.Read, "k"u8, "\0"u8));
        Assert.Equal(StoreError.PermissionDenied, subject.Check(PermissionKind.Read, "k"u8, "k\0\0"u8));
        Assert.Equal(StoreError.PermissionDenied, subject.Check(PermissionKind.Read, "k\0"u8, default));
        Assert.Equal(StoreError.PermissionDenied, subject.Check(PermissionKind.Read, default, default));
        Assert.Equal(StoreError.PermissionDenied, subject.Check(PermissionKind.Read, default, "\0"u8));
        Assert.Equal(StoreError.PermissionDenied, subject.Check(PermissionKind.Read, "\0"u8, "\0"u8));
    }

    [Fact]
    public void Touching_ranges_are_one_and_a_gap_is_a_gap()
    {
        var store = Enabled(
        [
            new Permission(PermissionKind.Read, "a"u8.ToArray(), "c"u8.ToArray()),
            new Permission(PermissionKind.Read, "c"u8.ToArray(), "e"u8.ToArray()),
            new Permission(PermissionKind.Read, "b"u8.ToArray(), "d"u8.ToArray()),
            new Permission(PermissionKind.Read, "e\0"u8.ToArray(), [0]),
        ]);
        var subject = store.Subject("user"u8, store.Revision);

        Assert.Equal(StoreError.None, subject.Check(PermissionKind.Read, "a"u8, "e"u8));
        Assert.Equal(StoreError.PermissionDenied, subject.Check(PermissionKind.Read, "a"u8, "f"u8));
        Assert.Equal(StoreError.PermissionDenied, subject.Check(PermissionKind.Read, "e"u8, default));
        Assert.Equal(StoreError.None, subject.Check(PermissionKind.Read, "f"u8, "\0"u8));
        Assert.Equal(StoreError.PermissionDenied, subject.Check(PermissionKind.Write, "a"u8, default));
    }

    [Fact]
    public void Attaching_to_a_lease_needs_what_hangs_on_it()
    {
        var store = Enabled([new Permission(PermissionKind.ReadWrite, "a"u8.ToArray(), "c"u8.ToArray())]);
        var subject = store.Subject("user"u8, store.Revision);
        StoreError Put(long lease, bool prevKv = false) => RequestAuthorizer.CheckPut(
            subject, new PutRequest { Key = Bytes("b"), Lease = lease, PrevKv = prevKv }.ToByteArray(), this);

        Assert.Equal(StoreError.None, Put(0));
        Assert.Equal(StoreError.None, Put(1, prevKv: true));
        Assert.Equal(StoreError.PermissionDenied, Put(2));
        Assert.Equal(StoreError.None, Put(3));
        Assert.Equal(StoreError.None, Put(99));
        Assert.Equal(StoreError.PermissionDenied, RequestAuthorizer.CheckLeaseRevoke(subject, 2, this));
        Assert.Equal(StoreError.None, RequestAuthorizer.CheckLeaseRevoke(subject, 1, this));
        Assert.Equal(StoreError.None, RequestAuthorizer.CheckLeaseRevoke(store.Subject("root"u8, 1), 2, this));
    }

    [Fact]
    public void Bytes_that_are_no_request_are_not_authorized()
    {
        var store = Enabled([]);
        var subject = store.Subject("user"u8, store.Revision);

        Assert.Equal(StoreError.Malformed, RequestAuthorizer.CheckPut(subject, "\u000a\u0009"u8, this));
        Assert.Equal(StoreError.Malformed, RequestAuthorizer.CheckTxn(subject, "\u0012\u0003\u0012\u0009a"u8, this));
        Assert.Equal(StoreError.Malformed, RequestAuthorizer.CheckRange(subject, "\u000a"u8));
        Assert.Equal(StoreError.Malformed, RequestAuthorizer.CheckDeleteRange(subject, "\u000a"u8));
    }

    private static (AuthStore Store, List<Permission> Grants) RandomGrants(Random random)
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

        return (Enabled(grants), grants);
    }

    /// <summary>The permissions are spread over two roles of the user.</summary>
    private static AuthStore Enabled(List<Permission> grants)
    {
        var store = new AuthStore(
            new MemoryBuckets(), new SimpleTokens(new ManualClock(), new Random(1).NextBytes, default), new FakeHasher());
        store.Restore();
        store.UserAdd("root"u8, default, default, true, 1);
        store.UserGrantRole("root"u8, "root"u8);
        store.UserAdd("user"u8, default, default, true, 1);
        for (int i = 0; i < 2; i++)
        {
            byte[] role = [(byte)('0' + i)];
            store.RoleAdd(role);
            store.UserGrantRole("user"u8, role);
            foreach (var grant in grants.Where((_, index) => index % 2 == i))
            {
                store.RoleGrantPermission(role, grant);
            }
        }

        Assert.Equal(StoreError.None, store.Enable());
        return store;
    }

    private TxnRequest RandomTxn(Random random, int depth)
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

    private RequestOp RandomOp(Random random, int depth)
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

    private static ByteString RandomKey(Random random) => Bytes(Alphabet[random.Next(Alphabet.Length)]);

    private static ByteString RandomEnd(Random random) => random.Next(6) switch
    {
        0 or 1 or 2 => ByteString.Empty,
        3 => Bytes("\0"),
        _ => RandomKey(random),
    };

    private bool MayTxn(List<Permission> grants, TxnRequest txn) =>
        txn.Compare.All(compare => Covers(grants, PermissionKind.Read, compare.Key.ToStringUtf8(), compare.RangeEnd.ToStringUtf8()))
        && txn.Success.Concat(txn.Failure).All(op => op.RequestCase switch
        {
            RequestOp.RequestOneofCase.RequestRange => Covers(
                grants, PermissionKind.Read, op.RequestRange.Key.ToStringUtf8(), op.RequestRange.RangeEnd.ToStringUtf8()),
            RequestOp.RequestOneofCase.RequestPut => MayPut(grants, op.RequestPut),
            RequestOp.RequestOneofCase.RequestDeleteRange => MayDelete(grants, op.RequestDeleteRange),
            RequestOp.RequestOneofCase.RequestTxn => MayTxn(grants, op.RequestTxn),
            _ => true,
        });

    private bool MayPut(List<Permission> grants, PutRequest put)
    {
        string key = put.Key.ToStringUtf8();
        return Covers(grants, PermissionKind.Write, key, "")
            && _leases.GetValueOrDefault(put.Lease, []).All(attached => Covers(grants, PermissionKind.Write, attached, ""))
            && (!put.PrevKv || Covers(grants, PermissionKind.Read, key, ""));
    }

    private static bool MayDelete(List<Permission> grants, DeleteRangeRequest delete)
    {
        string key = delete.Key.ToStringUtf8();
        string end = delete.RangeEnd.ToStringUtf8();
        return Covers(grants, PermissionKind.Write, key, end) && (!delete.PrevKv || Covers(grants, PermissionKind.Read, key, end));
    }

    /// <summary>
    /// Key by key over a universe that is fine enough: every letter, what directly follows it, what lies between it
    /// and the next, and something beyond all.
    /// </summary>
    private static bool Covers(List<Permission> grants, PermissionKind kind, string key, string end)
    {
        string[] universe = [.. "abcdefghijklmnop".SelectMany(c => new[] { $"{c}", $"{c}\0", $"{c}\0\0", $"{c}m" }), "zzz"];
        string[] wanted = end.Length == 0
            ? [key]
            : [key, .. universe.Where(k => string.CompareOrdinal(k, key) >= 0 && (end == "\0" || string.CompareOrdinal(k, end) < 0))];
        return wanted.All(k => grants.Any(grant => grant.Kind == kind || grant.Kind == PermissionKind.ReadWrite
            ? Holds(grant, k)
            : false));

        static bool Holds(Permission grant, string k)
        {
            string from = Encoding.UTF8.GetString(grant.Key);
            string to = Encoding.UTF8.GetString(grant.RangeEnd);
            return to.Length == 0
                ? k == from
                : string.CompareOrdinal(k, from) >= 0 && (to == "\0" || string.CompareOrdinal(k, to) < 0);
        }
    }

    private static string Show(List<Permission> grants) => string.Join(' ', grants.Select(
        grant => $"{grant.Kind}[{Encoding.UTF8.GetString(grant.Key)},{Encoding.UTF8.GetString(grant.RangeEnd)})"));

    private static ByteString Bytes(string text) => ByteString.CopyFromUtf8(text);
}
