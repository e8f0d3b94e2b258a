using Perf.Client;
using Perf.Etcdctl.CommandLine;
using Perf.Etcdctl.Printing;
using Perf.Etcdctl.Text;

namespace Perf.Etcdctl.Commands;

/// <summary>
/// What a command needs to talk to the cluster: flags with the environment mixed in, checked, then a client and a
/// printer. Everything that can be wrong with the flags is found before anything is sent.
/// </summary>
internal sealed class Session : IAsyncDisposable
{
    private readonly Invocation _run;
    private readonly List<EtcdClient> _others = [];
    private EtcdClient? _client;

    private Session(Invocation run, Printer printer)
    {
        _run = run;
        Printer = printer;
        CommandTimeout = run.Flags["command-timeout"].Duration;
    }

    public Printer Printer { get; }

    public TimeSpan CommandTimeout { get; }

    public Terminal Terminal => _run.Terminal;

    public EtcdClient Client => _client!;

    /// <summary>Opens a session for a command that prints such answers.</summary>
    public static async Task<Session> OpenAsync(Invocation run, params Answer[] answers)
    {
        Session session = Prepare(run, answers);
        try
        {
            await session.StartAsync().ConfigureAwait(false);
            return session;
        }
        catch
        {
            await session.DisposeAsync().ConfigureAwait(false);
            throw;
        }
    }

    /// <summary>Makes the client of a prepared session.</summary>
    public async Task StartAsync() => _client = await ConnectAsync(await EndpointsAsync().ConfigureAwait(false)).ConfigureAwait(false);

    /// <summary>Mixes in the environment and checks the flags, without a client.</summary>
    public static Session Prepare(Invocation run, params Answer[] answers)
    {
        Variables.Apply(run);
        FileFlag(run, "cert");
        FileFlag(run, "key");
        FileFlag(run, "cacert");
        Printer printer = Printer.New(run.Text("write-out"), run.On("hex"), run.On("decode"), run.Terminal)
            ?? throw new ExitException(ExitCode.BadFeature, "unsupported output format");
        return Array.TrueForAll(answers, printer.Supports) ? new Session(run, printer) : throw printer.Unsupported();
    }

    /// <summary>Runs something within --command-timeout.</summary>
    public async Task<T> WithinTimeoutAsync<T>(Func<CancellationToken, Task<T>> call)
    {
        using CancellationTokenSource timeout = Timeout();
        return await call(timeout.Token).ConfigureAwait(false);
    }

    public CancellationTokenSource Timeout()
    {
        var timeout = CancellationTokenSource.CreateLinkedTokenSource(Terminal.Interrupted);
        timeout.CancelAfter(CommandTimeout > TimeSpan.Zero ? CommandTimeout : TimeSpan.FromMilliseconds(1));
        return timeout;
    }

    /// <summary>A client of its own for some endpoints, with this session's user and TLS.</summary>
    public async Task<EtcdClient> ConnectAsync(IReadOnlyList<string> endpoints)
    {
        EtcdClientOptions options = Options(endpoints);
        EtcdClient client = await ConnectAsync(options).ConfigureAwait(false);
        _others.Add(client);
        return client;
    }

    public async Task<EtcdClient> ConnectAsync(EtcdClientOptions options)
    {
        try
        {
            return await EtcdClient.ConnectAsync(options, Terminal.Interrupted).ConfigureAwait(false);
        }
        catch (Exception e) when (e is EtcdException or ArgumentException)
        {
            throw new ExitException(ExitCode.BadConnection, e.Message);
        }
    }

    public EtcdClientOptions Options(IReadOnlyList<string> endpoints)
    {
        (string user, string password) = User(_run.Text("user"), _run.Text("password"), "Password: ");
        return new EtcdClientOptions
        {
            Endpoints = endpoints,
            Tls = Tls(
                _run.Text("cacert"),
                _run.Text("cert"),
                _run.Text("key"),
                _run.On("insecure-transport"),
                _run.On("insecure-skip-tls-verify"),
                _run.On("insecure-discovery") ? "" : _run.Text("discovery-srv")),
            Username = user,
            Password = password,
            Token = Token(user),
            SendBytesMax = Limit("max-request-bytes"),
            ReceiveBytesMax = Limit("max-recv-bytes"),
            DialTimeout = _run.Flags["dial-timeout"].Duration,
            KeepAliveTime = _run.Flags["keepalive-time"].Duration,
            KeepAliveTimeout = _run.Flags["keepalive-timeout"].Duration,
            WaitInPlace = Terminal.IsProcess && _run.Command.IsOneRequest,
            Warn = _run.On("debug") ? Terminal.ErrorLine : null,
        };
    }

