using System.Text;
using Perf.Store.Auth;
using Perf.Store.Backend;
using Perf.Store.Tests.Apply;
using Xunit;

namespace Perf.Store.Tests.Auth;

public sealed class AuthStoreTests
{
    private readonly MemoryBuckets _buckets = new();
    private readonly SimpleTokens _tokens = new(new ManualClock(), new Random(1).NextBytes, TimeSpan.Zero);
    private readonly AuthStore _store;

    public AuthStoreTests()
    {
        _store = new AuthStore(_buckets, _tokens, new FakeHasher());
        _store.Restore();
    }

    [Fact]
    public void A_new_store_has_revision_1_and_auth_off()
    {
        Assert.Equal(1ul, _store.Revision);
        Assert.False(_store.Enabled);
        Assert.Equal("0000000000000001", Convert.ToHexString(_buckets.Get(Buckets.Auth, "authRevision"u8)!));
    }

    [Fact]
    public void Records_are_those_of_a_real_etcd()
    {
        // What etcd 3.4 and 3.5 stored after exactly these requests; only the salt of a hash is each store's own.
        const string Hash = "$2a$10$uWghhMDu1kjL9sraIjcMa.dCWYRPOeWcaaw2MTdDbsXnA7.7pv6mG";
        AddUser("root", Hash);
        AddUser("alice", Hash);
        Ok(_store.UserAdd("cn-only"u8, default, default, noPassword: true, 1));
        Ok(_store.RoleAdd("app"u8));
        Ok(_store.RoleGrantPermission("app"u8, new Permission(PermissionKind.Read, "nested"u8.ToArray(), [0])));
        Ok(_store.RoleGrantPermission("app"u8, new Permission(PermissionKind.ReadWrite, "k0"u8.ToArray(), "k1"u8.ToArray())));
        Ok(_store.UserGrantRole("alice"u8, "app"u8));
        Ok(_store.UserGrantRole("root"u8, "root"u8));
        Ok(_store.Enable());

        Assert.Equal("\n\u0005alice\u0012<" + Hash + "\u001a\u0003app\"\0", Text(Buckets.AuthUsers, "alice"));
        Assert.Equal("\n\u0007cn-only\"\u0002\u0008\u0001", Text(Buckets.AuthUsers, "cn-only"));
        Assert.Equal("\n\u0004root\u0012<" + Hash + "\u001a\u0004root\"\0", Text(Buckets.AuthUsers, "root"));
        Assert.Equal(
            "\n\u0003app\u0012\n\u0008\u0002\u0012\u0002k0\u001a\u0002k1\u0012\u000b\u0012\u0006nested\u001a\u0001\0",
            Text(Buckets.AuthRoles, "app"));
        Assert.Equal("\u0001", Text(Buckets.Auth, "authEnabled"));
        Assert.Equal("\0\0\0\0\0\0\0\t", Text(Buckets.Auth, "authRevision"));

        var reopened = new AuthStore(_buckets, _tokens, new FakeHasher());
        reopened.Restore();
        Assert.True(reopened.Enabled);
        Assert.Equal(9ul, reopened.Revision);
        Assert.Equal(StoreError.None, reopened.Subject("alice"u8, 9).Check(PermissionKind.Read, "zzz"u8, default));
    }

    [Fact]
    public void Old_records_without_options_stay_without_them()
    {
        _buckets.Put(Buckets.AuthUsers, "old"u8, "\n\u0003old\u0012\u0001h"u8);
        _store.Restore();
        Ok(_store.RoleAdd("r"u8));
        Ok(_store.UserGrantRole("old"u8, "r"u8));

        Assert.Equal("\n\u0003old\u0012\u0001h\u001a\u0001r", Text(Buckets.AuthUsers, "old"));
    }

    [Fact]
    public void Damaged_records_are_refused()
    {
        _buckets.Put(Buckets.AuthUsers, "x"u8, "\n\u0009short"u8);
        Assert.Throws<InvalidDataException>(_store.Restore);
        _buckets.Delete(Buckets.AuthUsers, "x"u8);
        _buckets.Put(Buckets.AuthRoles, "x"u8, "\u0012\u0002\u0012\u0009"u8);
        Assert.Throws<InvalidDataException>(_store.Restore);
    }

