using Xunit;

namespace Perf.Grpc.Tests;

internal static class Eventually
{
    /// <summary>Waits, generously, until it holds.</summary>
    public static async Task True(Func<bool> condition)
    {
        for (int i = 0; i < 1000 && !condition(); i++)
        {
            await Task.Delay(10);
        }

        Assert.True(condition());
    }
}
