namespace Perf.Raft;

/// <summary>
/// Linearizable reads without the log. Thesis 6.4; ARCHITECTURE.md, D.5.
/// <para>
/// Requests gather until the next Ready, then become a round: the commit index of that moment, and a context that
/// counts up. A member confirms a round by echoing its context or a later one, or by accepting an entry that was
/// appended after the round began: either proves that it followed this leader then. A majority confirms the round, and
/// all rounds before it.
/// </para>
/// </summary>
public sealed partial class RaftCore
{
    /// <summary>Rounds under way at a time.</summary>
    public const int ReadRoundsMax = 4;

    // Requests that wait for a round, and requests of ours that wait for the leader.
    private const int ReadRequestsMax = 4096;

    private readonly Queue<ReadRound> _rounds = new(ReadRoundsMax);
    private readonly Stack<List<ReadRequest>> _requestLists = new();
    private readonly List<ForwardedRead> _forwardedReads = [];
    private List<ReadRequest> _openReads = [];

    // Contexts of a leader's rounds: rising within its term, and only echoes of that term are looked at.
    private ulong _readCounter;

    // Contexts of requests to a leader: an answer to the member that ran here before must not fit.
    private ulong _readContext;

    /// <summary>
    /// Asks for an index that a linearizable read has to wait for. The answer is a <see cref="ReadState"/> with
    /// <paramref name="id"/>, which the caller chooses. The caller gathers reads: one request serves a whole batch.
    /// </summary>
    public ReadIndexOutcome ReadIndex(ulong id)
    {
        if (_role == RaftRole.Leader)
        {
            return Enqueue(new ReadRequest(id, 0, default)) ? ReadIndexOutcome.Queued : ReadIndexOutcome.Busy;
        }

        if (_leader == 0)
        {
            return ReadIndexOutcome.NoLeader;
        }

        if (_forwardedReads.Count >= ReadRequestsMax)
        {
            return ReadIndexOutcome.Busy;
        }

        ulong context = ++_readContext;
        _forwardedReads.Add(new ForwardedRead(context, id, 0));
        var message = new Message
        {
            Type = MessageType.ReadIndex,
            To = _leader,
            Context = MessageContext.FromUInt64(context),
        };
        SendAtOnce(ref message);
        return ReadIndexOutcome.Queued;
    }

    private StepOutcome StepReadIndex(in Message message)
    {
        if (_role != RaftRole.Leader)
        {
            return StepOutcome.NotMyRole;
        }

        if (message.Context.Length == 0)
        {
            return StepOutcome.Malformed;
        }

        return Enqueue(new ReadRequest(0, message.From, message.Context)) ? StepOutcome.Done : StepOutcome.Busy;
    }

    private bool Enqueue(in ReadRequest request)
    {
        if (_openReads.Count >= ReadRequestsMax)
        {
            return false;
        }

        _openReads.Add(request);
        _feedDue = true;
        return true;
    }

    // Called once per Ready. A leader knows what is committed only once it has committed an entry of its own term;
    // until then the requests wait (etcd 14258).
    private void StartReadRounds()
    {
        if (_openReads.Count == 0 || !_log.Matches(_log.Committed, _term))
        {
            return;
        }

        if (_members.VoterCount == 1 && _members.ConfState.IsVoter(Id))
        {
            Answer(_openReads, _log.Committed);
            return;
        }

        if (_rounds.Count >= ReadRoundsMax)
        {
            return;
        }

        MessageContext context = NextReadContext();
        _rounds.Enqueue(new ReadRound(_readCounter, _log.Committed, _log.LastIndex + 1, _openReads));
        _openReads = _requestLists.TryPop(out List<ReadRequest>? list) ? list : [];
        BroadcastHeartbeat(context);
    }

    private MessageContext NextReadContext() => MessageContext.FromUInt64(++_readCounter);

