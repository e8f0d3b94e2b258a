namespace Perf.Client;

/// <summary>
/// The keys with one prefix, seen as if there were no others and no prefix: what is written as "a" is stored as
/// "prefix" + "a", "all keys" are those with the prefix, and answers and events come without it. For programs that share
/// a cluster; it keeps honest programs apart, users and roles keep out the others.
/// </summary>
/// <example>
/// <code>
/// EtcdNamespace billing = client.Namespace("billing/");
/// await billing.Kv.PutAsync("rate", "7");                       // stored as billing/rate
/// await foreach (WatchResponse r in billing.Watches.WatchAsync("", new WatchOptions { Prefix = true })) { .. }
/// </code>
/// </example>
public sealed class EtcdNamespace
{
    internal EtcdNamespace(Kv kv, Watches watches)
    {
        Kv = kv;
        Watches = watches;
    }

    /// <summary>Keys and values below the prefix.</summary>
    public Kv Kv { get; }

    /// <summary>Changes below the prefix. Leases know keys by their whole names.</summary>
    public Watches Watches { get; }
}
