using System.Text;
using Perf.Etcdctl.Text;

namespace Perf.Etcdctl.CommandLine;

/// <summary>Usage texts in etcdctl's layout.</summary>
internal static class Help
{
    public static string Usage(Command command)
    {
        command.EnsureHelpFlag();
        bool isRoot = command.Parent is null;
        bool hasChildren = command.Children.Any();
        var text = new StringBuilder();
        text.Append("NAME:\n\t").Append(NameUnder(command, command.Root)).Append(" - ").Append(command.Brief);
        text.Append("\n\nUSAGE:\n\t").Append(UseLine(command)).Append('\n');
        if (isRoot)
        {
            text.Append("\nVERSION:\n\t").Append(Product.Version).Append('\n');
        }

        if (hasChildren)
        {
            text.Append("\nAPI VERSION:\n\t").Append(Product.ApiVersion).Append("\n\n\nCOMMANDS:\n");
            foreach (Command below in Below(command).Where(c => c.Run is not null && !c.Hidden))
            {
                text.Append('\t').Append(NameUnder(below, command)).Append('\t').Append(below.Brief).Append('\n');
            }
        }

        if (command.Description.Length > 0)
        {
            text.Append("\nDESCRIPTION:\n");
            foreach (string line in command.Description.Trim('\n', '\t', ' ').Split('\n'))
            {
                text.Append('\t').Append(line).Append('\n');
            }
        }

        text.Append("\nOPTIONS:\n").Append(Flags(command.LocalFlags()));
        FlagSet inherited = command.InheritedFlags();
        if (inherited.Any)
        {
            text.Append("\nGLOBAL OPTIONS:\n").Append(Flags(inherited));
        }

        return TabWriter.Align(text.Append('\n').ToString());
    }

    public static string UseLine(Command command) =>
        (command.Parent is null ? command.Use : command.Parent.Path + " " + command.Use) + " [flags]";

    private static IEnumerable<Command> Below(Command command) =>
        command.Children.SelectMany(c => Below(c).Prepend(c));

    private static string NameUnder(Command command, Command start)
    {
        string name = command.Name;
        for (Command? above = command.Parent; above is not null && above.Name != start.Name; above = above.Parent)
        {
            name = above.Name + " " + name;
        }

        return name;
    }

    private static string Flags(FlagSet flags)
    {
        var text = new StringBuilder();
        foreach (Flag flag in flags.All)
        {
            text.Append(flag.Shorthand != 0 ? $"  -{flag.Shorthand}, --" : "      --").Append(flag.Name);
            text.Append(flag.IsSwitch ? $"[={flag.DefaultShown}]" : "=" + flag.DefaultShown);
            text.Append('\t').Append(flag.Usage).Append('\n');
        }

        return text.ToString();
    }
}