    [Fact]
    public void Enabling_wants_root_with_role_root_and_does_not_move_the_revision()
    {
        Assert.Equal(StoreError.RootUserNotExist, _store.Enable());
        AddUser("root");
        Assert.Equal(StoreError.RootRoleNotExist, _store.Enable());
        Ok(_store.UserGrantRole("root"u8, "root"u8));
        Assert.Equal(3ul, _store.Revision);

        Ok(_store.Enable());
        Ok(_store.Enable());
        Assert.Equal(3ul, _store.Revision);
        _store.Disable();
        _store.Disable();
        Assert.Equal(4ul, _store.Revision);
        Assert.Equal("\0", Text(Buckets.Auth, "authEnabled"));
    }

    [Fact]
    public void What_keeps_auth_manageable_cannot_be_removed_while_it_is_on()
    {
        EnableWithRoot();
        Ok(_store.RoleAdd("root"u8));

        Assert.Equal(StoreError.InvalidAuthMgmt, _store.UserDelete("root"u8));
        Assert.Equal(StoreError.InvalidAuthMgmt, _store.UserRevokeRole("root"u8, "root"u8));
        Assert.Equal(StoreError.InvalidAuthMgmt, _store.RoleDelete("root"u8));
        _store.Disable();
        Ok(_store.RoleDelete("root"u8));
        Ok(_store.UserDelete("root"u8));
    }

    [Fact]
    public void Users_and_roles_have_etcds_error_rules()
    {
        Assert.Equal(StoreError.UserEmpty, _store.UserAdd(default, default, default, false, 1));
        AddUser("u");
        Assert.Equal(StoreError.UserAlreadyExist, _store.UserAdd("u"u8, default, default, false, 1));
        Assert.Equal(StoreError.NoPasswordUser, _store.UserAdd("v"u8, default, "not base 64"u8, false, 1));
        Assert.Equal(StoreError.NoPasswordUser, _store.UserAdd("v"u8, new byte[73], default, false, 1));
        Assert.Equal(StoreError.UserNotFound, _store.UserDelete("x"u8));
        Assert.Equal(StoreError.UserNotFound, _store.UserChangePassword("x"u8, default, default, 1));
        Assert.Equal(StoreError.UserNotFound, _store.UserGrantRole("x"u8, "r"u8));
        Assert.Equal(StoreError.RoleNotFound, _store.UserGrantRole("u"u8, "r"u8));
        Assert.Equal(StoreError.RoleNotGranted, _store.UserRevokeRole("u"u8, "r"u8));
        Assert.Equal(StoreError.RoleEmpty, _store.RoleAdd(default));
        Ok(_store.RoleAdd("r"u8));
        Assert.Equal(StoreError.RoleAlreadyExist, _store.RoleAdd("r"u8));
        Assert.Equal(StoreError.RoleNotFound, _store.RoleDelete("x"u8));
        Assert.Equal(StoreError.PermissionNotGiven, _store.RoleGrantPermission("r"u8, null));
        Assert.Equal(StoreError.InvalidAuthMgmt, Grant("r", "", ""));
        Assert.Equal(StoreError.InvalidAuthMgmt, Grant("r", "b", "a"));
        Assert.Equal(StoreError.InvalidAuthMgmt, Grant("r", "b", "b"));
        Assert.Equal(StoreError.RoleNotFound, Grant("x", "a", "b"));
        Assert.Equal(StoreError.None, Grant("r", "b", "\0"));
        Assert.Equal(StoreError.PermissionNotGranted, _store.RoleRevokePermission("r"u8, "b"u8, default));
        Assert.Equal(StoreError.None, _store.RoleRevokePermission("r"u8, "b"u8, "\0"u8));
    }

    [Fact]
    public void Refusals_leave_no_trace()
    {
        AddUser("u");
        string before = _buckets.Dump();
        ulong revision = _store.Revision;

        _store.UserAdd("u"u8, default, default, false, 1);
        _store.UserGrantRole("u"u8, "none"u8);
        _store.RoleDelete("none"u8);
        _store.Enable();

        Assert.Equal(before, _buckets.Dump());
        Assert.Equal(revision, _store.Revision);
    }

    [Fact]
    public void Granting_twice_is_a_success_that_changes_nothing()
    {
        AddUser("u");
        Ok(_store.RoleAdd("b"u8));
        Ok(_store.RoleAdd("a"u8));
        Ok(_store.UserGrantRole("u"u8, "b"u8));
        Ok(_store.UserGrantRole("u"u8, "a"u8));
        ulong revision = _store.Revision;
        Ok(_store.UserGrantRole("u"u8, "a"u8));

        Assert.Equal(revision, _store.Revision);
        Ok(_store.UserGet("u"u8, out var roles));
        Assert.Equal(["a", "b"], roles.Select(Encoding.UTF8.GetString));
    }

