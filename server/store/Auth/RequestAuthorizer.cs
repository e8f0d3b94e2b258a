using Perf.Store.Commands;

namespace Perf.Store.Auth;

/// <summary>Which keys hang on a lease.</summary>
public interface ILeaseKeys
{
    /// <summary>The keys; empty when there is no such lease or nothing hangs on it.</summary>
    IReadOnlyList<byte[]> KeysOf(long lease);
}

/// <summary>
/// Decides whether a user may make a request: walks the very bytes that will be executed, every leaf of them. One
/// leaf denied is the whole request denied; nothing was done, nothing was read. Answers are those of the first
/// denied leaf in etcd's order of checking.
/// </summary>
public static class RequestAuthorizer
{
    /// <summary>PutRequest: the key, what hangs on its lease, and the key's present value if that is asked for.</summary>
    public static StoreError CheckPut(
        in AuthSubject subject, ReadOnlySpan<byte> request, ILeaseKeys leases, AuthRules rules = AuthRules.Whole)
    {
        return PutView.TryParse(request, out var put) ? CheckPut(subject, put, leases, rules) : StoreError.Malformed;
    }

    /// <summary>The same for one that has been read.</summary>
    public static StoreError CheckPut(
        in AuthSubject subject, in PutView put, ILeaseKeys leases, AuthRules rules = AuthRules.Whole)
    {
        var error = subject.Check(PermissionKind.Write, put.Key, default);
        if (error == StoreError.None)
        {
            // Whoever may attach to a lease may later delete what else hangs on it.
            error = CheckLeaseKeys(subject, put.Lease, leases, rules: rules);
        }

        return error == StoreError.None && put.PrevKv ? subject.Check(PermissionKind.Read, put.Key, default) : error;
    }

    /// <summary>RangeRequest.</summary>
    public static StoreError CheckRange(in AuthSubject subject, ReadOnlySpan<byte> request) =>
        RangeView.TryParse(request, out var range)
            ? subject.Check(PermissionKind.Read, range.Key, range.RangeEnd)
            : StoreError.Malformed;

    /// <summary>DeleteRangeRequest; what it returns of the deleted must be readable as well.</summary>
    public static StoreError CheckDeleteRange(in AuthSubject subject, ReadOnlySpan<byte> request)
    {
        if (!DeleteRangeView.TryParse(request, out var delete))
        {
            return StoreError.Malformed;
        }

        var error = subject.Check(PermissionKind.Write, delete.Key, delete.RangeEnd);
        return error == StoreError.None && delete.PrevKv
            ? subject.Check(PermissionKind.Read, delete.Key, delete.RangeEnd)
            : error;
    }

    /// <summary>TxnRequest: all compares, and all operations of both branches, nested ones too.</summary>
    public static StoreError CheckTxn(
        in AuthSubject subject, ReadOnlySpan<byte> request, ILeaseKeys leases, AuthRules rules = AuthRules.Whole) =>
        CheckTxn(subject, request, leases, rules, depth: 0);

    /// <summary>Revoking a lease deletes what hangs on it.</summary>
    public static StoreError CheckLeaseRevoke(
        in AuthSubject subject, long lease, ILeaseKeys leases, AuthRules rules = AuthRules.Whole) =>
        CheckLeaseKeys(subject, lease, leases, rules: rules);

    /// <summary>A keep-alive needs the same as a put with the lease; telling the keys needs to read them.</summary>
    public static StoreError CheckLeaseKeys(
        in AuthSubject subject,
        long lease,
        ILeaseKeys leases,
        PermissionKind kind = PermissionKind.Write,
        AuthRules rules = AuthRules.Whole) =>
        lease == 0 ? StoreError.None : CheckKeys(subject, leases.KeysOf(lease), kind, rules);

    /// <summary>Each of some keys by itself; an administrator needs no permissions, and (but in 3.4) no new token.</summary>
    public static StoreError CheckKeys(
        in AuthSubject subject, IReadOnlyList<byte[]> keys, PermissionKind kind, AuthRules rules = AuthRules.Whole)
    {
        if (rules == AuthRules.Whole && subject.CheckAdmin() == StoreError.None)
        {
            return StoreError.None;
        }

        for (int i = 0; i < keys.Count; i++)
        {
            var error = subject.Check(kind, keys[i], default);
            if (error != StoreError.None)
            {
                return error;
            }
        }

        return StoreError.None;
    }

    private static StoreError CheckKey(in AuthSubject subject, ReadOnlySpan<byte> request) =>
        PutView.TryParse(request, out var put)
            ? subject.Check(PermissionKind.Write, put.Key, default)
            : StoreError.Malformed;

    private static StoreError CheckTxn(
        in AuthSubject subject, ReadOnlySpan<byte> request, ILeaseKeys leases, AuthRules rules, int depth)
    {
        if (depth > RequestValidator.TxnDepthMax || !TxnView.TryParse(request, out var txn))
        {
            return StoreError.Malformed;
        }

        foreach (var bytes in txn.Compares)
        {
            if (!CompareView.TryParse(bytes, out var compare))
            {
                return StoreError.Malformed;
            }

            var error = subject.Check(PermissionKind.Read, compare.Key, compare.RangeEnd);
            if (error != StoreError.None)
            {
                return error;
            }
        }

        var result = CheckBranch(subject, txn.Branch(success: true), leases, rules, depth);
        return result == StoreError.None ? CheckBranch(subject, txn.Branch(success: false), leases, rules, depth) : result;
    }

    private static StoreError CheckBranch(
        in AuthSubject subject, TxnPartEnumerator branch, ILeaseKeys leases, AuthRules rules, int depth)
    {
        foreach (var bytes in branch)
        {
            if (!RequestOpView.TryParse(bytes, out var op))
            {
                return StoreError.Malformed;
            }

#if MUTANTS
            if (Mutant.Is("20-nested-txn-unchecked") && op.Kind == RequestOpKind.Txn)
            {
                continue;
            }
#endif
            var error = op.Kind switch
            {
                RequestOpKind.Range => CheckRange(subject, op.Body),
                RequestOpKind.Put when rules == AuthRules.V34 => CheckKey(subject, op.Body),
                RequestOpKind.Put => CheckPut(subject, op.Body, leases),
                RequestOpKind.DeleteRange => CheckDeleteRange(subject, op.Body),
                RequestOpKind.Txn when rules == AuthRules.V34 => StoreError.None,
                RequestOpKind.Txn => CheckTxn(subject, op.Body, leases, rules, depth + 1),
                _ => StoreError.None,
            };
            if (error != StoreError.None)
            {
                return error;
            }
        }

        return StoreError.None;
    }
}
