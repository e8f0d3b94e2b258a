using Perf.Raft;

namespace Perf.Node.Consensus;

/// <summary>An entry that somebody on this member wants in the log.</summary>
/// <param name="Type">Kind of entry.</param>
/// <param name="Buffer">Headroom, then the payload.</param>
/// <param name="PayloadAt">Where the payload begins.</param>
/// <param name="Lease">Keeps the buffer; comes with one reference, which the core loop releases.</param>
/// <param name="RequestId">Who waits for it, for a refusal; 0: nobody.</param>
internal readonly record struct Proposal(
    EntryType Type, Memory<byte> Buffer, int PayloadAt, IEntryLease? Lease, ulong RequestId)
{
    /// <summary>Only this member may append it, as the leader of this term; 0: whoever leads.</summary>
    public ulong LeaderTerm { get; init; }
}

/// <summary>What else reaches the core loop.</summary>
internal enum CoreEventKind : byte
{
    Tick,
    Durable,
    Applied,
    Message,
    ReadIndex,
    Control,
}

/// <summary>One event for the core loop.</summary>
internal struct CoreEvent
{
    public CoreEventKind Kind;

    /// <summary>Durable: batch. Applied: index. ReadIndex: id.</summary>
    public ulong Number;

    /// <summary>Message: comes with one reference on each entry's lease, which the core loop releases.</summary>
    public InboundMessage? Message;

    /// <summary>Control: runs on the core thread.</summary>
    public Action<RaftCore>? Control;
}

/// <summary>
/// A message from a peer, with the entries' leases held once for the receiver. The core loop releases them and
/// calls <see cref="Release"/> when it has been stepped.
/// </summary>
internal class InboundMessage
{
    private Message _message;

    /// <summary>The message.</summary>
    public ref Message Message => ref _message;

    /// <summary>What became of it; set on the core thread before <see cref="Release"/>.</summary>
    public StepOutcome Outcome { get; internal set; }

    /// <summary>Gives the object back to whoever pools it.</summary>
    public virtual void Release()
    {
    }
}

/// <summary>Carries the core's messages to the peers. Called on the core thread; must not block.</summary>
internal interface IPeerSender
{
    /// <summary>
    /// Queues messages. The span and the entries in it are lent for the call: what is kept is retained. A message
    /// that cannot be queued is dropped and reported by ReportUnreachable.
    /// </summary>
    void Send(ReadOnlySpan<Message> messages);
}

/// <summary>Sends nothing: a member without peers.</summary>
internal sealed class NoPeers : IPeerSender
{
    /// <inheritdoc/>
    public void Send(ReadOnlySpan<Message> messages)
    {
    }
}
