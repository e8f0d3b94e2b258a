using System.Text;
using System.Threading.Channels;
using Xunit;

namespace Perf.Ctl.Tests;

/// <summary>Where etcdctl's lines are typed: a process of its own, or our etcdctl inside this process.</summary>
internal abstract class Shell
{
    /// <summary>Runs one etcdctl to its end.</summary>
    public async Task<Outcome> RunAsync(string line, string input = "")
    {
        using var output = new MemoryStream();
        using var errors = new MemoryStream();
        using var typed = new MemoryStream(Encoding.UTF8.GetBytes(input));
        using var limit = new CancellationTokenSource(TimeSpan.FromSeconds(60));
        int code = await StartAsync(Words(line), typed, output, errors, limit.Token);
        return new Outcome(Text(output), Text(errors), code);
    }

    /// <summary>Runs one that must succeed and say nothing else than this.</summary>
    public async Task ExpectAsync(string line, string output, string input = "")
    {
        Outcome outcome = await RunAsync(line, input);
        Assert.True(outcome.Code == 0 && outcome.Output == output, $"etcdctl {line}: {outcome}");
    }

    /// <summary>Runs one that must succeed; its output.</summary>
    public async Task<string> SucceedAsync(string line, string input = "")
    {
        Outcome outcome = await RunAsync(line, input);
        Assert.True(outcome.Code == 0, $"etcdctl {line}: {outcome}");
        return outcome.Output;
    }

    /// <summary>Starts one that goes on until it is disposed: a watch, a keep-alive.</summary>
    public Running Open(string line) => new(this, Words(line));

    /// <summary>Runs etcdctl on these streams; a cancellation is an interruption from the keyboard.</summary>
    protected internal abstract Task<int> StartAsync(
        IReadOnlyList<string> words, Stream input, Stream output, Stream errors, CancellationToken interrupted);

    // Blanks part words; '' is the empty one, as in a shell.
    private static List<string> Words(string line) =>
        [.. line.Split(' ', StringSplitOptions.RemoveEmptyEntries).Select(w => w == "''" ? "" : w)];

    private static string Text(MemoryStream stream) => Encoding.UTF8.GetString(stream.ToArray());
}

/// <summary>An etcdctl that is running.</summary>
internal sealed class Running : IAsyncDisposable
{
    private static readonly TimeSpan _patience = TimeSpan.FromSeconds(60);

    private readonly CancellationTokenSource _interrupt = new();
    private readonly LineStream _output = new();
    private readonly MemoryStream _errors = new();
    private readonly System.IO.Pipelines.Pipe _typed = new();
    private readonly Task<int> _running;

    public Running(Shell shell, IReadOnlyList<string> words) => _running = Task.Run(
        () => shell.StartAsync(words, _typed.Reader.AsStream(), _output, Stream.Synchronized(_errors), _interrupt.Token));

    public async Task TypeAsync(string line) => await _typed.Writer.WriteAsync(Encoding.UTF8.GetBytes(line + "\n"));

    /// <summary>The next lines it prints are these.</summary>
    public async Task ExpectAsync(params string[] lines)
    {
        foreach (string expected in lines)
        {
            Assert.Equal(expected, await NextAsync());
        }
    }

    public async Task<string> NextAsync()
    {
        using var limit = new CancellationTokenSource(_patience);
        try
        {
            return await _output.Lines.ReadAsync(limit.Token);
        }
        catch (OperationCanceledException)
        {
            throw new TimeoutException(
                "etcdctl prints nothing more; its errors: " + Encoding.UTF8.GetString(_errors.ToArray()));
        }
    }

    /// <summary>
    /// Waits until a watch sees what happens to a key, by putting values there until one is shown. What is printed up
    /// to and with the last of them is swallowed.
    /// </summary>
    public async Task SettleAsync(Shell shell, string key, string shown = "settled")
    {
        for (int tries = 0; ; tries++)
        {
            Assert.True(tries < 200, "the watch sees nothing; its errors: " + Encoding.UTF8.GetString(_errors.ToArray()));
            await shell.ExpectAsync($"put {key} settling", "OK\n");
            using var wait = new CancellationTokenSource(TimeSpan.FromMilliseconds(200));
            try
            {
                await _output.Lines.ReadAsync(wait.Token);
                break;
            }
            catch (OperationCanceledException)
            {
                // Not yet.
            }
        }

        await shell.ExpectAsync($"put {key} settled", "OK\n");
        while (await NextAsync() != shown)
        {
        }
    }

    public async ValueTask DisposeAsync()
    {
        await _interrupt.CancelAsync();
        await _typed.Writer.CompleteAsync();
        await _running.WaitAsync(_patience);
        _interrupt.Dispose();
    }

    /// <summary>A stream whose written bytes are read as lines.</summary>
    private sealed class LineStream : Stream
    {
        private readonly Channel<string> _lines = Channel.CreateUnbounded<string>();
        private readonly List<byte> _line = [];

        public ChannelReader<string> Lines => _lines.Reader;

        public override bool CanRead => false;

        public override bool CanSeek => false;

        public override bool CanWrite => true;

        public override long Length => throw new NotSupportedException();

        public override long Position
        {
            get => throw new NotSupportedException();
            set => throw new NotSupportedException();
        }

        public override void Write(byte[] buffer, int offset, int count)
        {
            foreach (byte b in buffer.AsSpan(offset, count))
            {
                if (b != '\n')
                {
                    _line.Add(b);
                    continue;
                }

                _lines.Writer.TryWrite(Encoding.UTF8.GetString(_line.ToArray()));
                _line.Clear();
            }
        }

        public override void Flush()
        {
        }

        public override int Read(byte[] buffer, int offset, int count) => throw new NotSupportedException();

        public override long Seek(long offset, SeekOrigin origin) => throw new NotSupportedException();

        public override void SetLength(long value) => throw new NotSupportedException();
    }
}
