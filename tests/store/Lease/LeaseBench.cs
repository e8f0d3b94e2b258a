using System.Text;
using Perf.Store.Lease;
using Xunit;

namespace Perf.Store.Tests.Lease;

/// <summary>A clock that goes when it is told to.</summary>
internal sealed class HandClock : TimeProvider
{
    private long _ticks = 123_456_789;

    public override long TimestampFrequency => TimeSpan.TicksPerSecond;

    public TimeSpan Elapsed => TimeSpan.FromTicks(_ticks);

    public override long GetTimestamp() => _ticks;

    public void Advance(TimeSpan time) => _ticks += time.Ticks;

    public void AdvanceSeconds(double seconds) => Advance(TimeSpan.FromSeconds(seconds));
}

/// <summary>A lessor with a bucket and a key space that only take notes.</summary>
internal sealed class LeaseBench : ILeaseRecords, ILeasedKeys
{
    public LeaseBench(LessorOptions? options = null)
    {
        Options = options ?? new LessorOptions();
        Lessor = new Lessor(this, Clock, Options);
    }

    public LessorOptions Options { get; }

    public HandClock Clock { get; } = new();

    public Lessor Lessor { get; private set; }

    public SortedDictionary<ulong, byte[]> Records { get; } = [];

    /// <summary>One line for each thing done to bucket and keys, in order.</summary>
    public List<string> Log { get; } = [];

    /// <summary>Run in the middle of the deletes.</summary>
    public Action? DuringDelete { get; set; }

    public void Put(long id, ReadOnlySpan<byte> record) => Records[(ulong)id] = record.ToArray();

    public void Delete(long id)
    {
        Log.Add($"record {id}");
        Records.Remove((ulong)id);
    }

    public void ForEach(LeaseRecordVisitor visitor)
    {
        foreach (byte[] record in Records.Values)
        {
            visitor(record);
        }
    }

    public void DeleteKeys(ReadOnlySpan<byte[]> keys)
    {
        foreach (byte[] key in keys)
        {
            Log.Add($"key {Encoding.UTF8.GetString(key)}");
        }
        DuringDelete?.Invoke();
    }

    /// <summary>A new process over the same bucket.</summary>
    public void Restart() => Lessor = new Lessor(this, Clock, Options);

    public long Grant(long id, long ttl)
    {
        Assert.Equal(StoreError.None, Lessor.Grant(id, ttl, out long granted));
        return granted;
    }

    public void Attach(long id, string key) => Lessor.Attach(id, Encoding.UTF8.GetBytes(key));

    public void Detach(long id, string key) => Lessor.Detach(id, Encoding.UTF8.GetBytes(key));

    public string[] Keys(long id) =>
        [.. (Lessor.KeysOf(id) ?? []).Select(Encoding.UTF8.GetString)];

    public long[] TakeExpired(int max = 10_000)
    {
        long[] ids = new long[max];
        return ids[..Lessor.TakeExpired(ids)];
    }

    public LeaseCheckpoint[] TakeCheckpoints(int max = 1000)
    {
        LeaseCheckpoint[] checkpoints = new LeaseCheckpoint[max];
        return checkpoints[..Lessor.TakeCheckpoints(checkpoints)];
    }

    public long TtlOf(long id)
    {
        Assert.Equal(StoreError.None, Lessor.TimeToLive(id, withKeys: false, out LeaseInfo? info));
        return info!.TtlSeconds;
    }
}
