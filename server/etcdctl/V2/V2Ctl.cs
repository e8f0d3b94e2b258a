using System.Globalization;
using Perf.Client;
using Perf.Etcdctl.CommandLine;
using Perf.Etcdctl.Commands;
using Perf.Etcdctl.Text;

namespace Perf.Etcdctl.V2;

/// <summary>
/// etcdctl with ETCDCTL_API=2: the commands on the tree of keys, over HTTP, with the flags, texts and exit codes of
/// etcdctl's own v2 part. Its commands for members, users and roles are left to the v3 API.
/// </summary>
internal static class V2Ctl
{
    private const string Help = """
        NAME:
           etcdctl - A simple command line client for etcd.

        USAGE:
           etcdctl [global options] command [command options] [arguments...]

        COMMANDS:
             mk         make a new key with a given value
             mkdir      make a new directory
             rm         remove a key or a directory
             rmdir      removes the key if it is an empty directory or a key-value pair
             get        retrieve the value of a key
             ls         retrieve a directory
             set        set the value of a key
             setdir     create a new directory or update an existing directory TTL
             update     update an existing key with a given value
             updatedir  update an existing directory
             watch      watch a key for changes
             exec-watch watch a key for changes and exec an executable

        GLOBAL OPTIONS:
           --debug                          output the requests that are sent
           --no-sync                        don't synchronize cluster information before sending request
           --output simple, -o simple       output response in the given format (simple, `extended` or `json`)
           --discovery-srv value, -D value  domain name to query for SRV records describing cluster endpoints
           --insecure-discovery             accept insecure SRV records describing cluster endpoints
           --peers value, -C value          DEPRECATED - "--endpoints" should be used instead
           --endpoint value                 DEPRECATED - "--endpoints" should be used instead
           --endpoints value                a comma-delimited list of machine addresses in the cluster
           --cert-file value                identify HTTPS client using this SSL certificate file
           --key-file value                 identify HTTPS client using this SSL key file
           --ca-file value                  verify certificates of HTTPS-enabled servers using this CA bundle
           --username value, -u value       provide username[:password] and prompt if password is not supplied.
           --timeout value                  connection timeout per request (default: 2s)
           --total-timeout value            timeout for the command execution (except watch) (default: 5s)
           --help, -h                       show help
           --version, -v                    print the version

        """;

    private const int ServerError = 4;

    private static readonly Dictionary<string, string> Switches = new(StringComparer.Ordinal)
    {
        ["debug"] = "",
        ["no-sync"] = "",
        ["insecure-discovery"] = "",
        ["help"] = "h",
        ["version"] = "v",
    };

    private static readonly Dictionary<string, string> Values = new(StringComparer.Ordinal)
    {
        ["output"] = "o",
        ["discovery-srv"] = "D",
        ["discovery-srv-name"] = "",
        ["peers"] = "C",
        ["endpoint"] = "",
        ["endpoints"] = "",
        ["cert-file"] = "",
        ["key-file"] = "",
        ["ca-file"] = "",
        ["username"] = "u",
        ["timeout"] = "",
        ["total-timeout"] = "",
    };

    private sealed record Verb(
        string Name,
        Func<V2Run, Task> Run,
        string[] Switches,
        string[] Values,
        bool NeedsKey = true);

    private static readonly Verb[] Verbs =
    [
        new("get", r => r.GetAsync(), ["sort", "quorum,q"], []),
        new("ls", r => r.ListAsync(), ["sort", "recursive,r", "p", "quorum,q"], [], NeedsKey: false),
        new("mk", r => r.MakeAsync(), ["in-order"], ["ttl"]),
        new("mkdir", r => r.DirectoryAsync("false"), [], ["ttl"]),
        new("setdir", r => r.DirectoryAsync(""), [], ["ttl"]),
        new("updatedir", r => r.DirectoryAsync("true"), [], ["ttl"]),
        new("set", r => r.SetAsync(""), [], ["ttl", "swap-with-value", "swap-with-index"]),
        new("update", r => r.SetAsync("true"), [], ["ttl"]),
        new("rm", r => r.RemoveAsync(), ["dir", "recursive,r"], ["with-value", "with-index"]),
        new("rmdir", r => r.RemoveDirectoryAsync(), [], []),
        new("watch", r => r.WatchAsync(), ["forever,f", "recursive,r"], ["after-index"]),
        new("exec-watch", r => r.ExecWatchAsync(), ["recursive,r"], ["after-index"]),
    ];

