using Xunit;

namespace Perf.Cluster.Tests;

/// <summary>Tests that need one member, or hardly more: they run beside those that need a cluster and its time.</summary>
[CollectionDefinition(Name)]
public sealed class SingleMembers
{
    public const string Name = "single members";
}
