using System.Diagnostics;
using System.Globalization;
using System.Net.Http.Json;
using System.Text.Json;

namespace Perf.Bench.Load;

/// <summary>
/// A cluster of one or three members of one implementation, started for the bench with production flags and its own
/// directory; ends with it.
/// </summary>
internal sealed class BenchServer : IDisposable
{
    private static readonly HttpClient Http = new() { Timeout = TimeSpan.FromMinutes(5) };

    private readonly string _command;
    private readonly string _directory;
    private readonly int _firstPort;
    private readonly int _members;
    private readonly string[] _tlsFlags;
    private readonly List<Process> _processes = [];

    private BenchServer(string name, string command, int port, int members, string[] tlsFlags)
    {
        Name = name;
        _command = command;
        _firstPort = port;
        _members = members;
        _tlsFlags = tlsFlags;
        _directory = Directory.CreateTempSubdirectory("perf-bench-").FullName;
        Port = port;
    }

    public string Name { get; }

    /// <summary>The leader's client port.</summary>
    public int Port { get; private set; }

    /// <summary>Where it shows its figures.</summary>
    public string MonitorUrl => $"http://127.0.0.1:{(IsSecure ? _firstPort + 2 : _firstPort)}";

    /// <summary>Seconds the last start took until every member was healthy.</summary>
    public double StartSeconds { get; private set; }

    /// <summary>Keys that were filled in.</summary>
    public int Keys { get; set; }

    /// <summary>Processor seconds the members have used.</summary>
    public double CpuSeconds => _processes.Sum(process => ProcessClock.Seconds(process.Id));

    /// <summary>Memory of all members in MiB: proportional, all of it.</summary>
    public double PssMiB => Memory("Pss:");

    /// <summary>Anonymous memory of all members in MiB: what the kernel cannot drop.</summary>
    public double AnonymousMiB => Memory("Pss_Anon:");

    /// <summary>Starts "command" (a binary, or an assembly for dotnet) and waits until it is healthy.</summary>
    /// <param name="name">What the figures call it.</param>
    /// <param name="command">The program.</param>
    /// <param name="port">Its client port; the one above is for peers, and so on; with TLS the third is for figures.</param>
    /// <param name="members">How many.</param>
    /// <param name="tlsFlags">More flags, of a single member whose clients come by https.</param>
    public static async Task<BenchServer> StartAsync(
        string name, string command, int port, int members = 1, string[]? tlsFlags = null)
    {
        var server = new BenchServer(name, command, port, members, tlsFlags ?? []);
        try
        {
            await server.StartMembersAsync();
        }
        catch
        {
            server.Dispose();
            throw;
        }

        return server;
    }

    /// <summary>kill -9, start on the same directory, wait until healthy.</summary>
    public async Task RestartAsync()
    {
        Kill();
        await StartMembersAsync();
    }

    public async Task<long> RevisionAsync()
    {
        using JsonDocument json = await PostAsync("/v3/kv/range", new { key = "Zm9v" });
        return long.Parse(
            json.RootElement.GetProperty("header").GetProperty("revision").GetString()!, CultureInfo.InvariantCulture);
    }

    public void Dispose()
    {
        Kill();
        Directory.Delete(_directory, recursive: true);
    }

    private bool IsSecure => _tlsFlags.Length > 0;

    private string Url(string path) => $"http://127.0.0.1:{Port}{path}";

    private async Task<JsonDocument> PostAsync(string path, object body)
    {
        using HttpResponseMessage response = await Http.PostAsJsonAsync(Url(path), body);
        string text = await response.Content.ReadAsStringAsync();
        if (!response.IsSuccessStatusCode)
        {
            throw new InvalidOperationException($"{Name} {path}: {text}");
        }

        return JsonDocument.Parse(text);
    }

    private async Task StartMembersAsync()
    {
        var watch = Stopwatch.StartNew();
        string cluster = string.Join(
            ',', Enumerable.Range(0, _members).Select(i => $"m{i}=http://127.0.0.1:{_firstPort + (2 * i) + 1}"));
        for (int i = 0; i < _members; i++)
        {
            _processes.Add(StartMember(i, cluster));
        }

        for (int i = 0; i < _members; i++)
        {
            await WaitHealthyAsync(
                _processes[i], _members == 1 ? MonitorUrl : $"http://127.0.0.1:{_firstPort + (2 * i)}", watch);
        }

        StartSeconds = watch.Elapsed.TotalSeconds;
        for (int i = 0; i < _members && _members > 1; i++)
        {
            Port = _firstPort + (2 * i);
            using JsonDocument status = await PostAsync("/v3/maintenance/status", new { });
            string? id = status.RootElement.GetProperty("header").GetProperty("member_id").GetString();
            if (status.RootElement.TryGetProperty("leader", out JsonElement leader) && leader.GetString() == id)
            {
                return;
            }
        }

        if (_members > 1)
        {
            throw new InvalidOperationException($"{Name}: nobody leads");
        }
    }

    private Process StartMember(int i, string cluster)
    {
        string client = $"{(IsSecure ? "https" : "http")}://127.0.0.1:{_firstPort + (2 * i)}";
        string peer = $"http://127.0.0.1:{_firstPort + (2 * i) + 1}";
        string[] flags =
        [
            "--name", $"m{i}", "--data-dir", Path.Combine(_directory, $"m{i}"),
            "--listen-client-urls", client, "--advertise-client-urls", client,
            "--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer, "--initial-cluster", cluster,
            "--log-level", "error", "--quota-backend-bytes", "8589934592",
            .. IsSecure ? ["--listen-metrics-urls", MonitorUrl, .. _tlsFlags] : _tlsFlags,
        ];
        bool isAssembly = _command.EndsWith(".dll", StringComparison.Ordinal);
        var start = new ProcessStartInfo(isAssembly ? "dotnet" : _command)
        {
            RedirectStandardError = true,
            RedirectStandardOutput = true,
        };
        foreach (string argument in isAssembly ? [_command, .. flags] : flags)
        {
            start.ArgumentList.Add(argument);
        }

        Process process = Process.Start(start)!;
        process.OutputDataReceived += (_, _) => { };
        process.ErrorDataReceived += (_, _) => { };
        process.BeginOutputReadLine();
        process.BeginErrorReadLine();
        return process;
    }

    private async Task WaitHealthyAsync(Process process, string url, Stopwatch watch)
    {
        using var http = new HttpClient { Timeout = TimeSpan.FromSeconds(2) };
        while (watch.Elapsed < TimeSpan.FromSeconds(120) && !process.HasExited)
        {
            try
            {
                if ((await http.GetStringAsync($"{url}/health")).Contains("true", StringComparison.Ordinal))
                {
                    return;
                }
            }
            catch (Exception e) when (e is HttpRequestException or TaskCanceledException)
            {
                // Not up yet.
            }

            await Task.Delay(5);
        }

        throw new InvalidOperationException($"{Name} ({_command}) did not become healthy");
    }

    private double Memory(string line) => _processes.Sum(process =>
        File.ReadLines($"/proc/{process.Id}/smaps_rollup")
            .Where(l => l.StartsWith(line, StringComparison.Ordinal))
            .Sum(l => double.Parse(l.Split(' ', StringSplitOptions.RemoveEmptyEntries)[1], CultureInfo.InvariantCulture))) / 1024;

    private void Kill()
    {
        foreach (Process process in _processes)
        {
            if (!process.HasExited)
            {
                process.Kill();
                process.WaitForExit();
            }

            process.Dispose();
        }

        _processes.Clear();
    }
}
