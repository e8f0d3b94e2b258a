using System.Text;
using Perf.Store.Auth;
using Perf.Store.Tests.Apply;
using Xunit;

namespace Perf.Store.Tests.Auth;

public sealed class PasswordTests
{
    // Stored by etcd 3.4 and 3.5 for the password "rootpw".
    private const string FromEtcd = "$2a$10$uWghhMDu1kjL9sraIjcMa.dCWYRPOeWcaaw2MTdDbsXnA7.7pv6mG";

    private readonly BcryptHasher _bcrypt = new();

    [Fact]
    public void Hashes_of_etcd_are_verified()
    {
        Assert.True(_bcrypt.Verify(Encoding.ASCII.GetBytes(FromEtcd), "rootpw"u8));
        Assert.False(_bcrypt.Verify(Encoding.ASCII.GetBytes(FromEtcd), "rootpW"u8));
    }

    [Theory]
    [InlineData("")]
    [InlineData("U*U")]
    [InlineData("\u00fc\u20ac")]
    public void Known_vectors_and_round_trips(string password)
    {
        byte[] salt = [.. Enumerable.Range(0, 16).Select(i => (byte)(i * 17))];
        byte[] hash = _bcrypt.Hash(Encoding.UTF8.GetBytes(password), 4, salt)!;

        Assert.Equal(60, hash.Length);
        Assert.StartsWith("$2a$04$", Encoding.ASCII.GetString(hash), StringComparison.Ordinal);
        Assert.True(_bcrypt.Verify(hash, Encoding.UTF8.GetBytes(password)));
        Assert.False(_bcrypt.Verify(hash, Encoding.UTF8.GetBytes(password + "x")));
        Assert.Equal(hash, _bcrypt.Hash(Encoding.UTF8.GetBytes(password), 4, salt));
    }

    [Fact]
    public void The_published_vector_of_bcrypt_holds()
    {
        // OpenBSD's: password "U*U", salt "CCCCCCCCCCCCCCCCCCCCC.".
        Assert.True(_bcrypt.Verify("$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW"u8, "U*U"u8));
    }

    [Fact]
    public void What_bcrypt_cannot_take_in_whole_is_refused()
    {
        Assert.NotNull(_bcrypt.Hash(new byte[72].Select(_ => (byte)'a').ToArray(), 4, new byte[16]));
        Assert.Null(_bcrypt.Hash(new byte[73].Select(_ => (byte)'a').ToArray(), 4, new byte[16]));
        Assert.Null(_bcrypt.Hash("a\0b"u8, 4, new byte[16]));
        Assert.False(_bcrypt.Verify(Encoding.ASCII.GetBytes(FromEtcd), "rootpw\0"u8));
        Assert.False(_bcrypt.Verify(default, default));
        Assert.False(_bcrypt.Verify("$2a$10$short"u8, "rootpw"u8));
        Assert.False(_bcrypt.Verify(new byte[60], "rootpw"u8));
        Assert.Equal(10, BcryptCost.Checked(3));
        Assert.Equal(31, BcryptCost.Checked(31));
    }

    [Fact]
    public void A_right_password_is_hashed_once_and_a_change_forgets_it()
    {
        var hasher = new FakeHasher();
        var store = new AuthStore(new MemoryBuckets(), new SimpleTokens(new ManualClock(), new Random(1).NextBytes, default), hasher);
        store.Restore();
        store.UserAdd("root"u8, "pw"u8, default, false, 1);
        store.UserAdd("cn"u8, default, default, true, 1);
        store.UserGrantRole("root"u8, "root"u8);
        var verifier = new PasswordVerifier(hasher, 4, new Random(2).NextBytes);
        Assert.Equal(StoreError.AuthNotEnabled, verifier.Check(store.View, "root", "pw", out _));
        store.Enable();

        Assert.Equal(StoreError.None, verifier.Check(store.View, "root", "pw", out ulong revision));
        Assert.Equal(StoreError.None, verifier.Check(store.View, "root", "pw", out _));
        Assert.Equal(store.Revision, revision);
        Assert.Equal(1, hasher.Verified);
        Assert.Equal(StoreError.AuthFailed, verifier.Check(store.View, "root", "no", out _));
        Assert.Equal(StoreError.AuthFailed, verifier.Check(store.View, "root", "no", out _));
        Assert.Equal(3, hasher.Verified);

        store.UserChangePassword("root"u8, "new"u8, default, 2);
        Assert.Equal(StoreError.AuthFailed, verifier.Check(store.View, "root", "pw", out _));
        Assert.Equal(StoreError.None, verifier.Check(store.View, "root", "new", out _));

        // An unknown user costs a verification too, and the decoy's own password opens nothing.
        int before = hasher.Verified;
        Assert.Equal(StoreError.AuthFailed, verifier.Check(store.View, "ghost", "decoy", out _));
        Assert.Equal(StoreError.AuthFailed, verifier.Check(store.View, "ghost", "decoy", out _));
        Assert.Equal(before + 2, hasher.Verified);
        Assert.Equal(StoreError.NoPasswordUser, verifier.Check(store.View, "cn", "", out _));
    }

