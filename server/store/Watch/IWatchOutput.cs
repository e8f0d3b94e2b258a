using System.Buffers;

namespace Perf.Store.Watch;

/// <summary>
/// Where the messages of one watch stream go. Only the pump of the stream's shard calls it, one call at a time. None
/// of the calls may block. What they throw ends the stream, not the pump.
/// </summary>
public interface IWatchOutput
{
    /// <summary>
    /// True while the receiver is further behind than the output's limit (bytes or messages not yet sent). No events
    /// are written then; answers to requests still are, so whoever reads requests should pause as well. When it turns
    /// false again, call <see cref="WatchStream.Resume"/>.
    /// </summary>
    bool IsFull { get; }

    /// <summary>
    /// Begins a message (an encoded WatchResponse) of exactly this many bytes. All of them are written before the
    /// next call; they are copied, nothing is lent.
    /// </summary>
    IBufferWriter<byte> StartMessage(int bytes);

    /// <summary>
    /// The pump has nothing more for the moment: send what is there. False when there is no room for it yet: then the output
    /// keeps what was written and is asked again in the next turn, for which it calls <see cref="WatchStream.Resume"/>.
    /// </summary>
    bool TryFlush();
}
