using Perf.Client;
using Perf.Etcdctl.Text;

namespace Perf.Etcdctl.CommandLine;

/// <summary>
/// What a run of etcdctl sees of the world: its streams, environment and interruption. Tests give their own.
/// </summary>
internal sealed class Terminal
{
    private readonly BufferedStream _out;
    private readonly Stream _error;
    private readonly object _gate = new();

    public Terminal(
        Stream input,
        Stream output,
        Stream error,
        IReadOnlyDictionary<string, string> environment,
        CancellationToken interrupted = default)
    {
        Input = input;
        _out = new BufferedStream(output, 16 * 1024);
        _error = error;
        Environment = environment;
        Interrupted = interrupted;
    }

    public Stream Input { get; }

    public IReadOnlyDictionary<string, string> Environment { get; }

    /// <summary>Cancelled by SIGINT or SIGTERM.</summary>
    public CancellationToken Interrupted { get; }

    /// <summary>True when standard error is a person's screen: then errors come with a hint.</summary>
    public bool ErrorIsScreen { get; init; }

    /// <summary>True when standard output is a person's screen: then long works show how far they have come.</summary>
    public bool OutputIsScreen { get; init; }

    /// <summary>
    /// True while a command puts things right after an interruption; until then it may take its time.
    /// </summary>
    public bool CleansUp { get; set; }

    /// <summary>True when the streams are the process's own, so that programs we start can simply share them.</summary>
    public bool IsProcess { get; init; }

    /// <summary>True to read passwords from the controlling terminal when there is one.</summary>
    public bool MayAskTty { get; init; }

    public void Write(string text) => Write(GoText.ToBytes(text));

    public void Write(ReadOnlySpan<byte> bytes)
    {
        lock (_gate)
        {
            _out.Write(bytes);
        }
    }

    public void WriteLine(string text) => Write(text + "\n");

    /// <summary>Writes bytes and a line feed as one piece.</summary>
    public void WriteLine(Bytes bytes)
    {
        lock (_gate)
        {
            _out.Write(bytes.Span);
            _out.WriteByte((byte)'\n');
        }
    }

    public void ErrorLine(string text)
    {
        lock (_gate)
        {
            _out.Flush();
            _error.Write(GoText.ToBytes(text + "\n"));
            _error.Flush();
        }
    }

    /// <summary>Writes without a line feed to standard error, for prompts.</summary>
    public void Error(string text) => Error(GoText.ToBytes(text));

    public void Error(ReadOnlySpan<byte> bytes)
    {
        lock (_gate)
        {
            _out.Flush();
            _error.Write(bytes);
            _error.Flush();
        }
    }

    /// <summary>Shows what was written so far.</summary>
    public void Flush()
    {
        lock (_gate)
        {
            _out.Flush();
        }
    }

    /// <summary>Where progress is shown: on a person's screen only.</summary>
    public Action<string>? Screen => ErrorIsScreen ? Error : null;

    /// <summary>All of standard input.</summary>
    public async Task<byte[]> ReadAllAsync()
    {
        using var all = new MemoryStream();
        await Input.CopyToAsync(all, Interrupted).ConfigureAwait(false);
        return all.ToArray();
    }

    /// <summary>A line of standard input without its line feed, or null when the input ends before one.</summary>
    public string? ReadLine()
    {
        var line = new List<byte>();
        while (true)
        {
            int b = Input.ReadByte();
            if (b < 0)
            {
                return null;
            }

            if (b == '\n')
            {
                return GoText.FromBytes(line.ToArray());
            }

            line.Add((byte)b);
        }
    }

    public string Variable(string name) => Environment.TryGetValue(name, out string? value) ? value : "";
}

/// <summary>etcdctl's exit codes.</summary>
internal static class ExitCode
{
    public const int Success = 0;
    public const int Error = 1;
    public const int BadConnection = 2;
    public const int InvalidInput = 3;
    public const int BadFeature = 4;
    public const int Interrupted = 5;
    public const int Io = 6;
    public const int BadArguments = 128;
}

/// <summary>Ends the run with a code and, unless empty, an "Error: " line.</summary>
internal sealed class ExitException : Exception
{
    public ExitException(int code, string message)
        : base(message) => Code = code;

    public int Code { get; }
}
