namespace Perf.Node.Config;

/// <summary>--feature-gates of etcd 3.6, and the experimental switches it replaced.</summary>
internal static class FeatureGates
{
    private static readonly (string Name, string? Experimental, Action<ServerConfig, bool> Set)[] Gates =
    [
        ("CompactHashCheck", "experimental-compact-hash-check-enabled", (c, on) => c.CompactHashCheck = on),
        ("FastLeaseKeepAlive", null, (_, _) => { }),
        ("InitialCorruptCheck", "experimental-initial-corrupt-check", (c, on) => c.InitialCorruptCheck = on),
        ("LeaseCheckpoint", "experimental-enable-lease-checkpoint", (c, on) => c.LeaseCheckpoint = on),
        ("LeaseCheckpointPersist", "experimental-enable-lease-checkpoint-persist", (c, on) => c.LeaseCheckpointPersist = on),
        ("PriorityRequest", null, (_, _) => { }),
        ("SetMemberLocalAddr", null, (c, on) => c.SetMemberLocalAddress = on),
        ("StopGRPCServiceOnDefrag", "experimental-stop-grpc-service-on-defrag", (c, on) => c.StopServiceOnDefrag = on),
        ("TxnModeWriteWithSharedBuffer", "experimental-txn-mode-write-with-shared-buffer", (c, on) => c.TxnModeWriteWithSharedBuffer = on),
    ];

    /// <summary>For the help.</summary>
    public static string Known => "Known: " + string.Join(", ", Gates.Select(g => g.Name)) + ".";

    /// <summary>Throws <see cref="FormatException"/> for gates that nobody knows.</summary>
    public static void Apply(ServerConfig config, string text)
    {
        foreach ((string name, bool on) in Parse(text))
        {
            Gates.Single(g => g.Name == name).Set(config, on);
        }
    }

    /// <summary>Throws <see cref="ConfigException"/> where a feature is set by gate and by its experimental flag.</summary>
    public static void RequireOneSpelling(string text, IReadOnlyDictionary<string, string> given)
    {
        foreach ((string name, bool on) in Parse(text))
        {
            string? flag = Gates.Single(g => g.Name == name).Experimental;
            if (flag is not null && given.TryGetValue(flag, out string? value))
            {
                string gate = $"--feature-gates={name}={(on ? "true" : "false")}";
                throw new ConfigException(
                    $"cannot specify both flags: --{flag}={value} and {gate} at the same time, please just use {gate}");
            }
        }
    }

    private static IEnumerable<(string Name, bool On)> Parse(string text)
    {
        foreach (string part in text.Split(',', StringSplitOptions.RemoveEmptyEntries | StringSplitOptions.TrimEntries))
        {
            string[] pair = part.Split('=', 2, StringSplitOptions.TrimEntries);
            if (pair.Length < 2)
            {
                throw new FormatException($"missing bool value for {pair[0]}");
            }

            if (!Gates.Any(g => g.Name == pair[0]))
            {
                throw new FormatException($"unrecognized feature gate: {pair[0]}");
            }

            bool on;
            try
            {
                on = GoText.ParseBool(pair[1]);
            }
            catch (FormatException)
            {
                throw new FormatException($"invalid value of {pair[0]}={pair[1]}, must be true or false");
            }

            yield return (pair[0], on);
        }
    }
}
