using Perf.Client;
using Perf.Etcdctl.CommandLine;
using Perf.Etcdctl.Printing;
using Perf.Etcdctl.Text;

namespace Perf.Etcdctl.Commands;

/// <summary>get, put, del and compaction; txn reads its requests through the same parsers.</summary>
internal static class KeyCommands
{
    private const string PrefixAndFromKey =
        "`--prefix` and `--from-key` cannot be set at the same time, choose one";

    private const string TooManyArguments =
        "too many arguments, only accept one argument when `--prefix` or `--from-key` is set";

    public static Command Get() => new Command("get [options] <key> [range_end]", "Gets the key or a range of keys")
    {
        Run = GetAsync,
        IsOneRequest = true,
    }.With(flags =>
    {
        flags.String("consistency", "l", "Linearizable(l) or Serializable(s)");
        flags.String("order", "", "Order of results; ASCEND or DESCEND (ASCEND by default)");
        flags.String("sort-by", "", "Sort target; CREATE, KEY, MODIFY, VALUE, or VERSION");
        flags.Int64("limit", 0, "Maximum number of results");
        flags.Bool("prefix", false, "Get keys with matching prefix");
        flags.Bool(
            "from-key", false, "Get keys that are greater than or equal to the given key using byte compare");
        flags.Int64("rev", 0, "Specify the kv revision");
        flags.Bool("keys-only", false, "Get only the keys");
        flags.Bool("count-only", false, "Get only the count");
        flags.Int64("min-create-rev", 0, "Minimum create revision");
        flags.Int64("max-create-rev", 0, "Maximum create revision");
        flags.Int64("min-mod-rev", 0, "Minimum modification revision");
        flags.Int64("max-mod-rev", 0, "Maximum modification revision");
        flags.Bool("stream", false, "Use the RangeStream RPC");
        flags.Bool("print-value-only", false, "Only write values when using the \"simple\" output format");
    });

    public static Command Put() => new Command(
        "put [options] <key> <value> (<value> can also be given from stdin)",
        "Puts the given key into the store",
        """

        Puts the given key into the store.

        When <value> begins with '-', <value> is interpreted as a flag.
        Insert '--' for workaround:

        $ put <key> -- <value>
        $ put -- <key> <value>

        If <value> isn't given as a command line argument and '--ignore-value' is not specified,
        this command tries to read the value from standard input.

        If <lease> isn't given as a command line argument and '--ignore-lease' is not specified,
        this command tries to read the value from standard input.

        For example,
        $ cat file | put <key>
        will store the content of the file to <key>.

        """)
    {
        Run = PutAsync,
        IsOneRequest = true,
    }.With(flags =>
    {
        flags.String("lease", "0", "lease ID (in hexadecimal) to attach to the key");
        flags.Bool("prev-kv", false, "return the previous key-value pair before modification");
        flags.Bool("ignore-value", false, "updates the key using its current value");
        flags.Bool("ignore-lease", false, "updates the key using its current lease");
    });

    public static Command Delete() => new Command(
        "del [options] <key> [range_end]", "Removes the specified key or range of keys [key, range_end)")
    {
        Run = DeleteAsync,
        IsOneRequest = true,
    }.With(flags =>
    {
        flags.Bool("prefix", false, "delete keys with matching prefix");
        flags.Bool("prev-kv", false, "return deleted key-value pairs");
        flags.Bool(
            "from-key", false, "delete keys that are greater than or equal to the given key using byte compare");
        flags.Bool("range", false, "delete range of keys");
        flags.Bool("dry-run", false, "show the keys that would be deleted, and delete nothing");
    });

    public static Command Compaction() => new Command(
        "compaction [options] <revision>", "Compacts the event history in etcd")
    {
        Run = CompactAsync,
        IsOneRequest = true,
    }.With(flags => flags.Bool(
        "physical", false, "'true' to wait for compaction to physically remove all old revisions"));

