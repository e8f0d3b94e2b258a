using System.ComponentModel;
using System.Runtime.CompilerServices;
using Perf.Client;
using Perf.Etcdctl.CommandLine;
using Perf.Etcdctl.Printing;
using Perf.Etcdctl.Text;

namespace Perf.Etcdctl.Commands;

/// <summary>watch: one from the command line, or (-i) any number from standard input; events may start a command.</summary>
internal static class WatchCommand
{
    private const string KeyVariable = "ETCDCTL_WATCH_KEY";
    private const string EndVariable = "ETCDCTL_WATCH_RANGE_END";

    public static Command New() => new Command(
        "watch [options] [key or prefix] [range_end] [--] [exec-command arg1 arg2 ...]",
        "Watches events stream on keys or prefixes")
    {
        Run = RunAsync,
    }.With(flags =>
    {
        flags.Bool("interactive", false, "Interactive mode", 'i');
        WatchFlags(flags);
    });

    /// <summary>
    /// Splits what was given into the watch's own arguments and the command after "--". Key and range end may come
    /// from the environment instead, but not from both.
    /// </summary>
    /// <param name="raw">The words after "watch", flags and "--" included.</param>
    /// <param name="args">The words that are no flags; "--" is gone from these.</param>
    /// <param name="key">ETCDCTL_WATCH_KEY or empty.</param>
    /// <param name="end">ETCDCTL_WATCH_RANGE_END or empty.</param>
    public static (List<string> Watch, List<string> Exec) Split(
        IReadOnlyList<string> raw, IReadOnlyList<string> args, string key, string end)
    {
        int separator = raw.ToList().IndexOf("--");
        if (separator >= 0 && separator == raw.Count - 1)
        {
            throw Invocation.BadArguments("bad number of arguments (found separator --, but no commands)");
        }

        List<string> exec = separator < 0 ? [] : raw.Skip(separator + 1).ToList();
        List<string> watch = args.Take(args.Count - exec.Count).ToList();
        if (key.Length == 0)
        {
            return separator < 0 && raw.Count == 0
                ? throw Invocation.BadArguments("bad number of arguments")
                : (watch, exec);
        }

        if (watch.Count > 0)
        {
            throw Invocation.BadArguments("bad number of arguments (found conflicting environment key)");
        }

        return (end.Length > 0 ? [key, end] : [key], exec);
    }

    private static void WatchFlags(FlagSet flags)
    {
        flags.Bool("prefix", false, "Watch on a prefix if prefix is set");
        flags.Int64("rev", 0, "Revision to start watching");
        flags.Bool("prev-kv", false, "get the previous key-value pair before the event happens");
        flags.Bool("progress-notify", false, "get periodic watch progress notification from server");
    }

    private static async Task RunAsync(Invocation run)
    {
        string key = run.Terminal.Variable(KeyVariable);
        string end = run.Terminal.Variable(EndVariable);
        if (key.Length == 0 && end.Length > 0)
        {
            throw Invocation.BadArguments($"{KeyVariable} is empty but got {EndVariable}={GoText.Quote(end)}");
        }

        if (run.On("interactive"))
        {
            await InteractiveAsync(run, key, end).ConfigureAwait(false);
            return;
        }

        int at = run.RawArgs.ToList().FindIndex(a => a == "watch");
        (List<string> words, List<string> exec) = Split(run.RawArgs.Skip(at + 1).ToList(), run.Args, key, end);
        (Bytes first, WatchOptions options) = Request(run.Flags, words);
        await using Session session = await Session.OpenAsync(run, Answer.Watch).ConfigureAwait(false);
        await PrintAsync(session, session.Client.Watches.Start(first, options), exec).ConfigureAwait(false);
        throw new ExitException(ExitCode.Interrupted, "watch is canceled by the server");
    }

    private static (Bytes Key, WatchOptions Options) Request(FlagSet flags, List<string> words)
    {
        if (words.Count < 1)
        {
            throw Invocation.BadArguments("bad number of arguments");
        }

        if (words.Count == 2 && flags["prefix"].Bool)
        {
            throw Invocation.BadArguments("`range_end` and `--prefix` are mutually exclusive");
        }

        return (GoText.ToBytes(words[0]), new WatchOptions
        {
            RangeEnd = words.Count == 2 ? GoText.ToBytes(words[1]) : Bytes.Empty,
            Prefix = flags["prefix"].Bool,
            StartRevision = flags["rev"].Long,
            PrevKv = flags["prev-kv"].Bool,
            ProgressNotify = flags["progress-notify"].Bool,
            RequireLeader = true,
        });
    }

