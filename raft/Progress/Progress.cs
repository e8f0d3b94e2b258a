namespace Perf.Raft;

/// <summary>
/// What this member knows of another (or of itself): how far its log matches, what is on the way to it, how it voted.
/// <code>
///            accepting AppResp                reject, unreachable
///   Probe ------------------------> Replicate --------------------> Probe
///     \                                                              ^
///      \ its next entry is compacted                 sent or failed /
///       `--------------------> Snapshot ---------------------------'
/// </code>
/// Invariant: Match &lt; Next; in Probe and Snapshot nothing is in flight.
/// </summary>
internal sealed class Progress(ulong id, bool isLearner, int inflightMax, long inflightBytesMax)
{
    private readonly Inflights _inflights = new(inflightMax, inflightBytesMax);

    public ulong Id { get; } = id;

    public bool IsLearner { get; set; } = isLearner;

    /// <summary>Highest index known to be durable there and equal to ours.</summary>
    public ulong Match { get; private set; }

    /// <summary>The next entry to send.</summary>
    public ulong Next { get; private set; } = 1;

    public ProgressState State { get; private set; }

    /// <summary>Probe: one message is out; wait for its answer or for a heartbeat's.</summary>
    public bool ProbeSent { get; set; }

    /// <summary>Probe: the message that is out carries nothing.</summary>
    public bool IsProbeEmpty { get; private set; }

    /// <summary>Send an append even when it carries nothing: something may have got lost.</summary>
    public bool AppendDue { get; set; }

    /// <summary>Entries for it are being fetched from the WAL.</summary>
    public bool ReadPending { get; set; }

    /// <summary>The snapshot that is on its way.</summary>
    public ulong PendingSnapshot { get; private set; }

    /// <summary>The highest commit index that a message to it carried.</summary>
    public ulong SentCommit { get; set; }

    /// <summary>Heard of since the last check of the quorum.</summary>
    public bool RecentActive { get; set; }

    /// <summary>The newest read context it has echoed in this term of ours.</summary>
    public ulong ReadEcho { get; set; }

    /// <summary>Its vote in the running election.</summary>
    public VoteResult Vote { get; set; }

    public bool InflightFull => _inflights.IsFull;

    public int InflightCount => _inflights.Count;

    public bool IsPaused => State switch
    {
        ProgressState.Probe => ProbeSent,
        ProgressState.Replicate => _inflights.IsFull && !AppendDue,
        _ => true,
    };

    /// <summary>A new leader begins: nothing is known of anybody.</summary>
    public void Reset(ulong next)
    {
        Match = 0;
        Next = next;
        SentCommit = 0;
        RecentActive = false;
        ReadEcho = 0;
        Enter(ProgressState.Probe);
    }

    /// <summary>The leader about itself: what is durable here.</summary>
    public void SetOwn(ulong durable)
    {
        Match = Math.Max(Match, durable);
        Next = Math.Max(Next, Match + 1);
        RecentActive = true;
        State = ProgressState.Replicate;
    }

    public void BecomeProbe()
    {
        Next = State == ProgressState.Snapshot ? Math.Max(Match, PendingSnapshot) + 1 : Match + 1;
        SentCommit = Math.Min(SentCommit, Next - 1);
        Enter(ProgressState.Probe);
    }

    public void BecomeReplicate()
    {
        Next = Match + 1;
        Enter(ProgressState.Replicate);
    }

    public void BecomeSnapshot(ulong index)
    {
        Enter(ProgressState.Snapshot);
        PendingSnapshot = index;
    }

    /// <summary>The snapshot did not get there.</summary>
    public void ForgetSnapshot() => PendingSnapshot = 0;

    /// <summary>It has everything up to <paramref name="index"/>. True when that is news.</summary>
    public bool Advance(ulong index)
    {
        bool isNews = index > Match;
        if (isNews)
        {
            Match = index;
            ProbeSent = false;
        }

        Next = Math.Max(Next, index + 1);
        _inflights.FreeTo(index);
        return isNews;
    }

    /// <summary>
    /// It rejected an append at <paramref name="rejected"/> and proposes to look at <paramref name="hint"/>. False
    /// when the rejection is out of date.
    /// </summary>
    public bool TryStepBack(ulong rejected, ulong hint)
    {
        if (State == ProgressState.Replicate)
        {
            if (rejected <= Match)
            {
                return false;
            }

            BecomeProbe();
            return true;
        }

        if (State == ProgressState.Snapshot || Next - 1 != rejected)
        {
            return false;
        }

        Next = Math.Max(Math.Min(rejected, hint + 1), Match + 1);
        SentCommit = Math.Min(SentCommit, Next - 1);
        ProbeSent = false;
        return true;
    }

    /// <summary>An append left: entries up to <paramref name="lastIndex"/> (Next - 1: none).</summary>
    public void Sent(ulong lastIndex, long bytes)
    {
        AppendDue = false;
        if (State == ProgressState.Probe)
        {
            ProbeSent = true;
            IsProbeEmpty = lastIndex < Next;
            return;
        }

        Check.That(State == ProgressState.Replicate);
        if (lastIndex >= Next)
        {
            Next = lastIndex + 1;
            _inflights.Add(lastIndex, bytes);
        }
    }

    private void Enter(ProgressState state)
    {
        State = state;
        ProbeSent = false;
        IsProbeEmpty = false;
        AppendDue = false;
        ReadPending = false;
        PendingSnapshot = 0;
        _inflights.Clear();
    }
}
