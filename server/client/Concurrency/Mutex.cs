using System.Globalization;

namespace Perf.Client.Concurrency;

/// <summary>
/// A lock shared through etcd. The holder is the session whose key under the name is the oldest; the others wait for
/// the key before theirs to go.
/// </summary>
/// <remarks>
/// A lock over a network is advice, not a fence: a holder that is paused can lose its lease and go on believing. Send
/// <see cref="FencingRevision"/> along with every action the lock protects and let the other side refuse a number
/// smaller than one it has seen; or make the action a transaction in etcd under <see cref="IsOwner"/>.
/// </remarks>
public sealed class Mutex
{
    private readonly Session _session;
    private readonly string _prefix;

    /// <summary>Makes a lock with a name. All who use the name compete for it.</summary>
    public Mutex(Session session, string name)
    {
        _session = session;
        _prefix = name + "/";
        Key = _prefix + session.Lease.ToString("x", CultureInfo.InvariantCulture);
    }

    /// <summary>The key that stands for this session's claim.</summary>
    public string Key { get; }

    /// <summary>
    /// The revision that created <see cref="Key"/>. It grows from holder to holder, so it orders them. 0 when not held.
    /// </summary>
    public long FencingRevision { get; private set; }

    /// <summary>Header of the answer that made this session the holder.</summary>
    public ResponseHeader Header { get; private set; } = ResponseHeader.None;

    /// <summary>A condition for transactions: this session still holds the lock.</summary>
    public Compare IsOwner() => Compare.CreateRevision(Key, CompareResult.Equal, FencingRevision);

    /// <summary>
    /// Takes the lock, waiting for those before. When cancelled the claim is withdrawn. Throws when the session's lease
    /// was lost while waiting.
    /// </summary>
    public async Task LockAsync(CancellationToken cancellation = default)
    {
        if (await ClaimAsync(cancellation).ConfigureAwait(false))
        {
            return;
        }

        try
        {
            await Waiting.ForOlderToGoAsync(_session.Client, _prefix, FencingRevision - 1, cancellation)
                .ConfigureAwait(false);
            GetResponse own = await _session.Client.Kv.GetAsync(Key, null, cancellation).ConfigureAwait(false);
            if (own.Kvs.Count == 0)
            {
                throw new EtcdException(RpcCode.FailedPrecondition, "mutex: session is expired");
            }

            Header = own.Header;
        }
        catch
        {
            await WithdrawAsync().ConfigureAwait(false);
            throw;
        }
    }

    /// <summary>Takes the lock if nobody has it; false when somebody does.</summary>
    public async Task<bool> TryLockAsync(CancellationToken cancellation = default)
    {
        if (await ClaimAsync(cancellation).ConfigureAwait(false))
        {
            return true;
        }

        await UnlockAsync(cancellation).ConfigureAwait(false);
        return false;
    }

    /// <summary>Gives the lock back.</summary>
    public async Task UnlockAsync(CancellationToken cancellation = default)
    {
        await _session.Client.Kv.DeleteAsync(Key, null, cancellation).ConfigureAwait(false);
        FencingRevision = 0;
    }

    /// <summary>Puts the key unless it is there, and looks who is oldest, in one transaction.</summary>
    private async Task<bool> ClaimAsync(CancellationToken cancellation)
    {
        var oldest = new GetOptions
        {
            Prefix = true,
            SortTarget = SortTarget.Create,
            SortOrder = SortOrder.Ascend,
            Limit = 1,
        };
        TxnResponse answer = await _session.Client.Kv.Txn()
            .If(Compare.CreateRevision(Key, CompareResult.Equal, 0))
            .Then(Op.Put(Key, Bytes.Empty, new PutOptions { Lease = _session.Lease }), Op.Get(_prefix, oldest))
            .Else(Op.Get(Key), Op.Get(_prefix, oldest))
            .CommitAsync(cancellation).ConfigureAwait(false);
        FencingRevision = answer.Succeeded
            ? answer.Header.Revision
            : ((GetResponse)answer.Responses[0]).Kvs[0].CreateRevision;
        IReadOnlyList<KeyValue> holder = ((GetResponse)answer.Responses[1]).Kvs;
        if (holder.Count > 0 && holder[0].CreateRevision != FencingRevision)
        {
            return false;
        }

        Header = answer.Header;
        return true;
    }

    private async Task WithdrawAsync()
    {
        using var timeout = new CancellationTokenSource(TimeSpan.FromSeconds(5));
        try
        {
            await UnlockAsync(timeout.Token).ConfigureAwait(false);
        }
        catch (Exception e) when (e is EtcdException or OperationCanceledException)
        {
            // The session's lease takes the claim away in the end.
            FencingRevision = 0;
        }
    }
}

internal static class Waiting
{
    /// <summary>Waits until no key of the prefix is left that was created at or before the revision.</summary>
    public static async Task ForOlderToGoAsync(
        EtcdClient client, string prefix, long createRevisionMax, CancellationToken cancellation)
    {
        var newestOfOlder = new GetOptions
        {
            Prefix = true,
            SortTarget = SortTarget.Create,
            SortOrder = SortOrder.Descend,
            Limit = 1,
            MaxCreateRevision = createRevisionMax,
        };
        while (true)
        {
            GetResponse older = await client.Kv.GetAsync(prefix, newestOfOlder, cancellation).ConfigureAwait(false);
            if (older.Kvs.Count == 0)
            {
                return;
            }

            await ForDeleteAsync(client, older.Kvs[0].Key, older.Header.Revision, cancellation).ConfigureAwait(false);
        }
    }

    private static async Task ForDeleteAsync(
        EtcdClient client, Bytes key, long revision, CancellationToken cancellation)
    {
        var options = new WatchOptions { StartRevision = revision, NoPut = true };
        await foreach (WatchResponse response in
            client.Watches.WatchAsync(key, options, cancellation).ConfigureAwait(false))
        {
            if (response.Events.Count > 0)
            {
                return;
            }
        }
    }
}
