using Perf.Client;
using Perf.Etcdctl.CommandLine;
using Perf.Etcdctl.Commands;
using Perf.Etcdctl.Text;
using Perf.Etcdctl.V2;

namespace Perf.Etcdctl;

/// <summary>Runs etcdctl once: finds the command, parses its flags, and turns every outcome into an exit code.</summary>
internal static class Ctl
{
    public static async Task<int> RunAsync(IReadOnlyList<string> arguments, Terminal terminal)
    {
        try
        {
            string api = terminal.Variable("ETCDCTL_API");
            if (api == "2")
            {
                return await V2Ctl.RunAsync(arguments, terminal).ConfigureAwait(false);
            }

            if (api.Length > 0 && api != "3")
            {
                terminal.ErrorLine("unsupported API version: " + api);
                return ExitCode.Error;
            }

            return await DispatchAsync([.. arguments], terminal).ConfigureAwait(false);
        }
        catch (ExitException e)
        {
            if (e.Message.Length > 0)
            {
                terminal.ErrorLine("Error: " + e.Message);
                if (terminal.ErrorIsScreen && Hint.For(e.Message) is { } hint)
                {
                    terminal.ErrorLine("Hint: " + hint);
                }
            }

            return e.Code;
        }
        finally
        {
            terminal.Flush();
        }
    }

    private static async Task<int> DispatchAsync(List<string> arguments, Terminal terminal)
    {
        Command root = CommandTree.New();
        if (arguments is ["__complete", .. var words])
        {
            Completion.Answer(root, words, terminal);
            return ExitCode.Success;
        }

        (Command command, List<string> rest) = root.Find(arguments);
        List<string> positional = command.WithoutFlags(rest);
        if (command.Parent is null && positional.Count > 0)
        {
            return UnknownCommand(root, positional[0], terminal);
        }

        command.EnsureHelpFlag();
        FlagSet flags = command.AllFlags();
        List<string> args;
        try
        {
            args = flags.Parse(rest);
        }
        catch (FormatException e)
        {
            // cobra prints the error and the usage; etcdctl's main prints the error again.
            terminal.ErrorLine("Error: " + e.Message);
            terminal.Write(Help.Usage(command));
            terminal.ErrorLine("");
            throw new ExitException(ExitCode.Error, e.Message);
        }

        if (flags["help"].Bool || command.Run is null)
        {
            terminal.Write(Help.Usage(command));
            return ExitCode.Success;
        }

        await RunAsync(command, flags, args, arguments, terminal).ConfigureAwait(false);
        return ExitCode.Success;
    }

    private static async Task RunAsync(
        Command command, FlagSet flags, List<string> args, List<string> arguments, Terminal terminal)
    {
        var run = new Invocation
        {
            Command = command,
            Flags = flags,
            Args = args,
            RawArgs = arguments,
            Terminal = terminal,
        };
        try
        {
            await command.Run!(run).ConfigureAwait(false);
        }
        catch (EtcdException e)
        {
            throw new ExitException(ExitCode.Error, e.Message);
        }
        catch (OperationCanceledException)
        {
            throw terminal.Interrupted.IsCancellationRequested
                ? new ExitException(ExitCode.Interrupted, "interrupted")
                : new ExitException(ExitCode.Error, "context deadline exceeded");
        }
        catch (IOException e)
        {
            throw new ExitException(ExitCode.Io, e.Message);
        }
    }

    private static int UnknownCommand(Command root, string typed, Terminal terminal)
    {
        string message = $"unknown command {GoText.Quote(typed)} for {GoText.Quote(root.Name)}";
        string[] suggestions = root.Suggestions(typed).ToArray();
        if (suggestions.Length > 0)
        {
            message += "\n\nDid you mean this?\n" + string.Concat(suggestions.Select(s => $"\t{s}\n"));
        }

        terminal.ErrorLine("Error: " + message);
        terminal.ErrorLine("Run 'etcdctl --help' for usage.");
        terminal.ErrorLine("Error: " + message);
        return ExitCode.Error;
    }
}

/// <summary>What to do next, for errors people meet often.</summary>
internal static class Hint
{
    public static string? For(string message) => message switch
    {
        _ when message.Contains("context deadline exceeded", StringComparison.Ordinal) =>
            "no answer in time: check --endpoints, TLS flags and 'etcdctl endpoint health'; see --command-timeout",
        _ when message.Contains(EtcdErrors.NoSpace, StringComparison.Ordinal) =>
            "compact, defrag, then 'etcdctl alarm disarm'",
        _ when message.Contains(EtcdErrors.Compacted, StringComparison.Ordinal) =>
            "that history is gone; 'etcdctl get \"\" -w json' shows the current revision",
        _ when message.Contains(EtcdErrors.UserEmpty, StringComparison.Ordinal) =>
            "authentication is on: pass --user name:password",
        _ when message.Contains(EtcdErrors.PermissionDenied, StringComparison.Ordinal) =>
            "see what the user may do with 'etcdctl user get NAME --detail'",
        _ when message.StartsWith("unknown flag", StringComparison.Ordinal)
            || message.StartsWith("unknown shorthand", StringComparison.Ordinal) =>
            "a key or value that begins with '-' goes after '--'",
        _ => null,
    };
}
