using Perf.Node.Consensus;
using Xunit;

namespace Perf.Node.Tests;

public sealed class CompletionsTests
{
    /// <summary>A member serves its own start before its listener sets the scope: a batch that began without one ends without one.</summary>
    [Fact]
    public void A_scope_that_is_set_within_a_batch_begins_with_the_next()
    {
        var pool = new DirectPool();
        var completions = new Completions(pool);
        var scope = new CountingScope();
        completions.Add(new Asker(() => completions.Scope = scope));
        completions.Flush();
        Assert.Equal((0, 0), (scope.Begun, scope.Ended));
        int served = 0;
        completions.Add(new Asker(() => served += scope.Begun - scope.Ended));
        completions.Add(new Asker(() => served += scope.Begun - scope.Ended));
        completions.Flush();
        Assert.Equal(2, served);
        Assert.Equal((1, 1), (scope.Begun, scope.Ended));
    }

    private sealed class DirectPool : IWorkPool
    {
        public void Queue(IThreadPoolWorkItem item) => item.Execute();
    }

    private sealed class Asker(Action told) : ICompletable
    {
        public void Complete() => told();
    }

    private sealed class CountingScope : ICompletionScope
    {
        public int Begun { get; private set; }

        public int Ended { get; private set; }

        public void Begin() => Begun++;

        public void End() => Ended++;
    }
}
