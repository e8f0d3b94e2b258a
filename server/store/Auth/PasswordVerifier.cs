using System.Security.Cryptography;
using System.Text;

namespace Perf.Store.Auth;

/// <summary>
/// Checks passwords before an authentication is proposed, outside apply. One check costs tens of milliseconds of
/// processor: callers run it on a pool they bound. A password that was right a moment ago is remembered as a keyed
/// digest over the stored hash as well, so a changed password forgets it by itself.
/// </summary>
public sealed class PasswordVerifier
{
    private const int CacheEntriesMax = 1024;
    private const int KeyBytes = 32;
    private const int SaltBytes = 16;

    private readonly Lock _gate = new();
    private readonly IPasswordHasher _hasher;
    private readonly Lazy<byte[]> _key;
    private readonly Lazy<byte[]> _decoy;
    private readonly HashSet<string> _right = new(StringComparer.Ordinal);
    private readonly Queue<string> _oldest = new();

    /// <summary>
    /// The decoy is a hash of the configured cost, for users that are not there. It is made at the first check, whoever
    /// asks, as is the key: at start it would be tens of milliseconds, for nothing where nobody has a password.
    /// </summary>
    public PasswordVerifier(IPasswordHasher hasher, int bcryptCost, RandomFill random)
    {
        _hasher = hasher;
        _key = new Lazy<byte[]>(() => Random(KeyBytes));
        _decoy = new Lazy<byte[]>(() => hasher.Hash("decoy"u8, bcryptCost, Random(SaltBytes)) ?? []);

        byte[] Random(int bytes)
        {
            byte[] result = new byte[bytes];
            random(result);
            return result;
        }
    }

    /// <summary>
    /// Checks a password against a view. Gives the view's revision: authenticate again when it has moved meanwhile.
    /// An unknown user costs as much as a wrong password.
    /// </summary>
    public StoreError Check(AuthView view, string username, string password, out ulong revision)
    {
        revision = view.Revision;
        if (!view.Enabled)
        {
            return StoreError.AuthNotEnabled;
        }

        byte[] decoy = _decoy.Value;
        byte[] secret = Encoding.UTF8.GetBytes(password);
        try
        {
            var user = view.Find(username);
            if (user is { NoPassword: true })
            {
                return StoreError.NoPasswordUser;
            }

            byte[] hash = user?.Password ?? decoy;
            string digest = Digest(hash, secret);
            lock (_gate)
            {
                if (user is not null && _right.Contains(digest))
                {
                    return StoreError.None;
                }
            }

            if (!_hasher.Verify(hash, secret) || user is null)
            {
                return StoreError.AuthFailed;
            }

            Remember(digest);
            return StoreError.None;
        }
        finally
        {
            CryptographicOperations.ZeroMemory(secret);
        }
    }

    /// <summary>Forgets every remembered password.</summary>
    public void Clear()
    {
        lock (_gate)
        {
            _right.Clear();
            _oldest.Clear();
        }
    }

    private void Remember(string digest)
    {
        lock (_gate)
        {
            if (!_right.Add(digest))
            {
                return;
            }

            _oldest.Enqueue(digest);
            if (_oldest.Count > CacheEntriesMax)
            {
                _right.Remove(_oldest.Dequeue());
            }
        }
    }

    private string Digest(byte[] hash, byte[] secret)
    {
        // The stored hash has a fixed length, so the two parts cannot run into each other. Its salt is the user's own.
        byte[] both = new byte[hash.Length + secret.Length];
        hash.CopyTo(both, 0);
        secret.CopyTo(both, hash.Length);
        string digest = Convert.ToBase64String(HMACSHA256.HashData(_key.Value, both));
        CryptographicOperations.ZeroMemory(both);
        return digest;
    }
}
