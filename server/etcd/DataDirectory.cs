using Perf.Node.Config;
using Perf.Node.Logging;

namespace Perf.Etcd;

/// <summary>The data directory before the member opens it: whose it is, and who else may read it.</summary>
internal sealed class DataDirectory(ServerConfig config, Log log)
{
    private const UnixFileMode Private =
        UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute;

    /// <summary>What etcd or this server puts there besides the member's data: certificates of --auto-tls.</summary>
    private const string Fixtures = "fixtures";

    private const string Member = "member";
    private const string Proxy = "proxy";

    /// <summary>True when a member has kept its log here before.</summary>
    public bool IsInitialized { get; private set; }

    /// <summary>True when a v2 proxy has kept its members here: it goes on as one.</summary>
    public bool IsProxy { get; private set; }

    /// <summary>Where a v2 proxy remembers the members.</summary>
    public string ProxyDirectory => Path.Combine(config.DataDir, Proxy);

    /// <summary>
    /// Looks whose directory it is, and warns of what nobody of ours has put there. Throws
    /// <see cref="ConfigException"/> for one that both a member and a proxy have used.
    /// </summary>
    public void Identify()
    {
        IsInitialized = Directory.Exists(config.WalDirectory)
            && Directory.EnumerateFiles(config.WalDirectory, "*.wal").Any();
        LookAround();
    }

    /// <summary>Makes what a v2 proxy keeps. Throws <see cref="IOException"/>.</summary>
    public void PrepareProxy()
    {
        Touch(config.DataDir);
        Touch(ProxyDirectory);
    }

    /// <summary>
    /// Makes what is missing, for this user alone, and warns of what is open to others. Throws
    /// <see cref="IOException"/> for a directory that cannot be written.
    /// </summary>
    public void Prepare()
    {
        Touch(config.DataDir);
        Touch(config.MemberDir);
        Touch(config.SnapDir);
        if (IsInitialized)
        {
            log.Info("server has been already initialized", ("data-dir", config.DataDir), ("dir-type", Member));
        }
    }

    private void LookAround()
    {
        if (!Directory.Exists(config.DataDir))
        {
            return;
        }

        List<string> names = [.. Directory.EnumerateFileSystemEntries(config.DataDir).Select(p => Path.GetFileName(p)!)];
        foreach (string name in names.Order(StringComparer.Ordinal))
        {
            if (name is not (Member or Proxy or Fixtures))
            {
                log.Warn("found invalid file under data directory", ("filename", name), ("data-dir", config.DataDir));
            }
        }

        IsProxy = names.Contains(Proxy);
        if (IsProxy && names.Contains(Member))
        {
            throw new ConfigException("invalid datadir; both member and proxy directories exist");
        }
    }

    private void Touch(string path)
    {
        if (Directory.Exists(path))
        {
            UnixFileMode mode = File.GetUnixFileMode(path);
            if ((mode & (UnixFileMode)0b111_111_111) != Private)
            {
                log.Warn(
                    "check file permission",
                    ("error", $"directory \"{path}\" exist, but the permission is \"{Show(mode)}\"."
                        + $" The recommended permission is \"{Show(Private)}\" to prevent possible unprivileged access to the data"));
            }
        }
        else
        {
            Directory.CreateDirectory(path, Private);
        }

        string probe = Path.Combine(path, ".touch");
        File.WriteAllBytes(probe, []);
        File.Delete(probe);
    }

    /// <summary>A mode as ls shows it: "drwxr-xr-x".</summary>
    private static string Show(UnixFileMode mode)
    {
        const string Letters = "rwxrwxrwx";
        Span<char> shown = stackalloc char[Letters.Length];
        for (int i = 0; i < Letters.Length; i++)
        {
            bool isSet = ((int)mode & (1 << (Letters.Length - 1 - i))) != 0;
            shown[i] = isSet ? Letters[i] : '-';
        }

        return $"d{shown}";
    }
}