    [Fact]
    public void Deleting_a_role_takes_it_from_all_users_at_once()
    {
        AddUser("u");
        AddUser("v");
        Ok(_store.RoleAdd("r"u8));
        Ok(_store.UserGrantRole("u"u8, "r"u8));
        Ok(_store.UserGrantRole("v"u8, "r"u8));
        ulong revision = _store.Revision;

        Ok(_store.RoleDelete("r"u8));

        Assert.Equal(revision + 1, _store.Revision);
        Ok(_store.UserGet("v"u8, out var roles));
        Assert.Empty(roles);
        Assert.DoesNotContain("r", Text(Buckets.AuthUsers, "u")![^3..], StringComparison.Ordinal);
    }

    [Fact]
    public void A_changed_role_counts_at_once_for_everybody_who_holds_it()
    {
        EnableWithRoot();
        AddUser("u");
        Ok(_store.RoleAdd("r"u8));
        Ok(_store.UserGrantRole("u"u8, "r"u8));
        Assert.Equal(StoreError.PermissionDenied, Check("u", PermissionKind.Read, "k"));

        Ok(Grant("r", "k", ""));
        Assert.Equal(StoreError.None, Check("u", PermissionKind.Read, "k"));
        Ok(Grant("r", "k", "", PermissionKind.Write));
        Assert.Equal(StoreError.PermissionDenied, Check("u", PermissionKind.Read, "k"));
        Assert.Equal(StoreError.None, Check("u", PermissionKind.Write, "k"));
        Ok(_store.RoleRevokePermission("r"u8, "k"u8, default));
        Assert.Equal(StoreError.PermissionDenied, Check("u", PermissionKind.Write, "k"));
    }

    [Fact]
    public void Who_asks_is_checked_before_what_is_asked()
    {
        EnableWithRoot();
        AddUser("u");
        ulong revision = _store.Revision;

        Assert.Equal(StoreError.UserEmpty, _store.Subject(default, 0).Check(PermissionKind.Read, "k"u8, default));
        Assert.Equal(StoreError.AuthOldRevision, _store.Subject("root"u8, revision - 1).Check(PermissionKind.Read, "k"u8, default));
        Assert.Equal(StoreError.PermissionDenied, _store.Subject("ghost"u8, revision).Check(PermissionKind.Read, "k"u8, default));
        Assert.Equal(StoreError.None, _store.Subject("root"u8, revision).Check(PermissionKind.Read, "k"u8, "\0"u8));

        // Administration does not ask for the revision, in etcd as here.
        Assert.Equal(StoreError.None, _store.Subject("root"u8, 1).CheckAdmin());
        Assert.Equal(StoreError.UserEmpty, _store.Subject(default, revision).CheckAdmin());
        Assert.Equal(StoreError.UserNotFound, _store.Subject("ghost"u8, revision).CheckAdmin());
        Assert.Equal(StoreError.PermissionDenied, _store.Subject("u"u8, revision).CheckAdmin());
        Assert.True(_store.Subject("root"u8, revision).MayDoEverything);
        Assert.False(_store.Subject("root"u8, revision - 1).MayDoEverything);
        _store.Disable();
        Assert.True(_store.Subject(default, 0).MayDoEverything);
        Assert.Equal(StoreError.None, _store.View.Subject(null).CheckAdmin());
    }

    [Fact]
    public void Views_are_values()
    {
        EnableWithRoot();
        var before = _store.View;
        AddUser("u");

        Assert.False(before.HasUser("u"));
        Assert.True(_store.View.HasUser("u"));
        Assert.Same(_store.View, _store.View);
        Assert.Equal(before.Revision + 1, _store.View.Revision);
        Assert.Equal(StoreError.UserEmpty, before.Subject(null).Check(PermissionKind.Read, "k"u8, default));
        Assert.Equal(StoreError.None, before.Subject(new AuthInfo("root", before.Revision)).CheckAdmin());
    }

    [Fact]
    public void Clear_passwords_give_the_same_hash_on_every_member()
    {
        var other = new MemoryBuckets();
        var twin = new AuthStore(other, _tokens, new FakeHasher());
        twin.Restore();

        Ok(_store.UserAdd("u"u8, "secret"u8, default, false, 17));
        Ok(twin.UserAdd("u"u8, "secret"u8, default, false, 17));
        Assert.Equal(_buckets.Dump(), other.Dump());
        Ok(_store.UserChangePassword("u"u8, "secret"u8, default, 18));
        Assert.NotEqual(_buckets.Dump(), other.Dump());
    }

