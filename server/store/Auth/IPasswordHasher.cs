namespace Perf.Store.Auth;

/// <summary>bcrypt. Any thread; both calls are slow by design (tens of milliseconds at cost 10).</summary>
public interface IPasswordHasher
{
    /// <summary>A bcrypt string (<c>$2a$...</c>, 60 characters), or null when the password is longer than the 72
    /// bytes bcrypt takes in, or holds a zero byte.</summary>
    byte[]? Hash(ReadOnlySpan<byte> password, int cost, ReadOnlySpan<byte> salt);

    /// <summary>True when the password gave the hash.</summary>
    bool Verify(ReadOnlySpan<byte> hash, ReadOnlySpan<byte> password);
}

/// <summary>Limits of bcrypt's cost.</summary>
public static class BcryptCost
{
    public const int Min = 4;
    public const int Default = 10;
    public const int Max = 31;

    /// <summary>The cost to use for a configured one: the default when it is outside the limits.</summary>
    public static int Checked(int cost) => cost is >= Min and <= Max ? cost : Default;
}
