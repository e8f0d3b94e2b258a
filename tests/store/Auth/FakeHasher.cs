using System.Text;
using Perf.Store.Auth;

namespace Perf.Store.Tests.Auth;

/// <summary>Fast, readable and deterministic; counts what it is asked.</summary>
internal sealed class FakeHasher : IPasswordHasher
{
    public int Verified { get; private set; }

    public byte[]? Hash(ReadOnlySpan<byte> password, int cost, ReadOnlySpan<byte> salt) => password.Length > 72
        ? null
        : Encoding.UTF8.GetBytes($"{cost}:{Convert.ToHexString(salt)}:{Encoding.UTF8.GetString(password)}");

    public bool Verify(ReadOnlySpan<byte> hash, ReadOnlySpan<byte> password)
    {
        Verified++;
        return Encoding.UTF8.GetString(hash).EndsWith(":" + Encoding.UTF8.GetString(password), StringComparison.Ordinal);
    }
}
