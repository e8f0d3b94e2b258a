using Perf.Node.Logging;
using Perf.Node.Peers;
using Xunit;

namespace Perf.Node.Tests.Peers;

/// <summary>Log lines about who is turned away.</summary>
public sealed class RefusalsTests
{
    private readonly ManualTime _time = new();
    private readonly KeptLines _kept = new();
    private readonly Refusals _refusals;

    public RefusalsTests() => _refusals = new Refusals(new Log(_kept, LogLevel.Info, _time), _time);

    [Fact]
    public void A_knock_ten_times_a_second_is_one_line_in_half_a_minute()
    {
        for (int i = 0; i < 600; i++)
        {
            _refusals.Say("removed", "a1", ("why", "test"));
            _time.Advance(TimeSpan.FromMilliseconds(100));
        }

        Assert.Equal(2, _kept.Lines.Count);
        Assert.Contains("\"remote-peer-server-name\":\"a1\",\"why\":\"test\",\"not-logged-before\":0", _kept.Lines[0]);
        Assert.Contains("\"not-logged-before\":299", _kept.Lines[1]);
    }

    [Fact]
    public void Another_one_or_another_reason_is_another_line()
    {
        _refusals.Say("removed", "a1");
        _refusals.Say("removed", "a2");
        _refusals.Say("mismatch", "a1");
        _refusals.Say("mismatch", null);
        Assert.Equal(4, _kept.Lines.Count);
    }

    [Fact]
    public void Whoever_invents_names_fills_neither_log_nor_memory()
    {
        for (int i = 0; i < 10_000; i++)
        {
            _refusals.Say("mismatch", i + new string('x', 10_000));
        }

        Assert.InRange(_kept.Lines.Count, 2, 70);
        Assert.All(_kept.Lines, line => Assert.True(line.Length < 400));
    }
}
