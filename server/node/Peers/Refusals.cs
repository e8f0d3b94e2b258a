using Perf.Node.Logging;

namespace Perf.Node.Peers;

/// <summary>
/// What the log says of peers that are turned away. They knock ten times a second, and anybody may: the same thing about
/// the same one is said once in a while, with the number of times it was not said. Any thread.
/// </summary>
internal sealed class Refusals(Log log, TimeProvider clock)
{
    /// <summary>Between two lines that say the same.</summary>
    public static readonly TimeSpan Interval = TimeSpan.FromSeconds(30);

    /// <summary>Who is told apart; all beyond share one line.</summary>
    private const int CallersMax = 64;

    private const int NameCharsMax = 64;

    private readonly Dictionary<(string What, string From), Said> _said = [];

    /// <summary>Writes the line, or counts it.</summary>
    /// <param name="what">The line; one of a few.</param>
    /// <param name="from">Who knocked, by its own words.</param>
    /// <param name="fields">More of it.</param>
    public void Say(string what, string? from, params ReadOnlySpan<(string Name, object? Value)> fields)
    {
        string caller = from is null ? "" : from.Length > NameCharsMax ? from[..NameCharsMax] : from;
        int unsaid;
        lock (_said)
        {
            if (_said.Count >= CallersMax && !_said.ContainsKey((what, caller)))
            {
                caller = "others";
            }

            ref Said? said = ref System.Runtime.InteropServices.CollectionsMarshal.GetValueRefOrAddDefault(
                _said, (what, caller), out _);
            if (said is not null && clock.GetElapsedTime(said.At) < Interval)
            {
                said.Unsaid++;
                return;
            }

            unsaid = said?.Unsaid ?? 0;
            said = new Said { At = clock.GetTimestamp() };
        }

        log.Warn(what, [("remote-peer-server-name", caller), .. fields, ("not-logged-before", unsaid)]);
    }

    private sealed class Said
    {
        public long At { get; init; }

        public int Unsaid { get; set; }
    }
}