    /// <summary>A get's key and options out of its arguments and flags.</summary>
    public static (Bytes Key, GetOptions Options) ParseGet(FlagSet flags, IReadOnlyList<string> args)
    {
        if (args.Count == 0)
        {
            throw Invocation.BadArguments(
                "get command needs one argument as key and an optional argument as range_end");
        }

        if (flags["prefix"].Bool && flags["from-key"].Bool)
        {
            throw Invocation.BadArguments(PrefixAndFromKey);
        }

        if (flags["keys-only"].Bool && flags["count-only"].Bool)
        {
            throw Invocation.BadArguments(
                "`--keys-only` and `--count-only` cannot be set at the same time, choose one");
        }

        string consistency = flags["consistency"].Text;
        if (consistency is not ("s" or "l"))
        {
            throw new ExitException(ExitCode.BadFeature, $"unknown consistency flag {GoText.Quote(consistency)}");
        }

        RefuseCrossed(flags, "min-create-rev", "max-create-rev");
        RefuseCrossed(flags, "min-mod-rev", "max-mod-rev");
        (Bytes key, Bytes end, bool prefix) = ParseRange(flags, args);
        string order = flags["order"].Text;
        string target = flags["sort-by"].Text;
        return (key, new GetOptions
        {
            RangeEnd = end,
            Prefix = prefix,
            Serializable = consistency == "s",
            Limit = flags["limit"].Long,
            Revision = Math.Max(0, flags["rev"].Long),
            SortOrder = order.ToUpperInvariant() switch
            {
                "ASCEND" => SortOrder.Ascend,
                "DESCEND" => SortOrder.Descend,
                "" => SortOrder.None,
                _ => throw new ExitException(ExitCode.BadFeature, "bad sort order " + order),
            },
            SortTarget = target.ToUpperInvariant() switch
            {
                "CREATE" => SortTarget.Create,
                "KEY" or "" => SortTarget.Key,
                "MODIFY" => SortTarget.Mod,
                "VALUE" => SortTarget.Value,
                "VERSION" => SortTarget.Version,
                _ => throw new ExitException(ExitCode.BadFeature, "bad sort target " + target),
            },
            KeysOnly = flags["keys-only"].Bool,
            CountOnly = flags["count-only"].Bool,
            MinCreateRevision = Math.Max(0, flags["min-create-rev"].Long),
            MaxCreateRevision = Math.Max(0, flags["max-create-rev"].Long),
            MinModRevision = Math.Max(0, flags["min-mod-rev"].Long),
            MaxModRevision = Math.Max(0, flags["max-mod-rev"].Long),
        });
    }

    private static void RefuseCrossed(FlagSet flags, string min, string max)
    {
        if (flags[max].Long > 0 && flags[min].Long > flags[max].Long)
        {
            throw new ExitException(
                ExitCode.BadFeature, $"--{min} {flags[min].Long} is greater than --{max} {flags[max].Long}");
        }
    }

    /// <summary>A put's parts; the value comes from <paramref name="input"/> when it is no argument.</summary>
    public static async Task<(Bytes Key, Bytes Value, PutOptions Options)> ParsePutAsync(
        FlagSet flags, IReadOnlyList<string> args, Terminal input)
    {
        if (args.Count == 0)
        {
            throw Invocation.BadArguments("put command needs 1 argument and input from stdin or 2 arguments");
        }

        bool ignoreValue = flags["ignore-value"].Bool;
        if (ignoreValue && args.Count > 1)
        {
            throw Invocation.BadArguments("put command needs only 1 argument when 'ignore-value' is set");
        }

        byte[] value = [];
        if (!ignoreValue)
        {
            value = args.Count > 1
                ? GoText.ToBytes(args[1])
                : await input.ReadAllAsync().ConfigureAwait(false);
            if (args.Count == 1 && value.Length == 0)
            {
                throw Invocation.BadArguments("put command needs 1 argument and input from stdin or 2 arguments");
            }
        }

        long lease;
        try
        {
            lease = GoText.ParseInt(flags["lease"].Text, 16);
        }
        catch (FormatException e)
        {
            throw Invocation.BadArguments($"bad lease ID ({e.Message}), expecting ID in Hex");
        }

        return (GoText.ToBytes(args[0]), value, new PutOptions
        {
            Lease = lease,
            PrevKv = flags["prev-kv"].Bool,
            IgnoreValue = ignoreValue,
            IgnoreLease = flags["ignore-lease"].Bool,
        });
    }

    /// <summary>A delete's key and options.</summary>
    public static (Bytes Key, DeleteOptions Options) ParseDelete(
        FlagSet flags, IReadOnlyList<string> args, Terminal terminal)
    {
        if (args.Count is 0 or > 2)
        {
            throw Invocation.BadArguments(
                "del command needs one argument as key and an optional argument as range_end");
        }

        if (flags["prefix"].Bool && flags["from-key"].Bool)
        {
            throw Invocation.BadArguments(PrefixAndFromKey);
        }

        (Bytes key, Bytes end, bool prefix) = ParseRange(flags, args);
        if (args.Count > 1 && !flags["range"].Bool)
        {
            terminal.ErrorLine(
                "In etcd v3.6, the operation will be suspended for a few seconds to provide the user time to "
                + "verify range.");
        }

        return (key, new DeleteOptions { RangeEnd = end, Prefix = prefix, PrevKv = flags["prev-kv"].Bool });
    }

