using Perf.Store.Backend;
using Perf.Store.Maintenance;
using Perf.Store.Tests.Apply;
using Xunit;

namespace Perf.Store.Tests.Maintenance;

public sealed class AlarmStoreTests
{
    private readonly MemoryBuckets _buckets = new();

    [Fact]
    public void Records_are_the_member_and_the_kind_with_an_empty_value()
    {
        var alarms = new AlarmStore(_buckets);
        alarms.Apply(new AlarmRequest(AlarmAction.Activate, 0xe6cfb733078dfed9, AlarmKind.NoSpace), default, null, out bool changed);

        Assert.True(changed);
        var (key, value) = Assert.Single(_buckets.List(Buckets.Alarm));
        Assert.Equal("08D9FDB7BCB0E6EDE7E6011001", Convert.ToHexString(key));
        Assert.Empty(value);

        var reopened = new AlarmStore(_buckets);
        reopened.Restore();
        Assert.True(reopened.IsNoSpace);
        Assert.False(reopened.IsCorrupt);
        reopened.Apply(new AlarmRequest(AlarmAction.Deactivate, 0xe6cfb733078dfed9, AlarmKind.NoSpace), default, null, out _);
        Assert.Empty(_buckets.List(Buckets.Alarm));
    }

    [Fact]
    public void Requests_are_read_as_they_are_written()
    {
        var request = new AlarmRequest(AlarmAction.Deactivate, ulong.MaxValue, AlarmKind.Corrupt);

        Assert.True(AlarmRequest.TryParse(request.Encode(), out var read));
        Assert.Equal(request, read);
        Assert.False(AlarmRequest.TryParse("\u0008"u8, out _));
    }

    [Fact]
    public void A_key_that_is_no_alarm_is_refused()
    {
        _buckets.Put(Buckets.Alarm, "\u0012\u0009"u8, default);
        Assert.Throws<InvalidDataException>(new AlarmStore(_buckets).Restore);
    }
}
