using Perf.Client;
using Perf.Etcdctl.CommandLine;
using Perf.Etcdctl.Commands;
using Perf.Etcdctl.Text;

namespace Perf.Etcdctl.V2;

/// <summary>
/// etcdctl with ETCDCTL_API=2: the commands on the tree of keys and on the members, over HTTP, with the flags, texts and
/// exit codes of etcdctl's own v2 part. Its commands for users and roles are left to the v3 API.
/// </summary>
internal static class V2Ctl
{
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
                terminal.Write(V2Verbs.Help);
                return ExitCode.Success;
            }

            if (V2Verbs.Find(rest) is not var (verb, behind))
            {
                terminal.WriteLine($"No help topic for '{rest[0]}'");
                return 3;
            }

            var flags = new V2Flags(terminal);
            List<string> words = flags.Parse(
                behind, verb.Switches.ToDictionary(Long, Short), verb.Values.ToDictionary(Long, Short), stopAtWord: false);
            if (verb.WithoutArguments.Length > 0 && words.Count == 0)
            {
                throw new ExitException(ExitCode.BadArguments, verb.WithoutArguments);
            }

            using V2Client client = await ConnectAsync(global, verb.Syncs, terminal).ConfigureAwait(false);
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

    private static async Task<V2Client> ConnectAsync(V2Flags global, bool syncs, Terminal terminal)
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
            if (syncs && !global.On("no-sync"))
            {
                await SyncAsync(client, global, terminal).ConfigureAwait(false);
            }

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
