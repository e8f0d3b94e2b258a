using System.Collections.Concurrent;
using System.Diagnostics;
using Xunit;

namespace Perf.Cluster.Tests.Harness;

/// <summary>An etcdctl in the background: a watch, a keep-alive.</summary>
internal sealed class EtcdctlSession : IDisposable
{
    private static readonly TimeSpan _patience = TimeSpan.FromSeconds(30);

    private readonly ConcurrentQueue<string> _errors = new();
    private readonly BlockingCollection<string> _lines = [];
    private readonly Process _process;

    public EtcdctlSession(ProcessStartInfo start)
    {
        _process = Process.Start(start)!;
        _process.OutputDataReceived += (_, line) =>
        {
            if (line.Data is not null)
            {
                _lines.Add(line.Data);
            }
        };
        _process.ErrorDataReceived += (_, line) => _errors.Enqueue(line.Data ?? "");
        _process.BeginOutputReadLine();
        _process.BeginErrorReadLine();
    }

    /// <summary>Types a line.</summary>
    public void Type(string line)
    {
        _process.StandardInput.Write(line + "\n");
        _process.StandardInput.Flush();
    }

    /// <summary>The next lines it prints are these.</summary>
    public void Expect(params string[] lines)
    {
        foreach (string expected in lines)
        {
            Assert.Equal(expected, Next());
        }
    }

    /// <summary>The next line it prints.</summary>
    public string Next() => _lines.TryTake(out string? line, _patience)
        ? line
        : throw new TimeoutException("etcdctl prints nothing more; its errors: " + string.Join('\n', _errors));

    /// <summary>
    /// Waits until a watch sees what happens to a key, by putting values there until one of them is shown. What is
    /// printed up to and with the last of them is swallowed.
    /// </summary>
    /// <param name="put">Puts a value.</param>
    /// <param name="last">The last value put, as it is printed.</param>
    /// <param name="show">How a value looks when printed; itself when null.</param>
    public void Settle(Action<string> put, string last, Func<string, string>? show = null)
    {
        int tries = 0;
        do
        {
            Assert.True(++tries < 100, "the watch sees nothing; its errors: " + string.Join('\n', _errors));
            put("settling");
        }
        while (!_lines.TryTake(out _, TimeSpan.FromMilliseconds(200)));
        put(last);
        while (Next() != (show is null ? last : show(last)))
        {
        }
    }

    public void Dispose()
    {
        if (!_process.HasExited)
        {
            _process.Kill();
        }

        _process.WaitForExit();
        _process.Dispose();
        _lines.Dispose();
    }
}