    [Fact]
    public void Simple_tokens_slide_and_expire()
    {
        var clock = new ManualClock();
        var tokens = new SimpleTokens(clock, new Random(3).NextBytes, TimeSpan.FromSeconds(300));
        Assert.Equal("x.1", tokens.Assign("u", 1, "x", 1));
        Assert.Equal(TokenOutcome.Invalid, tokens.Resolve("x.1", 1, 1, out _, out _));
        tokens.Enable();
        tokens.Assign("u", 1, "x", 1);

        for (int i = 0; i < 3; i++)
        {
            clock.Advance(TimeSpan.FromSeconds(299));
            Assert.Equal(TokenOutcome.Valid, tokens.Resolve("x.1", 7, 1, out var info, out _));
            Assert.Equal(new AuthInfo("u", 7), info);
        }

        clock.Advance(TimeSpan.FromSeconds(301));
        Assert.Equal(TokenOutcome.Invalid, tokens.Resolve("x.1", 7, 1, out _, out _));
        Assert.Equal(0, tokens.Count);
    }

    [Fact]
    public void Simple_tokens_of_entries_to_come_are_waited_for()
    {
        var tokens = new SimpleTokens(new ManualClock(), new Random(3).NextBytes, default);
        tokens.Enable();

        Assert.Equal(TokenOutcome.NotYetApplied, tokens.Resolve("abc.12", 1, 11, out _, out ulong index));
        Assert.Equal(12ul, index);
        Assert.Equal(TokenOutcome.Invalid, tokens.Resolve("abc.12", 1, 12, out _, out _));
        Assert.All(
            new[] { "", "abc", "abc.", "abc.x", "a.b.1", "abc.-1", "abc.99999999999999999999" },
            token => Assert.Equal(TokenOutcome.Invalid, tokens.Resolve(token, 1, 11, out _, out _)));
    }

    [Fact]
    public void Simple_tokens_that_nobody_uses_are_swept()
    {
        var clock = new ManualClock();
        var tokens = new SimpleTokens(clock, new Random(3).NextBytes, TimeSpan.FromSeconds(1));
        tokens.Enable();
        for (ulong i = 0; i < 10_000; i++)
        {
            tokens.Assign("u", 1, "p", i);
            clock.Advance(TimeSpan.FromMilliseconds(10));
        }

        Assert.InRange(tokens.Count, 100, 2048);
    }

    [Fact]
    public void Prefixes_are_16_letters_from_the_given_source()
    {
        var tokens = new SimpleTokens(new ManualClock(), new Random(4).NextBytes, default);
        var again = new SimpleTokens(new ManualClock(), new Random(4).NextBytes, default);

        string[] prefixes = [.. Enumerable.Range(0, 200).Select(_ => tokens.NewPrefix())];

        Assert.All(prefixes, prefix => Assert.True(prefix.Length == 16 && prefix.All(char.IsAsciiLetter)));
        Assert.Equal(200, prefixes.Distinct().Count());
        Assert.Equal(prefixes[0], again.NewPrefix());
        Assert.Equal(52, string.Concat(prefixes).Distinct().Count());
    }
}
