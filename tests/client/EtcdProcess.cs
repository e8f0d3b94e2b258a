using System.Diagnostics;
using System.Net.Sockets;
using Xunit;

namespace Perf.Client.Tests;

/// <summary>A fact that needs a real etcd. Skipped without one, unless PERF_REQUIRE_INTEROP=1.</summary>
public sealed class InteropFactAttribute : FactAttribute
{
    public InteropFactAttribute()
    {
        if (!File.Exists(EtcdProcess.Etcd) && Environment.GetEnvironmentVariable("PERF_REQUIRE_INTEROP") != "1")
        {
            Skip = EtcdProcess.Etcd + " is not installed";
        }
    }
}

/// <summary>A theory of the same kind.</summary>
public sealed class InteropTheoryAttribute : TheoryAttribute
{
    public InteropTheoryAttribute() => Skip = new InteropFactAttribute().Skip;
}

/// <summary>A single-member etcd, real or ours, on 127.0.0.1 with its data in a temporary directory.</summary>
public sealed class EtcdProcess : IDisposable
{
    public const string Etcd = "/usr/bin/etcd";
    public const string Etcdctl = "/usr/bin/etcdctl";

    private readonly string _directory = Directory.CreateTempSubdirectory("perf-etcd-").FullName;
    private readonly string _program;
    private readonly string[] _arguments;
    private readonly string _scheme;
    private Process? _process;

    public EtcdProcess(int port, params string[] arguments)
        : this(port, "http", arguments)
    {
    }

    /// <summary>With scheme https, the arguments name the certificates; health is then asked for on port + 2.</summary>
    public EtcdProcess(int port, string scheme, string[] arguments)
        : this(Etcd, [], port, scheme, arguments)
    {
    }

    private EtcdProcess(string program, string[] before, int port, string scheme, string[] arguments)
    {
        _program = program;
        Port = port;
        _scheme = scheme;
        string peer = $"http://127.0.0.1:{port + 1}";
        _arguments =
        [
            .. before,
            "--data-dir", Path.Combine(_directory, "data"),
            "--listen-client-urls", Url, "--advertise-client-urls", Url,
            "--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer,
            "--initial-cluster", "default=" + peer, "--log-level", "error", "--logger", "zap",
            .. scheme == "http" ? Array.Empty<string>() : ["--listen-metrics-urls", HealthUrl],
            .. arguments,
        ];
        Start();
    }

    /// <summary>Our server, built in the same configuration as this test.</summary>
    public static EtcdProcess StartPerf(int port, params string[] arguments) =>
        new("dotnet", [Path.Combine(Output("etcd"), "etcd.dll")], port, "http", arguments);

    /// <summary>Where one of our programs was built in the same configuration as this test.</summary>
    public static string Output(string program)
    {
        string[] path = AppContext.BaseDirectory.TrimEnd('/').Split('/');
        return $"{string.Join('/', path[..^5])}/server/{program}/bin/{path[^2]}/{path[^1]}";
    }

    /// <summary>A server of some file.</summary>
    public static EtcdProcess StartProgram(string program, int port, params string[] arguments) =>
        new(program, [], port, "http", arguments);

    public int Port { get; }

    public string Endpoint => $"127.0.0.1:{Port}";

    public string Url => $"{_scheme}://127.0.0.1:{Port}";

    private string HealthUrl => _scheme == "http" ? Url : $"http://127.0.0.1:{Port + 2}";

    public string TemporaryFile(string name) => Path.Combine(_directory, name);

    /// <summary>Starts it (again, on the same data) and waits until it answers.</summary>
    public void Start()
    {
        var start = new ProcessStartInfo(_program) { RedirectStandardError = true, RedirectStandardOutput = true };
        foreach (string argument in _arguments)
        {
            start.ArgumentList.Add(argument);
        }

        _process = Process.Start(start)!;
        _process.BeginErrorReadLine();
        _process.BeginOutputReadLine();
        using var http = new HttpClient { Timeout = TimeSpan.FromSeconds(2) };
        for (var waited = Stopwatch.StartNew(); waited.Elapsed < TimeSpan.FromSeconds(30); Thread.Sleep(50))
        {
            try
            {
                if (http.GetStringAsync(HealthUrl + "/health").Result.Contains("true", StringComparison.Ordinal))
                {
                    return;
                }
            }
            catch (AggregateException e) when (e.InnerException
                is HttpRequestException or SocketException or TaskCanceledException)
            {
                // Not yet.
            }
        }

        throw new TimeoutException("etcd did not become healthy");
    }

    /// <summary>Kills it as kill -9 does; the data stays.</summary>
    public void Kill()
    {
        _process?.Kill();
        _process?.WaitForExit(10_000);
        _process?.Dispose();
        _process = null;
    }

    public void Dispose()
    {
        Kill();
        Directory.Delete(_directory, recursive: true);
    }
}
