using System.Text;
using Etcdserverpb;
using Google.Protobuf;
using Perf.Store.Auth;
using Perf.Store.Tests.Apply;
using Xunit;

namespace Perf.Store.Tests.Auth;

/// <summary>The authorizer against <see cref="AuthModel"/>, and where it must not be fooled.</summary>
public sealed class AuthorizerTests : ILeaseKeys
{
    private readonly Dictionary<long, string[]> _leases = new() { [1] = ["a"], [2] = ["c", "g"], [3] = [] };

    public IReadOnlyList<byte[]> KeysOf(long lease) =>
        _leases.TryGetValue(lease, out string[]? keys) ? [.. keys.Select(Encoding.UTF8.GetBytes)] : [];

    [Theory]
    [InlineData(11)]
    [InlineData(12)]
    public void Ten_thousand_random_txn_trees_are_allowed_exactly_when_every_leaf_is(int seed)
    {
        var model = new AuthModel(lease => _leases.GetValueOrDefault(lease, []));
        var random = new Random(seed);
        int allowed = 0;
        int trees = 0;
        for (int round = 0; round < 250; round++)
        {
            List<Permission> grants = AuthModel.RandomGrants(random);
            AuthStore store = Enabled(grants);
            for (int i = 0; i < 20; i++, trees++)
            {
                var txn = AuthModel.RandomTxn(random);
                bool expected = model.May(grants, txn);

                var subject = store.Subject("user"u8, store.Revision);
                var outcome = RequestAuthorizer.CheckTxn(subject, txn.ToByteArray(), this);

                Assert.True(
                    outcome == (expected ? StoreError.None : StoreError.PermissionDenied),
                    $"seed {seed} round {round}.{i}: {outcome}, expected allowed={expected}: {txn} with {AuthModel.Show(grants)}");
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
            List<Permission> grants = AuthModel.RandomGrants(random);
            AuthStore store = Enabled(grants);
            var subject = store.Subject("user"u8, store.Revision);
            foreach (string key in AuthModel.Alphabet)
            {
                foreach (string end in ends)
                {
                    bool expected = AuthModel.Covers(grants, PermissionKind.Read, key, end);
                    var request = new RangeRequest { Key = Bytes(key), RangeEnd = Bytes(end) };
                    var outcome = RequestAuthorizer.CheckRange(subject, request.ToByteArray());
                    Assert.True(
                        outcome == (expected ? StoreError.None : StoreError.PermissionDenied),
                        $"[{key},{end}) {outcome}, expected {expected} with {AuthModel.Show(grants)}");
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

    private static ByteString Bytes(string text) => ByteString.CopyFromUtf8(text);
}
