using Perf.Node.Logging;

namespace Perf.Node.Config;

/// <summary>Reads a member's settings: a file alone where one is named, else command line and environment.</summary>
public static class ConfigReader
{
    /// <summary>etcd's exit code for a flag it does not know or cannot read.</summary>
    public const int MisspeltCode = 2;

    public const int RefusedCode = 1;

    private const string DefaultInitialCluster = "default=http://localhost:2380";

    public static ConfigReading Read(IReadOnlyList<string> arguments, IReadOnlyDictionary<string, string> environment)
    {
        var config = new ServerConfig { DataDir = "" };
        var given = new Dictionary<string, string>(StringComparer.Ordinal);
        var notes = new List<ConfigNote>();
        bool fromFile = false;
        try
        {
            CommandLine.Result line = CommandLine.Read(arguments, config, given, notes);
            switch (line.Outcome)
            {
                case CommandLine.Outcome.HelpWanted:
                    return End(0, output: HelpText.Flags(), complaint: HelpText.Usage);
                case CommandLine.Outcome.Misspelt:
                    return End(MisspeltCode, complaint: $"{line.Complaint}\n{HelpText.Usage}");
                default:
                    break;
            }

            if (line.Positional is { } positional)
            {
                throw new ConfigException($"'{positional}' is not a valid flag");
            }

            if (given.TryGetValue("version", out string? version) && GoText.ParseBool(version))
            {
                return End(0, output: HelpText.Version);
            }

            if (FileNamed(given, environment) is { } path)
            {
                fromFile = true;
                config = new ServerConfig { DataDir = "" };
                given.Clear();
                ConfigFile.Read(path, config, given);
                notes.Add(new ConfigNote(
                    LogLevel.Info,
                    "loaded server configuration, other configuration command line flags and environment variables will be ignored if provided",
                    ("path", path)));
            }
            else if (!EnvironmentVariables.Read(environment, config, given, notes))
            {
                return End(RefusedCode);
            }

            Complete(config, given, fromFile, notes);
            ConfigRules.Verify(config, given, notes);
        }
        catch (Exception e) when (e is ConfigException or FormatException)
        {
            notes.Add(new ConfigNote(LogLevel.Warn, "failed to verify flags", ("error", e.Message)));
            return End(RefusedCode);
        }

        AdvertiseHost.Complete(config, DefaultInitialCluster, notes);
        if (config.DataDir.Length == 0)
        {
            config.DataDir = $"{config.Name}.etcd";
            notes.Add(new ConfigNote(
                LogLevel.Warn, "'data-dir' was empty; using default", ("data-dir", config.DataDir)));
        }

        WarnOfUse(given, fromFile, notes);
        return new ConfigReading { Config = config, Given = given, Notes = notes };

        ConfigReading End(int code, string output = "", string complaint = "") =>
            new()
            {
                Config = config,
                Given = given,
                Notes = notes,
                ExitCode = code,
                Output = output,
                Complaint = complaint,
            };
    }

    private static string? FileNamed(Dictionary<string, string> given, IReadOnlyDictionary<string, string> environment)
    {
        string path = given.GetValueOrDefault("config-file") ?? "";
        path = path.Length > 0 ? path : environment.GetValueOrDefault("ETCD_CONFIG_FILE") ?? "";
        return path.Length > 0 ? path : null;
    }

    /// <summary>What follows from what was given, and from what was not.</summary>
    private static void Complete(
        ServerConfig config, Dictionary<string, string> given, bool fromFile, List<ConfigNote> notes)
    {
        DiscoverySettings discovery = config.Discovery;
        bool discovers = discovery.Url.Length > 0 || discovery.SrvDomain.Length > 0 || discovery.Endpoints.Count > 0;
        bool clusterGiven = fromFile
            ? config.InitialCluster != DefaultInitialCluster
            : given.ContainsKey("initial-cluster");
        if (discovers && !clusterGiven)
        {
            config.InitialCluster = "";
        }

        if (!fromFile && given.ContainsKey("listen-client-urls") && !given.ContainsKey("advertise-client-urls"))
        {
            config.AdvertiseClientUrls = [];
        }

        config.RaftReadTimeout = AtLeastDefault("raft-read-timeout", config.RaftReadTimeout, notes);
        config.RaftWriteTimeout = AtLeastDefault("raft-write-timeout", config.RaftWriteTimeout, notes);
    }

    private static TimeSpan AtLeastDefault(string flag, TimeSpan value, List<ConfigNote> notes)
    {
        TimeSpan least = TimeSpan.FromSeconds(5);
        if (value >= least)
        {
            return value;
        }

        notes.Add(new ConfigNote(LogLevel.Info, $"{flag} increased to minimum value: {GoDuration.Format(least)}"));
        return least;
    }

    /// <summary>Deprecated flags in a file go without a word, as etcd lets them.</summary>
    private static void WarnOfUse(Dictionary<string, string> given, bool fromFile, List<ConfigNote> notes)
    {
        foreach (string name in given.Keys.Order(StringComparer.Ordinal))
        {
            if (!fromFile && FlagTable.Deprecated.Contains(name))
            {
                notes.Add(new ConfigNote(
                    LogLevel.Warn, $"--{name} is deprecated in 3.5 and will be decommissioned in 3.6."));
            }

            Flag flag = FlagTable.Find(name)!;
            if (given[name] != flag.Default
                && FlagTable.WithoutEffect.TryGetValue(flag.TwinOf ?? name, out string? reason))
            {
                notes.Add(new ConfigNote(
                    LogLevel.Warn, $"--{name} is accepted but has no effect in this server: {reason}", ("value", given[name])));
            }
        }
    }
}
