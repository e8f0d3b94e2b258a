namespace Perf.Etcdutl.Files;

/// <summary>Where things lie under --data-dir.</summary>
internal static class Paths
{
    public static string Member(string dataDir) => Path.Combine(dataDir, "member");

    public static string Snap(string dataDir) => Path.Combine(dataDir, "member", "snap");

    public static string Wal(string dataDir) => Path.Combine(dataDir, "member", "wal");

    public static string Database(string dataDir) => Path.Combine(dataDir, "member", "snap", "db");

    /// <summary>The log's sidecar.</summary>
    public static string WalMark(string dataDir) => Path.Combine(dataDir, "member", "perf", "walmark");

    /// <summary>Refuses a missing file in the words of the call that would have missed it.</summary>
    public static void RequireExists(string path, string call)
    {
        if (!File.Exists(path))
        {
            throw new IOException($"{call} {path}: {(Directory.Exists(path) ? "is a directory" : "no such file or directory")}");
        }
    }
}
