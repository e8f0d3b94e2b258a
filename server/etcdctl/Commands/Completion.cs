using Perf.Etcdctl.CommandLine;

namespace Perf.Etcdctl.Commands;

/// <summary>
/// completion: scripts for shells. They ask the hidden command __complete, which knows the tree of commands, so that
/// they never go out of date.
/// </summary>
internal static class Completion
{
    private const string Bash = """
        # bash completion for etcdctl
        __etcdctl_complete() {
            local cur="${COMP_WORDS[COMP_CWORD]}"
            local IFS=$'\n'
            COMPREPLY=($(compgen -W "$(etcdctl __complete "${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null | cut -f1)" -- "$cur"))
        }
        complete -o default -F __etcdctl_complete etcdctl

        """;

    private const string Zsh = """
        #compdef etcdctl
        _etcdctl() {
            local -a found
            local line
            while IFS= read -r line; do
                found+=("${line//$'\t'/:}")
            done < <(etcdctl __complete "${words[@]:1:$((CURRENT-1))}" 2>/dev/null)
            _describe 'etcdctl' found
        }
        compdef _etcdctl etcdctl

        """;

    private const string Fish = """
        # fish completion for etcdctl
        function __etcdctl_complete
            set -l words (commandline -opc) (commandline -ct)
            etcdctl __complete $words[2..-1] 2>/dev/null
        end
        complete -c etcdctl -f -a '(__etcdctl_complete)'

        """;

    private const string PowerShell = """
        # PowerShell completion for etcdctl
        Register-ArgumentCompleter -CommandName 'etcdctl' -ScriptBlock {
            param($word, $ast, $position)
            $words = @($ast.CommandElements | Select-Object -Skip 1 | ForEach-Object { "$_" })
            if (-not $word) { $words += '' }
            etcdctl __complete @words 2>$null | ForEach-Object {
                $name, $text = $_ -split "`t", 2
                [System.Management.Automation.CompletionResult]::new($name, $name, 'ParameterValue', ($text ?? $name))
            }
        }

        """;

    public static Command New()
    {
        var completion = new Command(
            "completion",
            "Generate the autocompletion script for the specified shell",
            "Generate the autocompletion script for etcdctl for the specified shell.\n"
            + "See each sub-command's help for details on how to use the generated script.\n");
        foreach ((string shell, string script) in new[]
        {
            ("bash", Bash), ("fish", Fish), ("powershell", PowerShell), ("zsh", Zsh),
        })
        {
            completion.Add(new Command(shell, "Generate the autocompletion script for " + shell)
            {
                Run = run =>
                {
                    run.Terminal.Write(script);
                    return Task.CompletedTask;
                },
            });
        }

        return completion;
    }

    /// <summary>
    /// Prints what the last word could become, one a line with a tab and its description: commands where a command may
    /// stand, flags after a dash.
    /// </summary>
    public static void Answer(Command root, List<string> words, Terminal terminal)
    {
        string last = words.Count == 0 ? "" : words[^1];
        (Command command, List<string> rest) = root.Find(words.Count == 0 ? [] : words[..^1]);
        command.EnsureHelpFlag();
        if (last.StartsWith('-'))
        {
            foreach (Flag flag in command.AllFlags().All)
            {
                Offer("--" + flag.Name, flag.Usage);
            }
        }
        else if (command.WithoutFlags(rest).Count == 0)
        {
            foreach (Command child in command.Children.Where(c => !c.Hidden))
            {
                Offer(child.Name, child.Brief);
            }
        }

        void Offer(string word, string description)
        {
            if (word.StartsWith(last, StringComparison.Ordinal))
            {
                terminal.WriteLine(word + "\t" + description);
            }
        }
    }
}