    private static (Bytes Key, Bytes End, bool Prefix) ParseRange(FlagSet flags, IReadOnlyList<string> args)
    {
        Bytes key = GoText.ToBytes(args[0]);
        bool prefix = flags["prefix"].Bool;
        bool fromKey = flags["from-key"].Bool;
        if (args.Count > 1 && (prefix || fromKey))
        {
            throw Invocation.BadArguments(TooManyArguments);
        }

        if (fromKey)
        {
            return (key.IsEmpty ? Bytes.Zero : key, Bytes.Zero, false);
        }

        return (key, args.Count > 1 ? GoText.ToBytes(args[1]) : Bytes.Empty, prefix);
    }

    private static async Task GetAsync(Invocation run)
    {
        (Bytes key, GetOptions options) = ParseGet(run.Flags, run.Args);
        await using Session session = Session.Prepare(run, Answer.Get);
        if (options.CountOnly && session.Printer is not FieldsPrinter)
        {
            throw Invocation.BadArguments("--count-only is only for `--write-out=fields`");
        }

        if (run.On("print-value-only") && session.Printer is not SimplePrinter)
        {
            throw Invocation.BadArguments("print-value-only is only for `--write-out=simple`");
        }

        await session.StartAsync().ConfigureAwait(false);
        if (session.Printer is SimplePrinter simple)
        {
            simple.ValueOnly = run.On("print-value-only");
        }

        session.Printer.Get(await session.WithinTimeoutAsync(c => run.On("stream")
            ? session.Client.Kv.GetInPiecesAsync(key, options, c)
            : session.Client.Kv.GetAsync(key, options, c)).ConfigureAwait(false));
    }

    private static async Task PutAsync(Invocation run)
    {
        (Bytes key, Bytes value, PutOptions options) =
            await ParsePutAsync(run.Flags, run.Args, run.Terminal).ConfigureAwait(false);
        await using Session session = await Session.OpenAsync(run, Answer.Put).ConfigureAwait(false);
        session.Printer.Put(await session.WithinTimeoutAsync(c => session.Client.Kv.PutAsync(key, value, options, c))
            .ConfigureAwait(false));
    }

    private static async Task DeleteAsync(Invocation run)
    {
        (Bytes key, DeleteOptions options) = ParseDelete(run.Flags, run.Args, run.Terminal);
        if (run.On("dry-run"))
        {
            await DryRunAsync(run, key, options).ConfigureAwait(false);
            return;
        }

        await using Session session = await Session.OpenAsync(run, Answer.Delete).ConfigureAwait(false);
        session.Printer.Delete(await session.WithinTimeoutAsync(c => session.Client.Kv.DeleteAsync(key, options, c))
            .ConfigureAwait(false));
    }

    /// <summary>Prints what a delete would print, with the pairs that stand there now (keys only unless --prev-kv).</summary>
    private static async Task DryRunAsync(Invocation run, Bytes key, DeleteOptions options)
    {
        await using Session session = await Session.OpenAsync(run, Answer.Delete).ConfigureAwait(false);
        var get = new GetOptions { RangeEnd = options.RangeEnd, Prefix = options.Prefix, KeysOnly = !options.PrevKv };
        GetResponse found = await session.WithinTimeoutAsync(c => session.Client.Kv.GetAsync(key, get, c))
            .ConfigureAwait(false);
        if (session.Printer is SimplePrinter)
        {
            session.Terminal.WriteLine($"{found.Count} (dry run, nothing deleted)");
            foreach (KeyValue kv in found.Kvs)
            {
                session.Terminal.WriteLine(kv.Key);
                if (options.PrevKv)
                {
                    session.Terminal.WriteLine(kv.Value);
                }
            }

            return;
        }

        session.Printer.Delete(new DeleteResponse
        {
            Header = found.Header,
            Deleted = found.Count,
            PrevKvs = found.Kvs,
        });
    }

    private static async Task CompactAsync(Invocation run)
    {
        if (run.Args.Count != 1)
        {
            throw Invocation.BadArguments("compaction command needs 1 argument");
        }

        long revision;
        try
        {
            revision = GoText.ParseInt(run.Args[0], 10);
        }
        catch (FormatException e)
        {
            throw new ExitException(ExitCode.Error, e.Message);
        }

        await using Session session = await Session.OpenAsync(run).ConfigureAwait(false);
        await session.WithinTimeoutAsync(c => session.Client.Kv.CompactAsync(revision, run.On("physical"), c))
            .ConfigureAwait(false);
        session.Terminal.WriteLine($"compacted revision {revision}");
    }
}
