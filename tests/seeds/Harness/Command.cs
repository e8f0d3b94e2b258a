using System.Collections.Concurrent;
using System.Diagnostics;
using System.Net.Sockets;

namespace Perf.Seeds.Tests.Harness;

/// <summary>A program in the background that is no member: a proxy, a discovery service. Its output is kept.</summary>
internal sealed class Command : IDisposable
{
    private static readonly TimeSpan s_patience = TimeSpan.FromSeconds(60);

    private readonly ConcurrentQueue<string> _output = new();
    private readonly Process _process;

    private Command(string program, IEnumerable<string> arguments, IReadOnlyDictionary<string, string>? environment)
    {
        var start = new ProcessStartInfo(program) { RedirectStandardOutput = true, RedirectStandardError = true };
        foreach (string argument in arguments)
        {
            start.ArgumentList.Add(argument);
        }

        foreach ((string name, string value) in environment ?? new Dictionary<string, string>())
        {
            start.Environment[name] = value;
        }

        _process = Process.Start(start)!;
        _process.OutputDataReceived += (_, line) => _output.Enqueue(line.Data ?? "");
        _process.ErrorDataReceived += (_, line) => _output.Enqueue(line.Data ?? "");
        _process.BeginOutputReadLine();
        _process.BeginErrorReadLine();
    }

    public string Output => string.Join('\n', _output);

    /// <summary>Our server program with these arguments, whatever it is then.</summary>
    public static Command Etcd(IEnumerable<string> arguments, IReadOnlyDictionary<string, string>? environment = null) =>
        new("dotnet", [ServerAssembly, .. arguments], environment);

    public static Command Start(string program, params string[] arguments) => new(program, arguments, null);

    /// <summary>Waits until somebody listens on a port of 127.0.0.1.</summary>
    public async Task WaitForPortAsync(int port)
    {
        for (var waited = Stopwatch.StartNew(); ; await Task.Delay(20))
        {
            if (_process.HasExited || waited.Elapsed > s_patience)
            {
                throw new InvalidOperationException($"nobody listens on {port}:\n{Output}");
            }

            try
            {
                using var probe = new TcpClient();
                await probe.ConnectAsync("127.0.0.1", port);
                return;
            }
            catch (SocketException)
            {
                // Not yet.
            }
        }
    }

    /// <summary>Waits until it has said something.</summary>
    public async Task WaitForAsync(string text)
    {
        for (var waited = Stopwatch.StartNew(); !Output.Contains(text, StringComparison.Ordinal); await Task.Delay(20))
        {
            if (waited.Elapsed > s_patience)
            {
                throw new InvalidOperationException($"\"{text}\" is not said:\n{Output}");
            }
        }
    }

    /// <summary>Waits for the end by itself; its code.</summary>
    public int WaitForExit()
    {
        if (!_process.WaitForExit(s_patience))
        {
            throw new InvalidOperationException($"does not end:\n{Output}");
        }

        _process.WaitForExit();
        return _process.ExitCode;
    }

    public void Dispose()
    {
        if (!_process.HasExited)
        {
            _process.Kill();
            _process.WaitForExit();
        }

        _process.Dispose();
    }

    private static string ServerAssembly
    {
        get
        {
            var framework = new DirectoryInfo(AppContext.BaseDirectory.TrimEnd('/'));
            DirectoryInfo root = framework.Parent!.Parent!.Parent!.Parent!.Parent!;
            return Path.Combine(root.FullName, "server", "etcd", "bin", framework.Parent.Name, framework.Name, "etcd.dll");
        }
    }
}
