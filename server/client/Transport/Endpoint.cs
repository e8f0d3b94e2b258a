using Perf.Grpc;

namespace Perf.Client;

/// <summary>
/// One member's address with the channel to it, and how it has fared: after a failure it rests for a while that grows
/// with each failure in a row.
/// </summary>
internal sealed class Endpoint : IAsyncDisposable
{
    private static readonly TimeSpan RestMin = TimeSpan.FromMilliseconds(50);
    private static readonly TimeSpan RestMax = TimeSpan.FromSeconds(3);

    private int _failures;
    private long _restUntilMillis;

    public Endpoint(string name, EtcdClientOptions options)
    {
        Name = name;
        (string address, bool secure) = Interpret(name, options.Tls is not null);
        TimeSpan keepAlive = options.KeepAliveTime <= TimeSpan.Zero
            ? TimeSpan.Zero
            : TimeSpan.FromTicks(Math.Max(options.KeepAliveTime.Ticks, TimeSpan.FromSeconds(10).Ticks));
        Channel = new GrpcChannel(address, new GrpcChannelOptions
        {
            Tls = secure ? (options.Tls ?? new EtcdTls()).ToOptions() : null,
            DialTimeout = options.DialTimeout,
            KeepAliveInterval = keepAlive > TimeSpan.Zero ? keepAlive : null,
            KeepAliveTimeout = options.KeepAliveTimeout,
            ReceiveBytesMax = options.ReceiveBytesMax,
            WaitInPlace = options.WaitInPlace,
        });
    }

    /// <summary>The endpoint as the user wrote it.</summary>
    public string Name { get; }

    public GrpcChannel Channel { get; }

    /// <summary>From when on it may be tried again, on <see cref="Environment.TickCount64"/>'s clock.</summary>
    public long RestUntilMillis => Volatile.Read(ref _restUntilMillis);

    public void Succeeded()
    {
        Volatile.Write(ref _failures, 0);
        Volatile.Write(ref _restUntilMillis, 0);
    }

    public void Failed()
    {
        int failures = Math.Min(Interlocked.Increment(ref _failures), 20);
        double millis = Math.Min(RestMax.TotalMilliseconds, RestMin.TotalMilliseconds * Math.Pow(1.6, failures - 1));
        double jitter = 0.8 + (0.4 * Random.Shared.NextDouble());
        Volatile.Write(ref _restUntilMillis, Environment.TickCount64 + (long)(millis * jitter));
    }

    public ValueTask DisposeAsync() => Channel.DisposeAsync();

    /// <summary>
    /// etcd's endpoint notations as a channel address: https and unixs always use TLS, http never; the rest, and plain
    /// host:port, do when TLS is configured.
    /// </summary>
    internal static (string Address, bool Secure) Interpret(string endpoint, bool tlsConfigured)
    {
        if (endpoint.StartsWith("unixs:", StringComparison.Ordinal))
        {
            return ("unixs://" + LocalPath(endpoint["unixs:".Length..]), true);
        }

        if (endpoint.StartsWith("unix:", StringComparison.Ordinal))
        {
            string scheme = tlsConfigured ? "unixs://" : "unix://";
            return (scheme + LocalPath(endpoint["unix:".Length..]), tlsConfigured);
        }

        if (endpoint.StartsWith("https://", StringComparison.Ordinal))
        {
            return (Origin(endpoint), true);
        }

        if (endpoint.StartsWith("http://", StringComparison.Ordinal))
        {
            return (Origin(endpoint), false);
        }

        int at = endpoint.IndexOf("://", StringComparison.Ordinal);
        string host = at < 0 ? endpoint : endpoint[(at + 3)..];
        return ((tlsConfigured ? "https://" : "http://") + host, tlsConfigured);
    }

    private static string LocalPath(string rest) =>
        rest.StartsWith("//", StringComparison.Ordinal) ? rest[2..] : rest;

    private static string Origin(string url)
    {
        int path = url.IndexOf('/', url.IndexOf("://", StringComparison.Ordinal) + 3);
        return path < 0 ? url : url[..path];
    }
}
