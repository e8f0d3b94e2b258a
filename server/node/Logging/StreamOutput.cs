namespace Perf.Node.Logging;

/// <summary>Lines to a stream (stderr, stdout, a file), one write each.</summary>
public sealed class StreamOutput(Stream stream) : ILogOutput
{
    private readonly Lock _gate = new();

    /// <inheritdoc/>
    public void Write(LogLevel level, ReadOnlySpan<byte> line)
    {
        lock (_gate)
        {
            try
            {
                stream.Write(line);
                stream.Flush();
            }
            catch (IOException)
            {
                // A log that cannot be written (a closed pipe, a full disk) must not stop the member.
            }
        }
    }
}
