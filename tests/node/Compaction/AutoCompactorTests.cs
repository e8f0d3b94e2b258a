using Perf.Node.Compaction;
using Perf.Node.Config;
using Perf.Node.Logging;
using Perf.Store;
using Xunit;

namespace Perf.Node.Tests;

/// <summary>OPS-01, OPS-02. One revision is made each minute.</summary>
public class AutoCompactorTests
{
    private readonly ManualTime _time = new();
    private readonly DateTimeOffset _start;
    private readonly List<(int Minute, long Revision)> _compactions = [];
    private readonly KeptLines _output = new();
    private bool _leads = true;
    private StoreError _answer = StoreError.None;

    public AutoCompactorTests()
    {
        _start = _time.GetUtcNow();
    }

    private int Minute => (int)(_time.GetUtcNow() - _start).TotalMinutes;

    /// <summary>The first time to what was there at the start, then, as etcd does, to a period and a sample ago.</summary>
    [Fact]
    public void ShortPeriodsCompactEachPeriodToThePeriodBefore()
    {
        AutoCompactor compactor = Create("periodic", "10m");
        Pass(compactor, minutes: 45);
        Assert.Equal([(10, 1), (20, 9), (30, 19), (40, 29)], _compactions);
    }

    [Fact]
    public void LongPeriodsCompactEachHourAfterTheFirstPeriod()
    {
        AutoCompactor compactor = Create("periodic", "3");
        Pass(compactor, minutes: (3 * 60) + 130);
        Assert.Equal([180, 240, 300], _compactions.Select(c => c.Minute));
        Assert.All(_compactions.Skip(1), c => Assert.InRange(c.Revision, c.Minute - 187, c.Minute - 179));
    }

    [Fact]
    public void AFailureIsTriedAgainAtTheNextSample()
    {
        AutoCompactor compactor = Create("periodic", "10m");
        _answer = StoreError.NoLeader;
        Pass(compactor, minutes: 12);
        Assert.Equal([10, 11, 12], _compactions.Select(c => c.Minute));
        Assert.Contains(_output.Lines, l => l.Contains("failed auto periodic compaction", StringComparison.Ordinal));
        _answer = StoreError.None;
        Pass(compactor, minutes: 12);
        Assert.Equal([10, 11, 12, 13, 23], _compactions.Select(c => c.Minute));
    }

    [Fact]
    public void OnlyTheLeaderCompacts()
    {
        AutoCompactor compactor = Create("periodic", "10m");
        _leads = false;
        Pass(compactor, minutes: 35);
        Assert.Empty(_compactions);
        _leads = true;
        Pass(compactor, minutes: 1);
        Assert.Equal([(36, 25)], _compactions);
    }

    [Fact]
    public void RevisionsAreCountedBackEveryFiveMinutes()
    {
        AutoCompactor compactor = Create("revision", "8");
        Pass(compactor, minutes: 22);
        Assert.Equal([(10, 3), (15, 8), (20, 13)], _compactions);
    }

    [Fact]
    public void TheSameRevisionIsNotCompactedTwice()
    {
        AutoCompactor compactor = AutoCompactor.Create(
            Config("revision", "8"), _time, Log.None, () => true, () => 20, Compact)!;
        Pass(compactor, minutes: 30);
        Assert.Equal([(5, 12)], _compactions);
    }

    [Fact]
    public void CompactedAlreadyIsAsGood()
    {
        AutoCompactor compactor = Create("periodic", "10m");
        _answer = StoreError.Compacted;
        Pass(compactor, minutes: 15);
        Assert.Equal([10], _compactions.Select(c => c.Minute));
        Assert.Contains(_output.Lines, l => l.Contains("completed auto periodic compaction", StringComparison.Ordinal));
    }

    [Theory]
    [InlineData("periodic", "0", 0)]
    [InlineData("revision", "0", 0)]
    [InlineData("periodic", "", 0)]
    [InlineData("", "5", 0)]
    [InlineData("periodic", "2", 2 * TimeSpan.TicksPerHour)]
    [InlineData("periodic", "5m", 5 * TimeSpan.TicksPerMinute)]
    [InlineData("periodic", "99999999999999", long.MaxValue / TimeSpan.TicksPerHour * TimeSpan.TicksPerHour)]
    [InlineData("revision", "1000", 1000)]
    public void RetentionIsReadByTheMode(string mode, string retention, long expected)
    {
        Assert.Equal(expected, AutoCompactor.ParseRetention(mode, retention));
        if (expected == 0)
        {
            Assert.Null(Create(mode, retention));
        }
    }

    [Theory]
    [InlineData("periodic", "-5m")]
    [InlineData("revision", "5m")]
    [InlineData("revision", "-1")]
    public void RetentionThatIsNoneIsRefused(string mode, string retention) =>
        Assert.Throws<ConfigException>(() => AutoCompactor.ParseRetention(mode, retention));

    private static ServerConfig Config(string mode, string retention) =>
        new() { AutoCompactionMode = mode, AutoCompactionRetention = retention };

    private AutoCompactor Create(string mode, string retention) => AutoCompactor.Create(
        Config(mode, retention),
        _time,
        new Log(_output, LogLevel.Info, _time),
        () => _leads,
        () => Minute + (Minute < 1 || mode == "revision" ? 1 : 0),
        Compact)!;

    private ValueTask<StoreError> Compact(long revision)
    {
        _compactions.Add((Minute, revision));
        return ValueTask.FromResult(_answer);
    }

    private void Pass(AutoCompactor compactor, int minutes)
    {
        for (int i = 0; i < minutes; i++)
        {
            _time.Advance(TimeSpan.FromMinutes(1));
            compactor.Turn();
        }
    }
}
