namespace Perf.Client;

/// <summary>
/// A client of any etcd. Make one, share it between threads, dispose it at the end. It spreads calls over the
/// endpoints, goes to another when one fails, fetches auth tokens, and repeats exactly the calls that are safe to repeat.
/// </summary>
/// <example>
/// <code>
/// await using var client = await EtcdClient.ConnectAsync(new EtcdClientOptions { Endpoints = ["127.0.0.1:2379"] });
/// await client.Kv.PutAsync("greeting", "hello");
/// await foreach (WatchResponse changes in client.Watches.WatchAsync("greeting", cancellation: stop)) { .. }
/// </code>
/// </example>
public sealed class EtcdClient : IAsyncDisposable
{
    private readonly Caller _caller;

    private EtcdClient(EtcdClientOptions options)
    {
        if (options.Endpoints.Count == 0)
        {
            throw new ArgumentException("etcdclient: no available endpoints", nameof(options));
        }

        _caller = new Caller(options);
        Kv = new Kv(_caller);
        Watches = new Watches(_caller, options.RequireLeader);
        Leases = new Leases(_caller);
        Cluster = new Cluster(_caller);
        Maintenance = new Maintenance(_caller);
        Auth = new Auth(_caller);
    }

    /// <summary>Keys and values: reads, writes, transactions, compaction.</summary>
    public Kv Kv { get; }

    /// <summary>Changes of keys, as they happen.</summary>
    public Watches Watches { get; }

    /// <summary>Leases: keys that go away with who wrote them.</summary>
    public Leases Leases { get; }

    /// <summary>The members.</summary>
    public Cluster Cluster { get; }

    /// <summary>Care of the members: status, snapshots, defragmentation, alarms.</summary>
    public Maintenance Maintenance { get; }

    /// <summary>Users, roles and the switch for authentication.</summary>
    public Auth Auth { get; }

    /// <summary>The endpoints calls are spread over.</summary>
    public IReadOnlyList<string> Endpoints => _caller.Balancer.Names;

    /// <summary>
    /// Makes a client. Without a user nothing is sent yet: connections are made when needed. With one the first token
    /// is fetched, within <see cref="EtcdClientOptions.DialTimeout"/>.
    /// </summary>
    public static async Task<EtcdClient> ConnectAsync(
        EtcdClientOptions options, CancellationToken cancellation = default)
    {
        var client = new EtcdClient(options);
        using var timeout = CancellationTokenSource.CreateLinkedTokenSource(cancellation);
        if (options.DialTimeout > TimeSpan.Zero)
        {
            timeout.CancelAfter(options.DialTimeout);
        }

        try
        {
            await client._caller.AuthenticateAsync(timeout.Token).ConfigureAwait(false);
            return client;
        }
        catch (Exception e)
        {
            await client.DisposeAsync().ConfigureAwait(false);
            if (e is OperationCanceledException && !cancellation.IsCancellationRequested)
            {
                throw EtcdException.DeadlineExceeded();
            }

            throw;
        }
    }

    /// <summary>A view of the keys with a prefix, without the prefix.</summary>
    public EtcdNamespace Namespace(Bytes prefix)
    {
        if (prefix.IsEmpty)
        {
            throw new ArgumentException("a namespace without a prefix is everything", nameof(prefix));
        }

        var prefixing = new Prefixing(prefix);
        return new EtcdNamespace(new Kv(_caller, prefixing), Watches.Inside(prefixing));
    }

    /// <summary>Replaces the endpoints; connections to those that stay are kept.</summary>
    public void SetEndpoints(IReadOnlyList<string> endpoints)
    {
        if (endpoints.Count == 0)
        {
            throw new ArgumentException("etcdclient: no available endpoints", nameof(endpoints));
        }

        _caller.Balancer.Replace(endpoints);
    }

    /// <summary>Takes the client URLs of all started voting members as endpoints.</summary>
    public async Task SyncAsync(CancellationToken cancellation = default)
    {
        MembersResponse members = await Cluster.ListAsync(cancellation: cancellation).ConfigureAwait(false);
        SetEndpoints(members.Members
            .Where(m => m.Name.Length > 0 && !m.IsLearner).SelectMany(m => m.ClientUrls).ToArray());
    }

    /// <summary>Ends all watches and keep-alives and closes the connections.</summary>
    public ValueTask DisposeAsync() => _caller.DisposeAsync();
}
