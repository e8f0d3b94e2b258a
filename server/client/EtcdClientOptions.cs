namespace Perf.Client;

/// <summary>How a client reaches its cluster.</summary>
public sealed record EtcdClientOptions
{
    /// <summary>
    /// Members to talk to: <c>host:port</c>, <c>http://host:port</c>, <c>https://host:port</c>, <c>unix:path</c> or
    /// <c>unixs:path</c>. Without a scheme TLS is used when <see cref="Tls"/> is set.
    /// </summary>
    public required IReadOnlyList<string> Endpoints { get; init; }

    /// <summary>TLS for https and unixs endpoints, and for those without a scheme.</summary>
    public EtcdTls? Tls { get; init; }

    /// <summary>User to authenticate as; empty for none.</summary>
    public string Username { get; init; } = "";

    /// <summary>The user's password.</summary>
    public string Password { get; init; } = "";

    /// <summary>
    /// A token that was got elsewhere, such as a JWT, in place of <see cref="Username"/> and <see cref="Password"/>. The
    /// client cannot renew it: calls fail when the server no longer takes it.
    /// </summary>
    public string Token { get; init; } = "";

    /// <summary>Longest time one attempt to connect may take, and the time given to the first authentication.</summary>
    public TimeSpan DialTimeout { get; init; } = TimeSpan.FromSeconds(5);

    /// <summary>
    /// Idle time after which a connection with calls on it is probed. At least 10 s is used, as gRPC clients do:
    /// etcd hangs up on those that ping more often than every 5 s.
    /// </summary>
    public TimeSpan KeepAliveTime { get; init; } = TimeSpan.FromSeconds(10);

    /// <summary>Time a probe may stay unanswered before the connection is given up.</summary>
    public TimeSpan KeepAliveTimeout { get; init; } = TimeSpan.FromSeconds(6);

    /// <summary>True to have every call refused at once by a member that sees no leader.</summary>
    public bool RequireLeader { get; init; }

    /// <summary>Most attempts of one call.</summary>
    public int AttemptsMax { get; init; } = 100;

    /// <summary>Largest message accepted from a server.</summary>
    public int ReceiveBytesMax { get; init; } = int.MaxValue;

    /// <summary>Largest request sent; a larger one is refused by the client.</summary>
    public int SendBytesMax { get; init; } = int.MaxValue;

    /// <summary>
    /// True: requests wait on the thread that makes them; their tasks are over when they are returned. For a program that makes
    /// one request after the other and starts often, as etcdctl does: most of a short run is the compilation of awaits.
    /// Watches and lease streams are not concerned.
    /// </summary>
    public bool WaitInPlace { get; init; }

    /// <summary>Called with a warning worth logging, such as a failed attempt that will be repeated.</summary>
    public Action<string>? Warn { get; init; }
}
