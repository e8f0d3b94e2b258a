using System.Collections.Frozen;

namespace Perf.Node.Config;

/// <summary>
/// All settings of the server, one row each: what is read from the command line, the environment and the file, and
/// what --help prints, is this table. Names, defaults and meaning are etcd 3.5.33's; the last groups are 3.6's and ours.
/// </summary>
public static partial class FlagTable
{
    /// <summary>Names of long ago that are accepted, with any value, and do nothing.</summary>
    public static FrozenSet<string> Ignored { get; } = FrozenSet.Create(
        StringComparer.Ordinal,
        "cluster-active-size",
        "cluster-remove-delay",
        "cluster-sync-interval",
        "config",
        "force",
        "max-result-buffer",
        "max-retry-attempts",
        "peer-heartbeat-interval",
        "peer-election-timeout",
        "retry-interval",
        "snapshot",
        "v",
        "vv",
        "test.coverprofile",
        "test.outputdir");

    /// <summary>Flags that work and that etcd 3.5 warns about.</summary>
    public static FrozenSet<string> Deprecated { get; } = FrozenSet.Create(
        StringComparer.Ordinal,
        "enable-v2",
        "experimental-enable-v2v3",
        "proxy",
        "proxy-failure-wait",
        "proxy-refresh-interval",
        "proxy-dial-timeout",
        "proxy-write-timeout",
        "proxy-read-timeout");

    /// <summary>
    /// Flags that are read and checked while nothing in this server acts on them, and why; their user is told so.
    /// Whoever makes one work takes it out of here.
    /// </summary>
    public static FrozenDictionary<string, string> WithoutEffect { get; } = new Dictionary<string, string>(StringComparer.Ordinal)
    {
        ["backend-batch-limit"] = "commits are made by their size in bytes and by time",
        ["experimental-downgrade-check-time"] = "a downgrade is looked at whenever the members' versions are, every four seconds",
        ["experimental-memory-mlock"] = "the data file is read in place and much larger than memory may be",
    }.ToFrozenDictionary(StringComparer.Ordinal);

    /// <summary>The rows, in the order of the help.</summary>
    public static IReadOnlyList<Flag> All { get; }

    private static FrozenDictionary<string, Flag> ByName { get; }

    private static FrozenDictionary<string, Flag> ByFileKey { get; }

    static FlagTable()
    {
        FlagGroup experimental = Experimental();
        FlagGroup tracing = Tracing();
        All =
        [
            .. new[]
            {
                Start(), Member(), Clustering(), Security(), Auth(), Profiling(), Logging(), tracing, Proxy(), experimental,
                Unsafe(), Discovery(), Newer([.. experimental.Flags, .. tracing.Flags]), Ours(),
            }.SelectMany(group => group.Flags),
        ];
        ByName = All.ToFrozenDictionary(f => f.Name, StringComparer.Ordinal);
        ByFileKey = All.Where(f => f.FileKey.Length > 0)
            .ToFrozenDictionary(f => f.FileKey, StringComparer.OrdinalIgnoreCase);
    }

    /// <summary>The flag of that name, or null.</summary>
    public static Flag? Find(string name) => ByName.GetValueOrDefault(name);

    /// <summary>The flag that a file writes as "key" or "section.key", or null.</summary>
    public static Flag? FindInFile(string key) => ByFileKey.GetValueOrDefault(key);
}
