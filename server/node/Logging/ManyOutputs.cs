namespace Perf.Node.Logging;

/// <summary>The same lines to several places.</summary>
internal sealed class ManyOutputs(IReadOnlyList<ILogOutput> outputs) : ILogOutput
{
    /// <inheritdoc/>
    public void Write(LogLevel level, ReadOnlySpan<byte> line)
    {
        foreach (ILogOutput output in outputs)
        {
            output.Write(level, line);
        }
    }
}
