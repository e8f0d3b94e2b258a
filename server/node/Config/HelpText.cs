using System.Text;

namespace Perf.Node.Config;

/// <summary>What -h and --version print.</summary>
public static class HelpText
{
    /// <summary>How to call the server; printed for a misspelt flag too.</summary>
    public const string Usage =
        """
        Usage:

          etcd [flags]
            Run a server.

          etcd --version
            Print the version.

          etcd -h | --help
            Print all flags.

          etcd --config-file FILE
            Run a server with the settings of a file; other flags and ETCD_* variables are then ignored.

        """;

    /// <summary>Four lines, as tools that ask etcd for its version expect them.</summary>
    public const string Version =
        "etcd Version: 3.5.33\nGit SHA: Not provided\nGo Version: go1.25.0\nGo OS/Arch: linux/amd64\n";

    /// <summary>All flags with their defaults, by group.</summary>
    public static string Flags()
    {
        var text = new StringBuilder();
        string group = "";
        foreach (Flag flag in FlagTable.All)
        {
            if (flag.Group != group)
            {
                group = flag.Group;
                text.Append(text.Length == 0 ? "" : "\n").Append(group).Append(":\n");
            }

            text.Append("  --").Append(flag.Name).Append(" '").Append(flag.Default).Append("'\n");
            text.Append("    ").Append(flag.Help).Append('\n');
        }

        return text.ToString();
    }
}
