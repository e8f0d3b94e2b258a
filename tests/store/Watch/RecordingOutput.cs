using System.Buffers;
using Etcdserverpb;
using Google.Protobuf;
using Perf.Store.Watch;
using Xunit;

namespace Perf.Store.Tests.Watch;

/// <summary>An output that parses what it gets with the generated messages and is full when the test says so.</summary>
internal sealed class RecordingOutput : IWatchOutput
{
    private readonly ArrayBufferWriter<byte> _buffer = new();
    private int _expected = -1;
    private int _sent;

    /// <summary>Messages the output takes before it is full.</summary>
    public int Capacity { get; set; } = int.MaxValue;

    /// <summary>Everything received, in order.</summary>
    public List<WatchResponse> Messages { get; } = [];

    /// <summary>How many of them the client has read.</summary>
    public int Drained { get; private set; }

    public int Flushes { get; private set; }

    public Exception? Failure { get; set; }

    public bool IsFull
    {
        get
        {
            Collect();
            return Messages.Count - Drained >= Capacity;
        }
    }

    public IBufferWriter<byte> StartMessage(int bytes)
    {
        if (Failure is not null)
        {
            throw Failure;
        }
        Collect();
        _expected = bytes;
        return _buffer;
    }

    /// <summary>While the client has more than it holds on its way, nothing joins it.</summary>
    public bool TryFlush()
    {
        Collect();
        Flushes++;
        if (_sent - Drained >= Capacity)
        {
            return false;
        }
        _sent = Messages.Count;
        return true;
    }

    /// <summary>The client has read everything so far.</summary>
    public void Drain()
    {
        Collect();
        Drained = _sent;
    }

    /// <summary>The client reads what was flushed since the last call.</summary>
    public List<WatchResponse> Take()
    {
        Collect();
        List<WatchResponse> taken = [.. Messages.Take(_sent).Skip(Drained)];
        Drained = _sent;
        return taken;
    }

    private void Collect()
    {
        if (_expected < 0)
        {
            return;
        }
        Assert.Equal(_expected, _buffer.WrittenCount);
        WatchResponse message = WatchResponse.Parser.ParseFrom(_buffer.WrittenSpan);

        // The span codec writes exactly what protobuf would.
        Assert.Equal(_buffer.WrittenSpan.ToArray(), message.ToByteArray());
        Messages.Add(message);
        _buffer.ResetWrittenCount();
        _expected = -1;
    }
}
