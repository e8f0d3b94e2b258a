using Xunit;

namespace Perf.Seeds.Tests.Harness;

/// <summary>Waits for what will be true, with patience.</summary>
internal static class Eventually
{
    private static readonly TimeSpan s_patience = TimeSpan.FromSeconds(60);

    public static Task IsTrueAsync(Func<bool> condition) => IsTrueAsync(() => Task.FromResult(condition()));

    public static async Task IsTrueAsync(Func<Task<bool>> condition)
    {
        DateTime end = DateTime.UtcNow + s_patience;
        while (!await condition())
        {
            Assert.True(DateTime.UtcNow < end, "waited too long");
            await Task.Delay(20);
        }
    }
}
