using Perf.Node.Cluster;
using Perf.Node.Config;
using Perf.Node.Logging;

namespace Perf.Node.Security;

/// <summary>The member's directories are its owner's alone (0700). Those we make are; others are told of, as in etcd.</summary>
internal static class DirectoryModes
{
    private const UnixFileMode OwnerAlone = UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute;

    private const UnixFileMode Permissions = (UnixFileMode)0x1FF;

    /// <summary>Throws <see cref="StartRefusedException"/> for a loose one with --strict-permissions.</summary>
    public static void Check(ServerConfig config, Log log)
    {
        foreach (string directory in (string[])[config.DataDir, config.MemberDir, config.SnapDir])
        {
            if (OperatingSystem.IsWindows() || !Directory.Exists(directory))
            {
                continue;
            }

            UnixFileMode mode = File.GetUnixFileMode(directory) & Permissions;
            if (mode == OwnerAlone)
            {
                continue;
            }

            string finding = $"directory \"{directory}\" exist, but the permission is \"{Text(mode)}\". "
                + $"The recommended permission is \"-{Text(OwnerAlone)[1..]}\" to prevent possible unprivileged access to the data";
            if (config.StrictPermissions && (mode & ~OwnerAlone) != 0)
            {
                throw new StartRefusedException(finding + "; --strict-permissions refuses it");
            }

            log.Warn("check file permission", ("error", finding));
        }
    }

    /// <summary>As ls shows a directory.</summary>
    private static string Text(UnixFileMode mode)
    {
        const string Letters = "rwxrwxrwx";
        char[] text = ['d', .. Letters];
        for (int i = 0; i < Letters.Length; i++)
        {
            if (((int)mode & (0x100 >> i)) == 0)
            {
                text[i + 1] = '-';
            }
        }

        return new string(text);
    }
}