    private static async Task InteractiveAsync(Invocation run, string key, string end)
    {
        await using Session session = await Session.OpenAsync(run, Answer.Watch).ConfigureAwait(false);
        Terminal terminal = run.Terminal;
        while (true)
        {
            terminal.Flush();
            string line = await Task.Run(terminal.ReadLine).WaitAsync(terminal.Interrupted).ConfigureAwait(false)
                ?? throw new ExitException(ExitCode.InvalidInput, "error reading watch request line: EOF");
            List<string> words = TxnCommand.Words(line);
            switch (words)
            {
                case []:
                    terminal.ErrorLine($"Invalid command: {line} (watch and progress supported)");
                    break;
                case ["progress", ..]:
                    session.Client.Watches.RequestProgress(requireLeader: true);
                    break;
                case ["watch"] when key.Length == 0:
                    terminal.ErrorLine($"Invalid command {line} (command type or key is not provided)");
                    break;
                case ["watch", .. var rest]:
                    StartFromLine(session, line, rest, key, end);
                    break;
                default:
                    terminal.ErrorLine($"Invalid command {line} (only support watch)");
                    break;
            }
        }
    }

    private static void StartFromLine(Session session, string line, List<string> words, string key, string end)
    {
        var flags = new FlagSet();
        WatchFlags(flags);
        flags.Bool("interactive", false, "", 'i');
        List<string> args;
        try
        {
            args = flags.Parse(words);
        }
        catch (FormatException e)
        {
            throw Invocation.BadArguments(e.Message);
        }

        (List<string> watch, List<string> exec) = Split(words, args, key, end);
        Bytes first;
        WatchOptions options;
        try
        {
            (first, options) = Request(flags, watch);
        }
        catch (ExitException e)
        {
            session.Terminal.ErrorLine($"Invalid command {line} ({e.Message})");
            return;
        }

        _ = PrintAsync(session, session.Client.Watches.Start(first, options), exec);
    }

    /// <summary>Prints until the watch ends; an end other than by interruption is reported on standard error.</summary>
    private static async Task PrintAsync(Session session, Watching watching, List<string> exec)
    {
        await using ConfiguredAsyncDisposable disposed = watching.ConfigureAwait(false);
        try
        {
            await foreach (WatchResponse response in
                watching.Responses.ReadAllAsync(session.Terminal.Interrupted).ConfigureAwait(false))
            {
                if (response.IsProgressNotify)
                {
                    session.Terminal.WriteLine($"progress notify: {response.Header.Revision}");
                }

                session.Printer.Watch(response, compactRevision: 0, canceled: false);
                session.Terminal.Flush();
                foreach (WatchEvent e in exec.Count > 0 ? response.Events : [])
                {
                    await ExecAsync(session, exec, response, e).ConfigureAwait(false);
                }
            }
        }
        catch (EtcdException e)
        {
            session.Terminal.ErrorLine($"watch was canceled ({e.Message})");
            long compacted = e is CompactedException compaction ? compaction.CompactRevision : 0;
            session.Printer.Watch(new WatchResponse(), compacted, canceled: true);
        }
    }

    private static async Task ExecAsync(Session session, List<string> exec, WatchResponse response, WatchEvent e)
    {
        string type = SimplePrinter.TypeName(e.Type);
        int code;
        try
        {
            code = await Programs.RunAsync(session.Terminal, exec, new Dictionary<string, string>
            {
                ["ETCD_WATCH_REVISION"] = response.Header.Revision.ToString(
                    System.Globalization.CultureInfo.InvariantCulture),
                ["ETCD_WATCH_EVENT_TYPE"] = GoText.Quote(type),
                ["ETCD_WATCH_KEY"] = GoText.Quote(e.Kv.Key.Span),
                ["ETCD_WATCH_VALUE"] = GoText.Quote(e.Kv.Value.Span),
            }).ConfigureAwait(false);
        }
        catch (Win32Exception)
        {
            session.Terminal.ErrorLine(
                $"command {Quoted(exec)} error (exec: {GoText.Quote(exec[0])}: executable file not found in $PATH)");
            throw new ExitException(ExitCode.Error, "");
        }

        if (code != 0)
        {
            session.Terminal.ErrorLine($"command {Quoted(exec)} error (exit status {code})");
            throw new ExitException(ExitCode.Error, "");
        }
    }

    private static string Quoted(List<string> exec) => "[" + string.Join(' ', exec.Select(GoText.Quote)) + "]";
}