    /// <summary>The endpoints of --endpoints, or those a --discovery-srv domain names.</summary>
    public async Task<IReadOnlyList<string>> EndpointsAsync()
    {
        string domain = _run.Text("discovery-srv");
        if (domain.Length > 0)
        {
            IReadOnlyList<string> found = await DiscoverAsync(domain).ConfigureAwait(false);
            if (!_run.On("insecure-discovery"))
            {
                foreach (string endpoint in found.Where(IsInsecure))
                {
                    Terminal.ErrorLine($"ignoring discovered insecure endpoint {GoText.Quote(endpoint)}");
                }

                found = found.Where(e => !IsInsecure(e)).ToArray();
            }

            if (found.Count > 0)
            {
                return found;
            }
        }

        return _run.Flags["endpoints"].Slice.Select(e => e.Trim()).ToArray();
    }

    /// <summary>The endpoints a command looks at one by one: as given, or with --cluster those of all members.</summary>
    public async Task<IReadOnlyList<string>> EachEndpointAsync()
    {
        if (!_run.On("cluster"))
        {
            return _run.Flags["endpoints"].Slice;
        }

        EtcdClient client = await ConnectAsync(await EndpointsAsync().ConfigureAwait(false)).ConfigureAwait(false);
        try
        {
            MembersResponse members = await WithinTimeoutAsync(c => client.Cluster.ListAsync(cancellation: c))
                .ConfigureAwait(false);
            return members.Members.SelectMany(m => m.ClientUrls).ToArray();
        }
        catch (Exception e) when (e is EtcdException or OperationCanceledException)
        {
            string reason = e is EtcdException ? e.Message : "context deadline exceeded";
            throw new ExitException(
                ExitCode.Error, "failed to fetch endpoints from etcd cluster member list: " + reason);
        }
    }

    /// <summary>user[:password] with the password from its own flag or, when neither has it, asked for.</summary>
    public (string User, string Password) User(string user, string password, string prompt)
    {
        if (user.Length == 0)
        {
            return ("", "");
        }

        if (password.Length > 0)
        {
            return (user, password);
        }

        int colon = user.IndexOf(':', StringComparison.Ordinal);
        return colon >= 0
            ? (user[..colon], user[(colon + 1)..])
            : (user, Passwords.Ask(Terminal, prompt));
    }

    private string Token(string user)
    {
        string token = _run.Text("auth-jwt-token");
        return token.Length > 0 && user.Length > 0
            ? throw Invocation.BadArguments("`--auth-jwt-token` and `--user` cannot be set at the same time, choose one")
            : token;
    }

    private int Limit(string flag) => _run.Flags[flag].Long is > 0 and <= int.MaxValue and var bytes ? (int)bytes : int.MaxValue;

    public static EtcdTls? Tls(
        string caFile, string certFile, string keyFile, bool insecureTransport, bool skipVerify, string serverName)
    {
        bool any = caFile.Length > 0 || certFile.Length > 0 || keyFile.Length > 0 || serverName.Length > 0;
        if (!any && insecureTransport)
        {
            return null;
        }

        if (certFile.Length > 0 != keyFile.Length > 0)
        {
            throw new ExitException(
                ExitCode.BadArguments,
                $"KeyFile and CertFile must both be present[key: {keyFile}, cert: {certFile}]");
        }

        try
        {
            return EtcdTls.FromFiles(caFile, certFile, keyFile) with
            {
                SkipVerify = skipVerify,
                ServerName = serverName.Length > 0 ? serverName : null,
            };
        }
        catch (FileNotFoundException e)
        {
            throw new ExitException(ExitCode.BadArguments, $"open {e.FileName}: no such file or directory");
        }
        catch (Exception e) when (e is IOException or InvalidDataException
            or System.Security.Cryptography.CryptographicException or UnauthorizedAccessException)
        {
            throw new ExitException(ExitCode.BadArguments, e.Message);
        }
    }

    public async ValueTask DisposeAsync()
    {
        if (Terminal.IsProcess)
        {
            // The process is about to end, and that closes the connections: doing it by hand costs start-up time.
            return;
        }

        foreach (EtcdClient other in _others)
        {
            await other.DisposeAsync().ConfigureAwait(false);
        }
    }

    private async Task<IReadOnlyList<string>> DiscoverAsync(string domain)
    {
        try
        {
            return await SrvResolver.FromVariable(Terminal.Variable(SrvResolver.ServerVariable))
                .ClientEndpointsAsync(domain, _run.Text("discovery-srv-name"), Terminal.Interrupted)
                .ConfigureAwait(false);
        }
        catch (Exception e) when (e is SrvLookupException or FormatException)
        {
            throw new ExitException(ExitCode.Error, e.Message);
        }
    }

    private static bool IsInsecure(string endpoint) => endpoint.StartsWith("http://", StringComparison.Ordinal);

    private static void FileFlag(Invocation run, string name)
    {
        Flag flag = run.Flags[name];
        if (flag.Changed && flag.Text.Length == 0)
        {
            throw new ExitException(ExitCode.BadArguments, $"empty string is passed to --{name} option");
        }
    }
}
