using System.Globalization;
using System.Text.Json;
using Perf.Etcdctl.CommandLine;

namespace Perf.Etcdctl.Commands;

/// <summary>The environment's part in the flags: ETCDCTL_ENDPOINTS for --endpoints and so on.</summary>
internal static class Variables
{
    private const string Prefix = "ETCDCTL_";

    // Read by other means than flags: by the start of the program, and by watch.
    private static readonly string[] Others = ["ETCDCTL_API", "ETCDCTL_WATCH_KEY", "ETCDCTL_WATCH_RANGE_END"];

    public static void Apply(Invocation run)
    {
        // Flags handed down from above only: a command's own have no variable.
        FlagSet inherited = run.Command.InheritedFlags();
        var used = new HashSet<string>(StringComparer.Ordinal);
        var shadowed = new HashSet<string>(StringComparer.Ordinal);
        foreach (Flag flag in inherited.All)
        {
            string name = VariableFor(flag.Name);
            string value = run.Terminal.Variable(name);
            if (flag.Changed)
            {
                shadowed.Add(name);
            }
            else if (value.Length > 0)
            {
                used.Add(name);
                try
                {
                    flag.Set(value);
                }
                catch (FormatException e)
                {
                    Log(run.Terminal, "warn", $"invalid value {value} for {name}: {e.Message}", name);
                }
            }
        }

        var ours = new List<string>();
        foreach (string name in run.Terminal.Environment.Keys)
        {
            if (name.StartsWith(Prefix, StringComparison.Ordinal))
            {
                ours.Add(name);
            }
        }

        ours.Sort(string.CompareOrdinal);
        foreach (string name in ours)
        {
            if (used.Contains(name))
            {
                continue;
            }

            if (shadowed.Contains(name))
            {
                Log(
                    run.Terminal,
                    "fatal",
                    "conflicting environment variable is shadowed by corresponding command-line flag "
                    + "(either unset environment variable or disable flag))",
                    name);
                throw new ExitException(ExitCode.Error, "");
            }

            bool known = Others.Contains(name) && (name == Others[0] || run.Command.Name == "watch");
            if (!known)
            {
                Log(run.Terminal, "warn", "unrecognized environment variable", name + "=" + run.Terminal.Variable(name));
            }
        }

        if (run.On("debug"))
        {
            foreach (Flag flag in inherited.All)
            {
                run.Terminal.ErrorLine(VariableFor(flag.Name) + "=" + flag.Shown);
            }
        }
    }

    /// <summary>A log line in etcd's JSON form, on standard error.</summary>
    public static void Log(Terminal terminal, string level, string message, string variable) => terminal.ErrorLine(
        $"{{\"level\":\"{level}\",\"ts\":\"{Now()}\",\"msg\":\"{JsonEncodedText.Encode(message)}\","
        + $"\"environment-variable\":\"{JsonEncodedText.Encode(variable)}\"}}");

    internal static string Now() =>
        DateTimeOffset.UtcNow.ToString("yyyy-MM-dd'T'HH:mm:ss.ffffff'Z'", CultureInfo.InvariantCulture);

    private static string VariableFor(string flag) => Prefix + flag.ToUpperInvariant().Replace('-', '_');
}
