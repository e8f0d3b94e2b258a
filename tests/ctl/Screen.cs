using System.Diagnostics;
using System.Text;
using Perf.Client.Tests;
using Xunit;

namespace Perf.Ctl.Tests;

/// <summary>
/// One of our programs as a process of its own, before a person's screen (a pseudo terminal, by util-linux's script) or
/// with its output in pipes.
/// </summary>
internal sealed class Screen : IDisposable
{
    private static readonly TimeSpan _patience = TimeSpan.FromSeconds(60);

    private readonly Process _process;
    private readonly StringBuilder _seen = new();
    private readonly Task _reading;

    private Screen(ProcessStartInfo start)
    {
        start.RedirectStandardInput = true;
        start.RedirectStandardOutput = true;
        start.RedirectStandardError = true;
        start.Environment["ETCDCTL_API"] = "3";
        _process = Process.Start(start)!;
        _reading = Task.WhenAll(ReadAsync(_process.StandardOutput), ReadAsync(_process.StandardError));
    }

    /// <summary>All that was written so far, standard output and error together.</summary>
    public string Seen
    {
        get
        {
            lock (_seen)
            {
                return _seen.ToString();
            }
        }
    }

    /// <summary>
    /// Runs a program with a terminal for all three streams. The shell that script starts gives its place to the program:
    /// one that stayed would be interrupted by the same key, and some shells (dash) then end with a code of their own.
    /// </summary>
    public static Screen Open(string program, params string[] arguments)
    {
        string[] words = ["dotnet", Path.Combine(EtcdProcess.Output(program), program + ".dll"), .. arguments];
        string command = "exec " + string.Join(' ', words.Select(w => $"'{w}'"));
        var start = new ProcessStartInfo("script", ["--quiet", "--return", "--flush", "--command", command, "/dev/null"]);
        start.Environment["SHELL"] = "/bin/sh";
        return new Screen(start);
    }

    /// <summary>Runs a program whose output goes into pipes.</summary>
    public static Screen Piped(string program, params string[] arguments) =>
        new(new ProcessStartInfo("dotnet", [Path.Combine(EtcdProcess.Output(program), program + ".dll"), .. arguments]));

    /// <summary>Waits until the text has been shown.</summary>
    public async Task ExpectAsync(string text)
    {
        for (long end = Environment.TickCount64 + (long)_patience.TotalMilliseconds; !Seen.Contains(text, StringComparison.Ordinal);)
        {
            Assert.True(Environment.TickCount64 < end, $"waited in vain for \"{text}\"; seen:\n{Seen}");
            Assert.False(_reading.IsCompleted && !Seen.Contains(text, StringComparison.Ordinal), $"no \"{text}\":\n{Seen}");
            await Task.Delay(20);
        }
    }

    /// <summary>What the keyboard sends when a person holds Ctrl and presses C.</summary>
    public async Task InterruptAsync()
    {
        await _process.StandardInput.WriteAsync('\x03');
        await _process.StandardInput.FlushAsync();
    }

    /// <summary>Waits for the end; returns the exit code.</summary>
    public async Task<int> EndAsync()
    {
        using var limit = new CancellationTokenSource(_patience);
        await _process.WaitForExitAsync(limit.Token);
        await _reading.WaitAsync(limit.Token);
        return _process.ExitCode;
    }

    public void Dispose()
    {
        if (!_process.HasExited)
        {
            _process.Kill(entireProcessTree: true);
        }

        _process.Dispose();
    }

    private async Task ReadAsync(StreamReader reader)
    {
        char[] buffer = new char[4096];
        for (int got; (got = await reader.ReadAsync(buffer)) > 0;)
        {
            lock (_seen)
            {
                _seen.Append(buffer, 0, got);
            }
        }
    }
}