    [Fact]
    public void Tokens_live_and_die_with_their_users()
    {
        EnableWithRoot();
        AddUser("u");
        Ok(_store.UserAdd("cn"u8, default, default, noPassword: true, 1));
        Assert.Equal(StoreError.AuthFailed, _store.Authenticate("ghost"u8, "p", 9, out _));
        Assert.Equal(StoreError.AuthFailed, _store.Authenticate("cn"u8, "p", 9, out _));
        Ok(_store.Authenticate("u"u8, "abc", 9, out string token));
        Ok(_store.Authenticate("root"u8, "def", 10, out string rootToken));

        Assert.Equal("abc.9", token);
        Assert.Equal(TokenOutcome.Valid, _tokens.Resolve(token, 5, 9, out var info, out _));
        Assert.Equal(new AuthInfo("u", 5), info);
        Ok(_store.UserChangePassword("u"u8, default, Base64("h"), 11));
        Assert.Equal(TokenOutcome.Invalid, _tokens.Resolve(token, 5, 9, out _, out _));
        Assert.Equal(TokenOutcome.Valid, _tokens.Resolve(rootToken, 5, 10, out _, out _));
        _store.Disable();
        Assert.Equal(TokenOutcome.Invalid, _tokens.Resolve(rootToken, 5, 10, out _, out _));
        Assert.Equal(StoreError.AuthNotEnabled, _store.Authenticate("u"u8, "p", 12, out _));
    }

    [Fact]
    public void Self_contained_tokens_are_made_only_for_who_waits()
    {
        var signer = new Signer();
        var store = new AuthStore(new MemoryBuckets(), signer, new FakeHasher());
        store.Restore();
        Ok(store.UserAdd("root"u8, "pw"u8, default, false, 1));
        Ok(store.UserGrantRole("root"u8, "root"u8));
        Ok(store.Enable());

        Ok(store.Authenticate("root"u8, "", 5, out string token, isAwaited: false));
        Assert.Equal((0, ""), (signer.Signed, token));
        Ok(store.Authenticate("root"u8, "", 6, out token));
        Assert.Equal((1, "signed"), (signer.Signed, token));
    }

    /// <summary>A provider as JWT will be.</summary>
    private sealed class Signer : ITokenProvider
    {
        public int Signed { get; private set; }

        public bool IsReplicated => false;

        public void Enable()
        {
        }

        public void Disable()
        {
        }

        public void InvalidateUser(string username)
        {
        }

        public string NewPrefix() => "";

        public string? Assign(string username, ulong authRevision, string prefix, ulong index)
        {
            Signed++;
            return "signed";
        }

        public TokenOutcome Resolve(
            string token, ulong authRevision, ulong appliedIndex, out AuthInfo info, out ulong awaitIndex)
        {
            info = default;
            awaitIndex = 0;
            return TokenOutcome.Invalid;
        }
    }

    private static void Ok(StoreError error) => Assert.Equal(StoreError.None, error);

    private static byte[] Base64(string text) => Encoding.ASCII.GetBytes(Convert.ToBase64String(Encoding.ASCII.GetBytes(text)));

    private void AddUser(string name, string hash = "hash") =>
        Ok(_store.UserAdd(Encoding.UTF8.GetBytes(name), default, Base64(hash), false, 1));

    private void EnableWithRoot()
    {
        AddUser("root");
        Ok(_store.UserGrantRole("root"u8, "root"u8));
        Ok(_store.Enable());
    }

    private StoreError Grant(string role, string key, string end, PermissionKind kind = PermissionKind.Read) =>
        _store.RoleGrantPermission(
            Encoding.UTF8.GetBytes(role), new Permission(kind, Encoding.UTF8.GetBytes(key), Encoding.UTF8.GetBytes(end)));

    private StoreError Check(string user, PermissionKind kind, string key)
    {
        var live = _store.Subject(Encoding.UTF8.GetBytes(user), _store.Revision).Check(kind, Encoding.UTF8.GetBytes(key), default);
        var view = _store.View;
        Assert.Equal(live, view.Subject(new AuthInfo(user, view.Revision)).Check(kind, Encoding.UTF8.GetBytes(key), default));
        return live;
    }

    private string? Text(string bucket, string key) =>
        _buckets.Get(bucket, Encoding.UTF8.GetBytes(key)) is { } value ? Encoding.Latin1.GetString(value) : null;
}
