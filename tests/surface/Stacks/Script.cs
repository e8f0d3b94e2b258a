using System.Collections.Concurrent;
using System.Diagnostics;

namespace Perf.Surface.Tests.Stacks;

/// <summary>A program of another language that tells of its steps line by line.</summary>
internal sealed class Script : IDisposable
{
    private static readonly TimeSpan _patience = TimeSpan.FromSeconds(180);

    private readonly Process _process;
    private readonly BlockingCollection<string> _lines = [];
    private readonly ConcurrentQueue<string> _everything = new();

    public Script(string program, params string[] arguments)
    {
        _process = Process.Start(new ProcessStartInfo(program, arguments)
        {
            RedirectStandardInput = true,
            RedirectStandardOutput = true,
            RedirectStandardError = true,
        })!;
        _process.OutputDataReceived += (_, line) => Note(line.Data, isStep: true);
        _process.ErrorDataReceived += (_, line) => Note(line.Data, isStep: false);
        _process.BeginOutputReadLine();
        _process.BeginErrorReadLine();
    }

    /// <summary>Runs a program that must succeed.</summary>
    public static void Run(string program, params string[] arguments)
    {
        using var script = new Script(program, arguments);
        script.MustEnd();
    }

    /// <summary>Waits for a line; any other is a failure.</summary>
    public void Expect(string line)
    {
        if (!_lines.TryTake(out string? said, _patience) || said != line)
        {
            throw new InvalidOperationException($"expected \"{line}\", but it said:\n{string.Join('\n', _everything)}");
        }
    }

    public void Send(string line) => _process.StandardInput.WriteLine(line);

    /// <summary>Waits for the end, which must be a good one.</summary>
    public void MustEnd()
    {
        if (!_process.WaitForExit(_patience))
        {
            throw new InvalidOperationException($"it does not end:\n{string.Join('\n', _everything)}");
        }

        _process.WaitForExit();
        if (_process.ExitCode != 0)
        {
            throw new InvalidOperationException($"it ended with {_process.ExitCode}:\n{string.Join('\n', _everything)}");
        }
    }

    public void Dispose()
    {
        if (!_process.HasExited)
        {
            _process.Kill(entireProcessTree: true);
            _process.WaitForExit();
        }

        _process.Dispose();
    }

    private void Note(string? line, bool isStep)
    {
        if (line is null)
        {
            return;
        }

        _everything.Enqueue(line);
        if (isStep)
        {
            _lines.Add(line);
        }
    }
}
