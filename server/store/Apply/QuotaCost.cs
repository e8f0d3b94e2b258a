using Perf.Store.Commands;

namespace Perf.Store.Apply;

/// <summary>
/// What a request may add to the database, as etcd estimates it against the quota. 0: it adds nothing and is never
/// refused for space.
/// </summary>
public static class QuotaCost
{
    /// <summary>Of a lease.</summary>
    public const int LeaseBytes = 64;

    /// <summary>Of a key and value, beside their bytes.</summary>
    public const int KeyValueBytes = 256;

    /// <summary>PutRequest.</summary>
    public static long Put(ReadOnlySpan<byte> request) =>
        PutView.TryParse(request, out var put) ? KeyValueBytes + put.Key.Length + put.Value.Length : 0;

    /// <summary>TxnRequest: the dearer branch, nested ones included.</summary>
    public static long Txn(ReadOnlySpan<byte> request) => Txn(request, depth: 0);

    private static long Txn(ReadOnlySpan<byte> request, int depth)
    {
        if (depth > RequestValidator.TxnDepthMax || !TxnView.TryParse(request, out var txn))
        {
            return 0;
        }

        return Math.Max(Branch(txn.Branch(success: true), depth), Branch(txn.Branch(success: false), depth));
    }

    private static long Branch(TxnPartEnumerator branch, int depth)
    {
        long cost = 0;
        foreach (var bytes in branch)
        {
            if (RequestOpView.TryParse(bytes, out var op))
            {
                cost += op.Kind switch
                {
                    RequestOpKind.Put => Put(op.Body),
                    RequestOpKind.Txn => Txn(op.Body, depth + 1),
                    _ => 0,
                };
            }
        }

        return cost;
    }
}
