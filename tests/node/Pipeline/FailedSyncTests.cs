using Perf.Engine.IO;
using Perf.Store;
using Xunit;

namespace Perf.Node.Tests;

/// <summary>
/// The first failed write or sync ends the member; nothing is acknowledged after it, and what was acknowledged before
/// is there after the power comes back.
/// </summary>
public sealed class FailedSyncTests
{
    private const int Puts = 40;

    [Theory]
    [InlineData(SimFailure.InputOutput)]
    [InlineData(SimFailure.PowerOff)]
    public async Task Every_disk_call_failing_in_turn_loses_no_acknowledged_put(SimFailure failure)
    {
        var quiet = new SimDisk();
        long started;
        await using (NodeHarness harness = await NodeHarness.StartAsync(quiet, NodeHarness.Config("/data")))
        {
            started = quiet.Calls;
            await PutAllAsync(harness, []);
        }

        long calls = quiet.Calls;
        Assert.True(calls > started + 20, $"{calls - started} disk calls are too few to mean anything");
        for (long call = started + 1; call <= calls; call += failure == SimFailure.PowerOff ? 3 : 1)
        {
            await FailAsync(call, failure);
        }
    }

    private static async Task FailAsync(long call, SimFailure failure)
    {
        var disk = new SimDisk();
        var acknowledged = new List<int>();
        NodeHarness harness = await NodeHarness.StartAsync(disk, NodeHarness.Config("/data"));
        disk.FailAt(call, failure);
        await PutAllAsync(harness, acknowledged);
        if (harness.Node.Ended.IsCompleted && await harness.Node.Ended is not null)
        {
            // The member is over: whatever comes now, nobody is told that it was done.
            Task<StoreError> late = harness.PutAsync("late", [1]);
            await Task.WhenAny(late, Task.Delay(20));
            Assert.False(late.IsCompletedSuccessfully && late.Result == StoreError.None, $"call {call}: acknowledged after the failure");
        }

        try
        {
            await harness.DisposeAsync();
        }
        catch (Exception e) when (e is IOException or Perf.Engine.DiskException or SimCrashException)
        {
            // A member whose disk has failed cannot close cleanly.
        }

        SimDisk after = disk.CrashCopy((ulong)call);
        await using NodeHarness restarted = await NodeHarness.StartAsync(after, NodeHarness.Config("/data"));
        foreach (int number in acknowledged)
        {
            string text = System.Text.Encoding.UTF8.GetString(restarted.Get($"key{number}"));
            Assert.Contains($"value{number}", text, StringComparison.Ordinal);
        }
    }

    private static async Task PutAllAsync(NodeHarness harness, List<int> acknowledged)
    {
        for (int i = 0; i < Puts; i++)
        {
            Task<StoreError> put = harness.PutAsync($"key{i}", System.Text.Encoding.UTF8.GetBytes($"value{i}"));
            Task first = await Task.WhenAny(put, harness.Node.Ended);
            if (first != put)
            {
                return;
            }

            if (await put == StoreError.None)
            {
                acknowledged.Add(i);
            }
        }
    }
}
