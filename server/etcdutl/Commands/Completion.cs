using System.Text;
using Perf.Etcdutl.CommandLine;

namespace Perf.Etcdutl.Commands;

/// <summary>completion: a script for a shell, made from the tree of commands.</summary>
internal static class Completion
{
    private static readonly string[] Shells = ["bash", "fish", "powershell", "zsh"];

    public static Command New() => new("completion [bash|zsh|fish|powershell]", "Generate completion script")
    {
        Run = run =>
        {
            if (run.Arguments.Count != 1)
            {
                throw new UsageException($"accepts 1 arg(s), received {run.Arguments.Count}");
            }

            string shell = run.Arguments[0];
            if (!Shells.Contains(shell))
            {
                throw new UsageException($"invalid argument \"{shell}\" for \"etcdutl completion\"");
            }

            run.Output.Write(Script(shell, CommandTree.New()));
        },
    };

    private static string Script(string shell, Command root)
    {
        var text = new StringBuilder($"# {shell} completion for etcdutl\n");
        List<(string Path, string Words)> offers = [.. Offers(root)];
        switch (shell)
        {
            case "bash":
            case "zsh":
                // zsh runs bash's form once it has been asked to.
                text.Append(shell == "zsh" ? "autoload -U +X bashcompinit && bashcompinit\n" : "");
                text.Append("_etcdutl() {\n    local path=\"\" word words=\"\"\n");
                text.Append("    for word in \"${COMP_WORDS[@]:1:COMP_CWORD-1}\"; do\n");
                text.Append("        case \"$word\" in -*) ;; *) path=\"$path $word\" ;; esac\n    done\n");
                text.Append("    case \"$path\" in\n");
                foreach ((string path, string words) in offers)
                {
                    text.Append($"        \"{path}\"*) words=\"{words}\" ;;\n");
                }

                text.Append("    esac\n");
                text.Append("    COMPREPLY=($(compgen -W \"$words\" -- \"${COMP_WORDS[COMP_CWORD]}\"))\n}\n");
                text.Append("complete -o default -F _etcdutl etcdutl\n");
                break;
            case "fish":
                foreach ((string path, string words) in offers)
                {
                    string condition = string.Join("; and ", path.Split(' ', StringSplitOptions.RemoveEmptyEntries)
                        .Select(word => "__fish_seen_subcommand_from " + word).DefaultIfEmpty("__fish_use_subcommand"));
                    text.Append($"complete -c etcdutl -n '{condition}' -a '{words}'\n");
                }

                break;
            default:
                text.Append("Register-ArgumentCompleter -Native -CommandName 'etcdutl' -ScriptBlock {\n    param($word, $ast)\n");
                text.Append("    $path = ($ast.CommandElements | Select-Object -Skip 1 | Where-Object { \"$_\" -notlike '-*' }) -join ' '\n");
                text.Append("    $words = switch -Wildcard (' ' + $path) {\n");
                foreach ((string path, string words) in offers)
                {
                    text.Append($"        '{path}*' {{ '{words}' -split ' '; break }}\n");
                }

                text.Append("    }\n    $words | Where-Object { $_ -like \"$word*\" }\n}\n");
                break;
        }

        return text.ToString();
    }

    /// <summary>Deepest first: what may follow each path.</summary>
    private static IEnumerable<(string Path, string Words)> Offers(Command command)
    {
        foreach (Command child in command.Children.Where(c => !c.IsHidden))
        {
            foreach ((string, string) offer in Offers(child))
            {
                yield return offer;
            }
        }

        string path = command.Path["etcdutl".Length..];
        IEnumerable<string> names = command.Children.Where(c => !c.IsHidden).Select(c => c.Name);
        yield return (path, string.Join(' ', names.Concat(command.AllFlags.Select(f => "--" + f.Name))));
    }
}
