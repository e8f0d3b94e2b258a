using Xunit;

namespace Perf.Surface.Tests.Stacks;

/// <summary>Tests of what others have built, which wait much of their time: they run beside all others, one at a time.</summary>
[CollectionDefinition(Name)]
public sealed class OtherStacks
{
    public const string Name = "other stacks";
}
