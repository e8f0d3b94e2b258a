using System.Diagnostics;
using System.Globalization;

namespace Perf.Bench.Load;

/// <summary>A single member started for the bench, with production flags and its own directory; ends with it.</summary>
internal sealed class BenchServer : IDisposable
{
    private readonly Process _process;
    private readonly string _directory;

    private BenchServer(string name, Process process, string directory, int port)
    {
        Name = name;
        _process = process;
        _directory = directory;
        Port = port;
    }

    public string Name { get; }

    public int Port { get; }

    /// <summary>Where it shows its figures.</summary>
    public required string MonitorUrl { get; init; }

    /// <summary>Processor seconds the server has used.</summary>
    public double CpuSeconds
    {
        get
        {
            _process.Refresh();
            return _process.TotalProcessorTime.TotalSeconds;
        }
    }

    /// <summary>Anonymous memory in MiB (Pss_Anon).</summary>
    public double AnonymousMiB => File.ReadLines($"/proc/{_process.Id}/smaps_rollup")
        .Where(l => l.StartsWith("Pss_Anon:", StringComparison.Ordinal))
        .Sum(l => double.Parse(l.Split(' ', StringSplitOptions.RemoveEmptyEntries)[1], CultureInfo.InvariantCulture)) / 1024;

    /// <summary>Starts "command" (a binary, or an assembly for dotnet) and waits until it is healthy.</summary>
    /// <param name="name">What the figures call it.</param>
    /// <param name="command">The program.</param>
    /// <param name="port">Its client port; the one above is for peers, the next for figures where there is TLS.</param>
    /// <param name="tlsFlags">More flags, of a server whose clients come by https.</param>
    public static async Task<BenchServer> StartAsync(string name, string command, int port, params string[] tlsFlags)
    {
        string directory = Directory.CreateTempSubdirectory("perf-bench-").FullName;
        bool isSecure = tlsFlags.Length > 0;
        string client = $"{(isSecure ? "https" : "http")}://127.0.0.1:{port}";
        string monitor = isSecure ? $"http://127.0.0.1:{port + 2}" : client;
        string peer = $"http://127.0.0.1:{port + 1}";
        string[] flags =
        [
            "--name", "m0", "--data-dir", Path.Combine(directory, "m0"),
            "--listen-client-urls", client, "--advertise-client-urls", client,
            "--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer, "--initial-cluster", $"m0={peer}",
            "--log-level", "error", "--quota-backend-bytes", "8589934592",
            .. isSecure ? ["--listen-metrics-urls", monitor, .. tlsFlags] : Array.Empty<string>(),
        ];
        bool isAssembly = command.EndsWith(".dll", StringComparison.Ordinal);
        var start = new ProcessStartInfo(isAssembly ? "dotnet" : command)
        {
            RedirectStandardError = true,
            RedirectStandardOutput = true,
        };
        foreach (string argument in isAssembly ? [command, .. flags] : flags)
        {
            start.ArgumentList.Add(argument);
        }

        Process process = Process.Start(start)!;
        process.OutputDataReceived += (_, _) => { };
        process.ErrorDataReceived += (_, _) => { };
        process.BeginOutputReadLine();
        process.BeginErrorReadLine();
        var server = new BenchServer(name, process, directory, port) { MonitorUrl = monitor };
        using var http = new HttpClient { Timeout = TimeSpan.FromSeconds(2) };
        for (var waited = Stopwatch.StartNew(); waited.Elapsed < TimeSpan.FromSeconds(60);)
        {
            if (process.HasExited)
            {
                break;
            }

            try
            {
                if ((await http.GetStringAsync($"{monitor}/health")).Contains("true", StringComparison.Ordinal))
                {
                    return server;
                }
            }
            catch (Exception e) when (e is HttpRequestException or TaskCanceledException)
            {
                // Not up yet.
            }

            await Task.Delay(20);
        }

        server.Dispose();
        throw new InvalidOperationException($"{name} ({command}) did not become healthy");
    }

    public void Dispose()
    {
        if (!_process.HasExited)
        {
            _process.Kill();
            _process.WaitForExit();
        }

        _process.Dispose();
        Directory.Delete(_directory, recursive: true);
    }
}
