using System.Diagnostics.CodeAnalysis;

namespace Perf.Grpc;

/// <summary>
/// Streams of connections that have ended, with their calls and buffers, for those that are short of them: what a new client asks all
/// at once need not be new to the collector as well. Any thread.
/// </summary>
internal sealed class SpareStreams
{
    /// <summary>As many as an <see cref="IntakeGate"/> lets be under way, and some more; 5 MiB with all their buffers.</summary>
    private const int KeptMax = 2048;

    private readonly Lock _lock = new();
    private readonly Stack<Http2Stream> _kept = new();

    /// <summary>Takes streams that nothing runs on any more.</summary>
    public void Give(Stack<Http2Stream> streams)
    {
        lock (_lock)
        {
            while (_kept.Count < KeptMax && streams.TryPop(out Http2Stream? stream))
            {
                if (stream.MayMove)
                {
                    _kept.Push(stream);
                }
            }
        }
    }

    public bool TryTake(Http2Connection connection, [NotNullWhen(true)] out Http2Stream? stream)
    {
        lock (_lock)
        {
            if (!_kept.TryPop(out stream))
            {
                return false;
            }
        }

        stream.MoveTo(connection);
        return true;
    }
}
