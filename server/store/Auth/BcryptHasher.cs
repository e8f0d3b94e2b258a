using System.Globalization;
using System.Runtime.InteropServices;
using System.Security.Cryptography;
using System.Text;

namespace Perf.Store.Auth;

/// <summary>bcrypt by the system's libcrypt.</summary>
public sealed class BcryptHasher : IPasswordHasher
{
    private const int HashBytes = 60;
    private const int SaltBytes = 16;
    private const int PasswordBytesMax = 72;

    /// <summary>Size of libxcrypt's struct crypt_data; older libraries need less.</summary>
    private const int CryptDataBytes = 32768;
    private const string Alphabet = "./ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";

    /// <inheritdoc/>
    public byte[]? Hash(ReadOnlySpan<byte> password, int cost, ReadOnlySpan<byte> salt)
    {
        ArgumentOutOfRangeException.ThrowIfNotEqual(salt.Length, SaltBytes);
        if (password.Length > PasswordBytesMax)
        {
            return null;
        }

        string setting = string.Create(CultureInfo.InvariantCulture, $"$2b${BcryptCost.Checked(cost):D2}${Base64(salt)}");
        byte[]? hash = Crypt(password, Encoding.ASCII.GetBytes(setting));
        if (hash is not null)
        {
            // The same function; etcd's library names it 2a.
            hash[2] = (byte)'a';
        }

        return hash;
    }

    /// <inheritdoc/>
    public bool Verify(ReadOnlySpan<byte> hash, ReadOnlySpan<byte> password)
    {
        if (hash.Length != HashBytes || !hash.StartsWith("$2"u8) || hash[2] is not ((byte)'a' or (byte)'b' or (byte)'y'))
        {
            return false;
        }

        // libcrypt treats some 2a inputs specially, for the sake of an old bug of its own that Go never had.
        byte[] setting = hash.ToArray();
        setting[2] = (byte)'b';
        byte[]? computed = Crypt(password, setting);
        return computed is not null && CryptographicOperations.FixedTimeEquals(computed.AsSpan(3), hash[3..]);
    }

    private static byte[]? Crypt(ReadOnlySpan<byte> password, byte[] setting)
    {
        // crypt takes text that ends at a zero byte, and so does half a password.
        if (password.Contains((byte)0))
        {
            return null;
        }

        byte[] phrase = new byte[password.Length + 1];
        nint data = Marshal.AllocHGlobal(CryptDataBytes);
        try
        {
            // The library wants the block zeroed, and answers with a pointer into it.
            Marshal.Copy(new byte[CryptDataBytes], 0, data, CryptDataBytes);
            password.CopyTo(phrase);
            nint result = CryptR(phrase, [.. setting, 0], data);
            string? text = result == 0 ? null : Marshal.PtrToStringAnsi(result);
            return text is null || text.Length != HashBytes || text[0] != '$' ? null : Encoding.ASCII.GetBytes(text);
        }
        finally
        {
            CryptographicOperations.ZeroMemory(phrase);
            Marshal.Copy(new byte[CryptDataBytes], 0, data, CryptDataBytes);
            Marshal.FreeHGlobal(data);
        }
    }

    /// <summary>bcrypt's own base 64: other letters, no padding, most significant bits first.</summary>
    private static string Base64(ReadOnlySpan<byte> source)
    {
        var text = new StringBuilder();
        uint bits = 0;
        int count = 0;
        foreach (byte b in source)
        {
            bits = (bits << 8) | b;
            for (count += 8; count >= 6; count -= 6)
            {
                text.Append(Alphabet[(int)(bits >> (count - 6)) & 63]);
            }
        }

        return count == 0 ? text.ToString() : text.Append(Alphabet[(int)(bits << (6 - count)) & 63]).ToString();
    }

    // Spans cannot travel here without unsafe code, byte arrays are pinned by the runtime for the call.
#pragma warning disable SYSLIB1054
    [DllImport("libcrypt.so.1", EntryPoint = "crypt_r")]
    [DefaultDllImportSearchPaths(DllImportSearchPath.SafeDirectories)]
    private static extern nint CryptR(byte[] phrase, byte[] setting, nint data);
#pragma warning restore SYSLIB1054
}
