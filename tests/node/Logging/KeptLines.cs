using System.Text;
using Perf.Node.Logging;

namespace Perf.Node.Tests;

/// <summary>A log in memory.</summary>
internal sealed class KeptLines : ILogOutput
{
    public List<string> Lines { get; } = [];

    public void Write(LogLevel level, ReadOnlySpan<byte> line) => Lines.Add(Encoding.UTF8.GetString(line));
}
