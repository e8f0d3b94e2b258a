namespace Perf.Client.Concurrency;

/// <summary>
/// A lease that lives as long as its owner: granted at the start, renewed in the background, revoked by
/// <see cref="DisposeAsync"/>. Locks and elections hang on it.
/// </summary>
public sealed class Session : IAsyncDisposable
{
    private readonly LeaseKeeper _keeper;

    private Session(EtcdClient client, long lease, LeaseKeeper keeper)
    {
        Client = client;
        Lease = lease;
        _keeper = keeper;
    }

    /// <summary>The client it was opened with.</summary>
    public EtcdClient Client { get; }

    /// <summary>The lease.</summary>
    public long Lease { get; }

    /// <summary>
    /// Cancelled when the lease is lost. Whoever holds a lock of this session must then stop what the lock protects:
    /// another may hold it already.
    /// </summary>
    public CancellationToken Lost => _keeper.Lost;

    /// <summary>Opens a session.</summary>
    public static async Task<Session> OpenAsync(
        EtcdClient client, int ttlSeconds = 60, CancellationToken cancellation = default)
    {
        LeaseGrantResponse granted = await client.Leases.GrantAsync(ttlSeconds, 0, cancellation).ConfigureAwait(false);
        return new Session(client, granted.Id, client.Leases.KeepAlive(granted.Id));
    }

    /// <summary>Stops renewing without revoking: the keys stay until the lease runs out.</summary>
    public void Orphan() => _keeper.Dispose();

    /// <summary>Stops renewing and revokes the lease, which releases everything that hangs on it.</summary>
    public async ValueTask DisposeAsync()
    {
        _keeper.Dispose();
        using var timeout = new CancellationTokenSource(TimeSpan.FromSeconds(5));
        try
        {
            await Client.Leases.RevokeAsync(Lease, timeout.Token).ConfigureAwait(false);
        }
        catch (Exception e) when (e is EtcdException or OperationCanceledException or ObjectDisposedException)
        {
            // The lease runs out by itself.
        }
    }
}
