using System.Collections.Concurrent;
using System.Diagnostics;
using System.Net.Sockets;
using System.Runtime.InteropServices;
using Xunit;

namespace Perf.Cluster.Tests.Harness;

/// <summary>
/// A server as a process of its own, with its log. It listens on one address alone, 127.0.0.1 if nothing else is said:
/// clients on the port given, peers on the one above; everything else is as the flags say, so that an unnamed member is
/// the default one on localhost:2380.
/// </summary>
internal abstract class EtcdProcess : IDisposable
{
    private const int Terminate = 15;
    private const int Continue = 18;
    private const int StopSignal = 19;

    private static readonly TimeSpan _patience = TimeSpan.FromSeconds(60);

    private readonly ConcurrentQueue<string> _log = new();
    private readonly Process _process;
    private readonly string _healthUrl;

    /// <summary>Starts the program; <see cref="WaitUntilHealthy"/> waits for it to serve.</summary>
    protected EtcdProcess(
        string program,
        IEnumerable<string> programArguments,
        string dataDir,
        int port,
        string[] arguments,
        NetworkHost? host = null)
    {
        Port = port;
        Address = host?.Address ?? "127.0.0.1";
        string? secure = Given("--listen-client-urls");
        Url = secure is not null && secure.StartsWith("https", StringComparison.Ordinal)
            ? secure
            : $"http://{Address}:{port}";
        _healthUrl = Given("--listen-metrics-urls") ?? Url;
        var start = new ProcessStartInfo(host is null ? program : "ip")
        {
            RedirectStandardError = true,
            RedirectStandardOutput = true,
        };
        if (host is not null)
        {
            // It becomes the program, so that signals reach it.
            Add(["netns", "exec", host.Namespace, program]);
        }

        Add(programArguments);
        Add(["--data-dir", dataDir]);
        AddDefault("--listen-client-urls", Url);
        AddDefault("--advertise-client-urls", Url);
        AddDefault("--listen-peer-urls", PeerUrl);
        Add(arguments);
        _process = Process.Start(start)!;
        _process.OutputDataReceived += (_, line) => Note(line.Data);
        _process.ErrorDataReceived += (_, line) => Note(line.Data);
        _process.BeginErrorReadLine();
        _process.BeginOutputReadLine();

        string? Given(string flag)
        {
            int at = Array.IndexOf(arguments, flag);
            return at < 0 ? null : arguments[at + 1];
        }

        void AddDefault(string flag, string value)
        {
            if (!arguments.Contains(flag))
            {
                Add([flag, value]);
            }
        }

        void Add(IEnumerable<string> more)
        {
            foreach (string argument in more)
            {
                start.ArgumentList.Add(argument);
            }
        }
    }

    public int Port { get; }

    /// <summary>The process.</summary>
    public int Id => _process.Id;

    public string Address { get; }

    /// <summary>As etcdctl wants it: with the scheme only where that is https.</summary>
    public string Endpoint => Url.StartsWith("https", StringComparison.Ordinal) ? Url : $"{Address}:{Port}";

    public string Url { get; }

    public string PeerUrl => $"http://{Address}:{Port + 1}";

    public bool HasExited => _process.HasExited;

    /// <summary>Everything it has written so far.</summary>
    public string Log => string.Join('\n', _log);

    /// <summary>Waits until it says that it is healthy; a failure carries the log.</summary>
    public void WaitUntilHealthy()
    {
        using var http = new HttpClient { Timeout = TimeSpan.FromSeconds(2) };
        for (var waited = Stopwatch.StartNew(); waited.Elapsed < _patience; Thread.Sleep(20))
        {
            if (_process.HasExited)
            {
                throw Failure($"ended with code {_process.ExitCode} instead of serving");
            }

            try
            {
                if (http.GetStringAsync(_healthUrl + "/health").Result.Contains("true", StringComparison.Ordinal))
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

        throw Failure("did not become healthy");
    }

    /// <summary>Waits for the process to end by itself; its exit code, when its whole log has been read.</summary>
    public int WaitForExit()
    {
        if (!_process.WaitForExit(_patience))
        {
            throw Failure("did not end");
        }

        _process.WaitForExit();
        return _process.ExitCode;
    }

    /// <summary>SIGTERM, and waits for the end.</summary>
    public int Stop()
    {
        Send(Terminate);
        return WaitForExit();
    }

    /// <summary>SIGSTOP: it is there and does nothing.</summary>
    public void Pause() => Send(StopSignal);

    /// <summary>SIGCONT.</summary>
    public void Resume() => Send(Continue);

    /// <summary>SIGKILL, and waits for the end.</summary>
    public void Kill()
    {
        _process.Kill();
        WaitForExit();
    }

    /// <summary>An exception that says what, and shows the log.</summary>
    public Exception Failure(string what) => new InvalidOperationException($"{GetType().Name} {what}. Its log:\n{Log}");

    public void Dispose()
    {
        if (!_process.HasExited)
        {
            Kill();
        }

        _process.Dispose();
    }

    [DllImport("libc", EntryPoint = "kill")]
    private static extern int Kill(int pid, int signal);

    private void Send(int signal) => Assert.Equal(0, Kill(_process.Id, signal));

    private void Note(string? line)
    {
        if (line is not null)
        {
            _log.Enqueue(line);
        }
    }
}
