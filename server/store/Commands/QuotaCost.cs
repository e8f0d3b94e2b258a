namespace Perf.Store.Commands;

/// <summary>What a request is charged against the quota before it is proposed (OPS-03, TXN-11).</summary>
public static class QuotaCost
{
    /// <summary>Charge of a lease grant.</summary>
    public const long LeaseGrant = 64;

    /// <summary>What etcd reckons for a record's surroundings.</summary>
    private const long RecordOverhead = 256;

    /// <summary>Charge of a put.</summary>
    public static long Put(in PutView put) => RecordOverhead + put.Key.Length + put.Value.Length;

    /// <summary>Charge of a txn: the dearer branch, puts only, nested ones included.</summary>
    public static long Txn(ReadOnlySpan<byte> request)
    {
        if (!TxnView.TryParse(request, out TxnView txn))
        {
            return 0;
        }
        return Math.Max(Branch(in txn, true), Branch(in txn, false));
    }

    private static long Branch(in TxnView txn, bool success)
    {
        long cost = 0;
        foreach (ReadOnlySpan<byte> part in txn.Branch(success))
        {
            if (!RequestOpView.TryParse(part, out RequestOpView op))
            {
                continue;
            }
            if (op.Kind == RequestOpKind.Put && PutView.TryParse(op.Body, out PutView put))
            {
                cost += Put(in put);
            }
            else if (op.Kind == RequestOpKind.Txn)
            {
                cost += Txn(op.Body);
            }
        }
        return cost;
    }
}