    public static async Task<int> RunAsync(IReadOnlyList<string> arguments, Terminal terminal)
    {
        var global = new V2Flags(terminal);
        try
        {
            List<string> rest = global.Parse(arguments, Switches, Values, stopAtWord: true);
            if (global.On("version"))
            {
                terminal.Write($"etcdctl version: {Product.Version}\nAPI version: 2\n");
                return ExitCode.Success;
            }

            if (global.On("help") || rest.Count == 0 || rest[0] is "help" or "h")
            {
                terminal.Write(Help);
                return ExitCode.Success;
            }

            if (Array.Find(Verbs, v => v.Name == rest[0]) is not { } verb)
            {
                terminal.WriteLine($"No help topic for '{rest[0]}'");
                return 3;
            }

            var flags = new V2Flags(terminal);
            List<string> words = flags.Parse(
                rest[1..], verb.Switches.ToDictionary(Long, Short), verb.Values.ToDictionary(Long, Short), stopAtWord: false);
            if (verb.NeedsKey && words.Count == 0)
            {
                throw new ExitException(
                    ExitCode.BadArguments,
                    verb.Name == "exec-watch" ? "key and command to exec required" : "key required");
            }

            using V2Client client = await ConnectAsync(global, terminal).ConfigureAwait(false);
            await verb.Run(new V2Run(client, global, flags, words, terminal)).ConfigureAwait(false);
            return ExitCode.Success;
        }
        catch (V2Exception e)
        {
            // Whatever the format: etcdctl looks for an error of another type than it gets.
            terminal.ErrorLine("Error:  " + e.Message);
            if (e.Detail.Length > 0)
            {
                terminal.ErrorLine(e.Detail);
            }

            return ServerError;
        }
        catch (ExitException e)
        {
            if (e.Message.Length > 0)
            {
                terminal.ErrorLine(e.Code == ExitCode.BadArguments ? "Error:  " + e.Message : e.Message);
            }

            return e.Code;
        }
        catch (OperationCanceledException) when (terminal.Interrupted.IsCancellationRequested)
        {
            return ExitCode.Success;
        }
        finally
        {
            terminal.Flush();
        }

        static string Long(string names) => names.Split(',')[0];

        static string Short(string names) => names.Contains(',', StringComparison.Ordinal) ? names.Split(',')[1] : "";
    }

    private static async Task<V2Client> ConnectAsync(V2Flags global, Terminal terminal)
    {
        string user = global.Text("username", "USERNAME");
        string password = "";
        if (user.Length > 0)
        {
            int colon = user.IndexOf(':', StringComparison.Ordinal);
            (user, password) = colon >= 0
                ? (user[..colon], user[(colon + 1)..])
                : (user, Passwords.Ask(terminal, "Password: "));
        }

        string[] files = [global.Text("ca-file", "CA_FILE"), global.Text("cert-file", "CERT_FILE"), global.Text("key-file", "KEY_FILE")];
        EtcdTls? tls = Session.Tls(
            files[0], files[1], files[2], insecureTransport: true, skipVerify: false, serverName: "");
        var client = new V2Client(await EndpointsAsync(global, terminal).ConfigureAwait(false), tls, user, password);
        try
        {
            await SyncAsync(client, global, terminal).ConfigureAwait(false);
            return client;
        }
        catch
        {
            client.Dispose();
            throw;
        }
    }

    private static async Task SyncAsync(V2Client client, V2Flags global, Terminal terminal)
    {
        if (global.On("no-sync"))
        {
            return;
        }

        using CancellationTokenSource limit = global.TotalTimeout();
        try
        {
            if (!await client.SyncAsync(limit.Token).ConfigureAwait(false))
            {
                terminal.ErrorLine("etcd cluster has no published client endpoints.");
                terminal.ErrorLine(
                    "Try '--no-sync' if you want to access non-published client endpoints("
                    + string.Join(',', client.Endpoints) + ").");
                terminal.ErrorLine("Error:  client: no endpoints available");
                throw new ExitException(ExitCode.BadFeature, "");
            }
        }
        catch (V2Exception)
        {
            // A user without rights, or no v2 members API: the endpoints as given may do. If not, the request says so.
        }
        catch (OperationCanceledException) when (!terminal.Interrupted.IsCancellationRequested)
        {
            throw V2Exception.Timeout();
        }
    }

