namespace Perf.Etcd.Bootstrap;

/// <summary>Discovery ended without a cluster; the text is etcd's.</summary>
internal class DiscoveryException(string message) : Exception("discovery: " + message);

/// <summary>All places are taken: what is left is to serve as a proxy, or to end.</summary>
internal sealed class ClusterFullException(string initialCluster) : DiscoveryException("cluster is full")
{
    /// <summary>Those who took the places, as --initial-cluster names them.</summary>
    public string InitialCluster { get; } = initialCluster;
}
