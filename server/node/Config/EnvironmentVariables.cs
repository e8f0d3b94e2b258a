using Perf.Node.Logging;

namespace Perf.Node.Config;

/// <summary>ETCD_* variables: every flag has one.</summary>
internal static class EnvironmentVariables
{
    private const string Prefix = "ETCD_";
    private const string Version = "ETCD_VERSION";

    /// <summary>
    /// Sets what the variables say. False where one repeats a flag of the command line, which etcd takes for a
    /// mistake. Throws <see cref="ConfigException"/> for a value that is none.
    /// </summary>
    public static bool Read(
        IReadOnlyDictionary<string, string> variables,
        ServerConfig config,
        Dictionary<string, string> given,
        List<ConfigNote> notes)
    {
        var known = new HashSet<string>(StringComparer.Ordinal) { Version };
        if (variables.GetValueOrDefault(Version) is { Length: > 0 } version)
        {
            notes.Add(new ConfigNote(
                LogLevel.Warn, "cannot set special environment variable", ("key", Version), ("value", version)));
        }

        foreach (Flag flag in FlagTable.All.OrderBy(f => f.Name, StringComparer.Ordinal))
        {
            if (variables.GetValueOrDefault(flag.Variable) is not { Length: > 0 } value || !known.Add(flag.Variable))
            {
                continue;
            }

            if (given.ContainsKey(flag.Name))
            {
                notes.Add(new ConfigNote(
                    LogLevel.Fatal,
                    "conflicting environment variable is shadowed by corresponding command-line flag (either unset environment variable or disable flag))",
                    ("environment-variable", flag.Variable)));
                return false;
            }

            try
            {
                flag.Set(config, value);
            }
            catch (FormatException e)
            {
                throw new ConfigException($"invalid value {GoText.Quote(value)} for {flag.Variable}: {e.Message}");
            }

            given[flag.Name] = value;
            notes.Add(new ConfigNote(
                LogLevel.Info,
                "recognized and used environment variable",
                ("variable-name", flag.Variable),
                ("variable-value", value)));
        }

        foreach ((string name, string value) in variables.OrderBy(v => v.Key, StringComparer.Ordinal))
        {
            if (name.StartsWith(Prefix, StringComparison.Ordinal) && !known.Contains(name))
            {
                notes.Add(new ConfigNote(
                    LogLevel.Warn, "unrecognized environment variable", ("environment-variable", $"{name}={value}")));
            }
        }

        return true;
    }
}