    private static async Task<IReadOnlyList<string>> EndpointsAsync(V2Flags global, Terminal terminal)
    {
        IReadOnlyList<string> endpoints = [];
        if (global.Text("discovery-srv", "DISCOVERY_SRV") is { Length: > 0 } domain)
        {
            try
            {
                endpoints = await SrvResolver.FromVariable(terminal.Variable(SrvResolver.ServerVariable))
                    .ClientEndpointsAsync(domain, global.Text("discovery-srv-name", "DISCOVERY_SRV_NAME"), terminal.Interrupted)
                    .ConfigureAwait(false);
            }
            catch (Exception e) when (e is SrvLookupException or FormatException)
            {
                throw new ExitException(ExitCode.Error, e.Message);
            }

            bool insecure = global.On("insecure-discovery") || terminal.Variable("ETCDCTL_INSECURE_DISCOVERY").Length > 0;
            foreach (string plain in endpoints.Where(e => !insecure && IsPlain(e)))
            {
                terminal.ErrorLine($"ignoring discovered insecure endpoint {GoText.Quote(plain)}");
            }

            endpoints = [.. endpoints.Where(e => insecure || !IsPlain(e))];
        }

        if (endpoints.Count == 0)
        {
            string given = global.Text("endpoints", "ENDPOINTS");
            given = given.Length > 0 ? given : global.Text("endpoint", "ENDPOINT");
            given = given.Length > 0 ? given : global.Text("peers", "PEERS");
            endpoints = (given.Length > 0 ? given : "http://127.0.0.1:2379,http://127.0.0.1:4001").Split(',');
        }

        return [.. endpoints.Select(e => e.Contains("://", StringComparison.Ordinal) ? e : "http://" + e)];
    }

    private static bool IsPlain(string endpoint) => endpoint.StartsWith("http://", StringComparison.Ordinal);
}

/// <summary>Flags of the v2 command line: -name and --name alike, with a value behind '=' or in the next word.</summary>
internal sealed class V2Flags(Terminal terminal)
{
    private readonly Dictionary<string, string> _set = new(StringComparer.Ordinal);

    public bool On(string name) => _set.GetValueOrDefault(name) == "true";

    /// <summary>The flag, or without it the variable ETCDCTL_ + name.</summary>
    public string Text(string name, string variable) => _set.TryGetValue(name, out string? value)
        ? value
        : variable.Length > 0 ? terminal.Variable("ETCDCTL_" + variable) : "";

    public long Number(string name)
    {
        string text = _set.GetValueOrDefault(name, "0");
        try
        {
            return GoText.ParseInt(text, 0);
        }
        catch (FormatException e)
        {
            throw new ExitException(
                ExitCode.Error, $"invalid value {GoText.Quote(text)} for flag -{name}: {e.Message}");
        }
    }

    public CancellationTokenSource TotalTimeout()
    {
        var limit = CancellationTokenSource.CreateLinkedTokenSource(terminal.Interrupted);
        try
        {
            limit.CancelAfter(GoDuration.Parse(_set.GetValueOrDefault("total-timeout", "5s")));
            return limit;
        }
        catch (FormatException e)
        {
            limit.Dispose();
            throw new ExitException(ExitCode.Error, $"invalid value for flag -total-timeout: {e.Message}");
        }
    }

    /// <summary>
    /// Takes the flags out of the arguments; returns the words, from the first on when it stops there, else all. A name
    /// maps to its letter or to nothing.
    /// </summary>
    public List<string> Parse(
        IReadOnlyList<string> arguments,
        IReadOnlyDictionary<string, string> switches,
        IReadOnlyDictionary<string, string> values,
        bool stopAtWord)
    {
        var words = new List<string>();
        for (int at = 0; at < arguments.Count; at++)
        {
            string argument = arguments[at];
            if (argument == "--")
            {
                words.AddRange(arguments.Skip(at + 1));
                break;
            }

            if (argument.Length < 2 || argument[0] != '-')
            {
                if (stopAtWord)
                {
                    words.AddRange(arguments.Skip(at));
                    break;
                }

                words.Add(argument);
                continue;
            }

            string[] halves = argument.TrimStart('-').Split('=', 2);
            string? name = Named(switches, halves[0]);
            if (name is not null)
            {
                _set[name] = halves.Length < 2 || GoText.ParseBool(halves[1]) ? "true" : "false";
                continue;
            }

            name = Named(values, halves[0]) ?? throw new ExitException(
                ExitCode.Error, $"Incorrect Usage: flag provided but not defined: -{halves[0]}");
            if (halves.Length < 2 && at + 1 == arguments.Count)
            {
                throw new ExitException(ExitCode.Error, $"Incorrect Usage: flag needs an argument: -{halves[0]}");
            }

            _set[name] = halves.Length == 2 ? halves[1] : arguments[++at];
        }

        return words;
    }

