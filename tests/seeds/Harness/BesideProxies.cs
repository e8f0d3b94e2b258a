using Xunit;

namespace Perf.Seeds.Tests.Harness;

/// <summary>Tests that run beside those of the proxies, one at a time.</summary>
[CollectionDefinition(Name)]
public sealed class BesideProxies
{
    public const string Name = "beside proxies";
}
