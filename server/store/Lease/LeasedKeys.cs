using Perf.Store.Mvcc;

namespace Perf.Store.Lease;

/// <summary>Revocation's deletes, done by the key space.</summary>
public sealed class LeasedKeys : ILeasedKeys
{
    private readonly MvccStore _store;

    public LeasedKeys(MvccStore store)
    {
        _store = store;
    }

    /// <inheritdoc/>
    public void DeleteKeys(ReadOnlySpan<byte[]> keys)
    {
        _store.BeginTxn();
        foreach (byte[] key in keys)
        {
            _store.Delete(key);
        }
        _store.EndTxn();
    }
}