    private static string? Named(IReadOnlyDictionary<string, string> flags, string given)
    {
        foreach ((string name, string letter) in flags)
        {
            if (name == given || (letter.Length > 0 && letter == given))
            {
                return name;
            }
        }

        return null;
    }
}

/// <summary>One v2 command being run.</summary>
internal sealed class V2Run(V2Client client, V2Flags global, V2Flags flags, IReadOnlyList<string> words, Terminal terminal)
{
    private string Output => global.Text("output", "") is { Length: > 0 } given ? given : "simple";

    public async Task GetAsync()
    {
        V2Answer answer = await ReadAsync(words[0], recursive: false).ConfigureAwait(false);
        if (answer.Node.Dir)
        {
            throw new ExitException(ExitCode.Error, $"{answer.Node.Key}: is a directory");
        }

        Print(answer);
    }

    public async Task ListAsync()
    {
        V2Answer answer = await ReadAsync(words.Count > 0 ? words[0] : "/", flags.On("recursive")).ConfigureAwait(false);
        if (Output != "simple")
        {
            Print(answer);
            return;
        }

        if (!answer.Node.Dir)
        {
            terminal.WriteLine(answer.Node.Key);
        }

        foreach (V2Node node in answer.Node.Nodes ?? [])
        {
            PrintTree(node);
        }
    }

    public async Task MakeAsync()
    {
        string value = await ValueAsync().ConfigureAwait(false);
        Print(flags.On("in-order")
            ? await SendAsync(HttpMethod.Post, [], [("value", value), .. TimeToLive()]).ConfigureAwait(false)
            : await SendAsync(HttpMethod.Put, [("prevExist", "false")], [("value", value), .. TimeToLive()])
                .ConfigureAwait(false));
    }

    public async Task SetAsync(string prevExist)
    {
        string value = await ValueAsync().ConfigureAwait(false);
        Print(await SendAsync(
            HttpMethod.Put,
            [
                .. Given("prevValue", flags.Text("swap-with-value", "")),
                .. Given("prevIndex", Positive("swap-with-index")),
                .. Given("prevExist", prevExist),
            ],
            [("value", value), .. TimeToLive()]).ConfigureAwait(false));
    }

    public async Task DirectoryAsync(string prevExist)
    {
        V2Answer answer = await SendAsync(
            HttpMethod.Put, [("dir", "true"), .. Given("prevExist", prevExist)], [.. TimeToLive()]).ConfigureAwait(false);
        if (Output != "simple")
        {
            Print(answer);
        }
    }

    public async Task RemoveAsync()
    {
        V2Answer answer = await SendAsync(
            HttpMethod.Delete,
            [
                .. Given("prevValue", flags.Text("with-value", "")),
                .. Given("prevIndex", Positive("with-index")),
                .. Given("dir", flags.On("dir") ? "true" : ""),
                .. Given("recursive", flags.On("recursive") ? "true" : ""),
            ],
            null).ConfigureAwait(false);
        PrintRemoved(answer);
    }

    public async Task RemoveDirectoryAsync() =>
        PrintRemoved(await SendAsync(HttpMethod.Delete, [("dir", "true")], null).ConfigureAwait(false));

    public Task WatchAsync() => EachChangeAsync(words[0], answer =>
    {
        if (flags.On("recursive"))
        {
            terminal.WriteLine($"[{answer.Action}] {answer.Node.Key}");
        }

        Print(answer);
        terminal.Flush();
        return Task.FromResult(flags.On("forever"));
    });

    public async Task ExecWatchAsync()
    {
        if (words.Count < 2)
        {
            throw new ExitException(ExitCode.BadArguments, "key and command to exec required");
        }

        await EachChangeAsync(words[0], async answer =>
        {
            await Programs.RunAsync(terminal, [.. words.Skip(1)], new Dictionary<string, string>
            {
                ["ETCD_WATCH_ACTION"] = answer.Action,
                ["ETCD_WATCH_MODIFIED_INDEX"] = answer.Node.Modified.ToString(CultureInfo.InvariantCulture),
                ["ETCD_WATCH_KEY"] = answer.Node.Key,
                ["ETCD_WATCH_VALUE"] = answer.Node.Value,
            }).ConfigureAwait(false);
            return true;
        }).ConfigureAwait(false);
    }