    private void EchoReadContext(Progress member, in MessageContext context)
    {
#if MUTANTS
        if (Mutant.Is("06-any-heartbeat-confirms-reads"))
        {
            member.ReadEcho = _readCounter;
            CompleteReadRounds();
        }
#endif
        // Beyond what was sent is nobody's echo.
        if (context.TryGetUInt64(out ulong echo) && echo > member.ReadEcho && echo <= _readCounter)
        {
            member.ReadEcho = echo;
            CompleteReadRounds();
        }
    }

    private void CompleteReadRounds()
    {
        while (_rounds.TryPeek(out ReadRound round) && IsConfirmed(round))
        {
            _rounds.Dequeue();
            Answer(round.Requests, round.Index);
            _requestLists.Push(round.Requests);

            // There is room for the next one.
            _feedDue = true;
        }
    }

    private bool IsConfirmed(in ReadRound round)
    {
        int confirmed = 0;
        foreach (Progress member in _members.All)
        {
            bool isOwn = member.Id == Id;
            bool isEcho = member.ReadEcho >= round.Context;
            bool isAppend = member.Match >= round.FirstIndexAfter;
            confirmed += !member.IsLearner && (isOwn || isEcho || isAppend) ? 1 : 0;
        }

        return confirmed >= Majority.Of(_members.VoterCount);
    }

    private void Answer(List<ReadRequest> requests, ulong index)
    {
        foreach (ReadRequest request in requests)
        {
            if (request.From == 0)
            {
                _readStates.Add(new ReadState(request.Id, index, Confirmed: true));
                continue;
            }

            var message = new Message
            {
                Type = MessageType.ReadIndexResp,
                To = request.From,
                Index = index,
                Context = request.Context,
            };
            SendAtOnce(ref message);
        }

        requests.Clear();
    }

    private StepOutcome StepReadIndexResponse(in Message message)
    {
        if (_role != RaftRole.Follower || message.From != _leader
            || !message.Context.TryGetUInt64(out ulong context))
        {
            return StepOutcome.Stale;
        }

        for (int i = 0; i < _forwardedReads.Count; i++)
        {
            if (_forwardedReads[i].Context == context)
            {
                _readStates.Add(new ReadState(_forwardedReads[i].Id, message.Index, Confirmed: true));
                _forwardedReads.RemoveAt(i);
                return StepOutcome.Done;
            }
        }

        return StepOutcome.Stale;
    }

    private void ResetReads()
    {
        Check.That(_rounds.Count == 0);
        Check.That(_openReads.Count == 0);
        _readCounter = 0;
    }

    // No longer leader: members get a word, peers ask again.
    private void DropReads()
    {
        while (_rounds.TryDequeue(out ReadRound round))
        {
            Drop(round.Requests);
            _requestLists.Push(round.Requests);
        }

        Drop(_openReads);
    }

    private void Drop(List<ReadRequest> requests)
    {
        foreach (ReadRequest request in requests)
        {
            if (request.From == 0)
            {
                _readStates.Add(new ReadState(request.Id, 0, Confirmed: false));
            }
        }

        requests.Clear();
    }

    private void DropForwardedReads()
    {
        foreach (ForwardedRead read in _forwardedReads)
        {
            _readStates.Add(new ReadState(read.Id, 0, Confirmed: false));
        }

        _forwardedReads.Clear();
    }

    // Request or answer got lost: an election timeout is enough to know.
    private void ExpireForwardedReads()
    {
        int kept = 0;
        for (int i = 0; i < _forwardedReads.Count; i++)
        {
            ForwardedRead read = _forwardedReads[i];
            if (read.Ticks >= _config.ElectionTicks)
            {
                _readStates.Add(new ReadState(read.Id, 0, Confirmed: false));
            }
            else
            {
                _forwardedReads[kept++] = read with { Ticks = read.Ticks + 1 };
            }
        }

        _forwardedReads.RemoveRange(kept, _forwardedReads.Count - kept);
    }

    // From 0: asked here.
    private readonly record struct ReadRequest(ulong Id, ulong From, MessageContext Context);

    private readonly record struct ReadRound(
        ulong Context, ulong Index, ulong FirstIndexAfter, List<ReadRequest> Requests);

    private readonly record struct ForwardedRead(ulong Context, ulong Id, int Ticks);
}
