using System.Text;

namespace Perf.Etcdutl.CommandLine;

/// <summary>Usage texts in cobra's layout.</summary>
internal static class Help
{
    public static string Usage(Command command)
    {
        var text = new StringBuilder("Usage:");
        if (command.Run is not null)
        {
            text.Append("\n  ").Append(UseLine(command));
        }

        List<Command> children = [.. command.Children.Where(c => !c.IsHidden)];
        if (children.Count > 0)
        {
            text.Append("\n  ").Append(command.Path).Append(" [command]");
            text.Append("\n\nAvailable Commands:");
            int width = Math.Max(11, children.Max(c => c.Name.Length));
            foreach (Command child in children.OrderBy(c => c.Name, StringComparer.Ordinal))
            {
                text.Append("\n  ").Append(child.Name.PadRight(width)).Append(' ').Append(child.Brief);
            }
        }

        AppendFlags(text, "Flags", command.Flags.Concat(command.SharedFlags).Append(HelpFlag(command)));
        AppendFlags(text, "Global Flags", command.InheritedFlags);
        if (children.Count > 0)
        {
            text.Append($"\n\nUse \"{command.Path} [command] --help\" for more information about a command.");
        }

        return text.Append('\n').ToString();
    }

    private static string UseLine(Command command)
    {
        string line = command.Parent is null ? command.Use : command.Parent.Path + " " + command.Use;
        return line.Contains("[flags]", StringComparison.Ordinal) ? line : line + " [flags]";
    }

    private static Flag HelpFlag(Command command) =>
        new("help", FlagKind.Switch, "false", "help for " + command.Name) { Shorthand = 'h' };

    private static void AppendFlags(StringBuilder text, string title, IEnumerable<Flag> flags)
    {
        List<Flag> all = [.. flags.OrderBy(f => f.Name, StringComparer.Ordinal)];
        if (all.Count == 0)
        {
            return;
        }

        text.Append("\n\n").Append(title).Append(':');
        int width = all.Max(f => f.Column.Length);
        foreach (Flag flag in all)
        {
            text.Append('\n').Append(flag.Column.PadRight(width)).Append("   ").Append(flag.Usage).Append(flag.Default);
        }
    }
}