    private static IEnumerable<(string Name, string Value)> Given(string name, string value) =>
        value.Length > 0 ? [(name, value)] : [];

    private async Task EachChangeAsync(string key, Func<V2Answer, Task<bool>> more)
    {
        long after = flags.Number("after-index");
        ulong next = after > 0 ? (ulong)after + 1 : 0;
        bool goOn = true;
        while (goOn)
        {
            V2Answer? answer = await client.KeysAsync(
                HttpMethod.Get,
                key,
                [
                    ("recursive", flags.On("recursive") ? "true" : "false"),
                    ("wait", "true"),
                    ("waitIndex", next.ToString(CultureInfo.InvariantCulture)),
                ],
                null,
                terminal.Interrupted).ConfigureAwait(false);
            if (answer is null)
            {
                continue;
            }

            next = answer.Node.Modified + 1;
            goOn = answer.Node.Dir || await more(answer).ConfigureAwait(false);
        }
    }

    private Task<V2Answer> ReadAsync(string key, bool recursive) => SendAsync(
        HttpMethod.Get,
        [
            ("quorum", flags.On("quorum") ? "true" : "false"),
            ("recursive", recursive ? "true" : "false"),
            ("sorted", flags.On("sort") ? "true" : "false"),
        ],
        null,
        key);

    private async Task<V2Answer> SendAsync(
        HttpMethod method,
        IReadOnlyList<(string Name, string Value)> query,
        IReadOnlyList<(string Name, string Value)>? form,
        string? key = null)
    {
        using CancellationTokenSource limit = global.TotalTimeout();
        try
        {
            return await client.KeysAsync(method, key ?? words[0], query, form, limit.Token).ConfigureAwait(false)
                ?? throw V2Exception.InvalidJson();
        }
        catch (OperationCanceledException) when (!terminal.Interrupted.IsCancellationRequested)
        {
            throw V2Exception.Timeout();
        }
    }

    private string Positive(string flag) =>
        flags.Number(flag) is var number and not 0 ? number.ToString(CultureInfo.InvariantCulture) : "";

    private IEnumerable<(string Name, string Value)> TimeToLive() =>
        flags.Number("ttl") is var seconds and > 0 ? [("ttl", seconds.ToString(CultureInfo.InvariantCulture))] : [];

    private async Task<string> ValueAsync()
    {
        if (words.Count > 1)
        {
            return words[1];
        }

        byte[] typed = await terminal.ReadAllAsync().ConfigureAwait(false);
        return typed.Length > 0
            ? GoText.FromBytes(typed)
            : throw new ExitException(ExitCode.BadArguments, "value required");
    }

    private void PrintRemoved(V2Answer answer)
    {
        if (!answer.Node.Dir || Output != "simple")
        {
            Print(answer);
        }
    }

    private void PrintTree(V2Node node)
    {
        terminal.WriteLine(node.Key + (node.Dir && flags.On("p") ? "/" : ""));
        foreach (V2Node child in node.Nodes ?? [])
        {
            PrintTree(child);
        }
    }

    private void Print(V2Answer answer)
    {
        string number(ulong value) => value.ToString(CultureInfo.InvariantCulture);
        bool isDelete = answer.Action == "delete";
        switch (Output)
        {
            case "simple":
                terminal.WriteLine(isDelete ? $"PrevNode.Value: {answer.Previous?.Value}" : answer.Node.Value);
                break;
            case "extended":
                terminal.Write(
                    $"Key: {answer.Node.Key}\nCreated-Index: {number(answer.Node.Created)}\n"
                    + $"Modified-Index: {number(answer.Node.Modified)}\n"
                    + (answer.Previous is null ? "" : $"PrevNode.Value: {answer.Previous.Value}\n")
                    + $"TTL: {answer.Node.Ttl.ToString(CultureInfo.InvariantCulture)}\nIndex: {number(answer.Index)}\n"
                    + (isDelete ? "" : $"\n{answer.Node.Value}\n"));
                break;
            case "json":
                terminal.WriteLine(answer.ToJson());
                break;
            default:
                terminal.ErrorLine("Unsupported output format: " + Output);
                break;
        }
    }
}
