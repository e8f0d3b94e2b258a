namespace Perf.Raft;

/// <summary>Where the log begins, and followers that are below it. Raft 7.</summary>
public sealed partial class RaftCore
{
    private SnapshotMetadata _snapshot;

    // The newest snapshot that was accepted, and the newest that is on disk: a member in between is half a member.
    private ulong _snapshotInstalling;
    private ulong _snapshotOnDisk;

    // Comes into force with the snapshot's application: what the state machine still applies before it belongs to the
    // configuration before it.
    private ConfState? _snapshotConfState;

    private bool IsInstalling =>
        _snapshotOnDisk < _snapshotInstalling || _log.Applied < _snapshotInstalling;

    /// <summary>
    /// A snapshot of applied entries is safe on disk: peers that are below the log's start will be sent it, and
    /// <see cref="Compact"/> may go that far.
    /// </summary>
    public void SetSnapshot(SnapshotMetadata snapshot)
    {
        Check.That(snapshot.Index <= _log.Applied);
        if (snapshot.Index > _snapshot.Index)
        {
            _snapshot = snapshot;
        }
    }

    /// <summary>
    /// Forgets entries up to <paramref name="index"/>, at most the index of the last snapshot. The owner keeps some for
    /// followers that are slow, and waits while a snapshot is on its way.
    /// </summary>
    public void Compact(ulong index)
    {
        index = Math.Min(index, Math.Min(_snapshot.Index, _log.Applied));
        if (index > _log.StartIndex)
        {
            _log.CompactTo(index);
        }
    }

    /// <summary>How the snapshot to <paramref name="id"/> went; to be called for every MsgSnap of a Ready.</summary>
    public void ReportSnapshot(ulong id, bool succeeded)
    {
        Progress? member = _members.Find(id);
        if (_role != RaftRole.Leader || member is not { State: ProgressState.Snapshot })
        {
            return;
        }

        if (!succeeded)
        {
            member.ForgetSnapshot();
        }

        // It will say how far it is, or fall silent; either way wait for a sign of life before the next append.
        member.BecomeProbe();
        member.ProbeSent = true;
    }

    private void FinishInstalling()
    {
        if (_snapshotConfState is not null && !IsInstalling)
        {
            _members.Switch(_snapshotConfState, _log.LastIndex + 1);
            _snapshotConfState = null;
        }
    }

    private void SendSnapshot(Progress member)
    {
        // Nobody may be there to take it; a heartbeat's answer will tell.
        if (!member.RecentActive)
        {
            return;
        }

        Check.That(_snapshot.Index >= _log.StartIndex);
        Check.That(_snapshot.Index > 0);
        member.BecomeSnapshot(_snapshot.Index);
        var message = new Message
        {
            Type = MessageType.Snap,
            To = member.Id,
            Snapshot = new Snapshot(_snapshot, default),
        };
        SendAtOnce(ref message);
    }

    private StepOutcome StepSnapshot(in Message message)
    {
        Check.That(message.Snapshot is not null);
        SnapshotMetadata metadata = message.Snapshot.Metadata;
        if (metadata.Index <= _log.Committed)
        {
            AnswerAppend(message.From, _log.Committed);
            return StepOutcome.Stale;
        }

        // The owner opens one at a time.
        if (IsInstalling)
        {
            return StepOutcome.Busy;
        }

        ConfState confState = metadata.ConfState;
        if (!confState.IsValid || confState.Voters.IsEmpty || !confState.Contains(Id))
        {
            return StepOutcome.BadConfState;
        }

        if (_log.Matches(metadata.Index, metadata.Term))
        {
            // The entries are here already, only nobody had said that they are committed.
            _log.CommitTo(metadata.Index);
            AnswerAppend(message.From, _log.Committed);
            return StepOutcome.Done;
        }

        _log.Reset(metadata.Index, metadata.Term);
        _writeFrom = metadata.Index + 1;
        _snapshotToInstall = message.Snapshot;
        _snapshotInstalling = metadata.Index;
        _snapshot = metadata;
        _committedReadPending = false;
        _snapshotConfState = confState;
        AnswerAppend(message.From, metadata.Index);
        return StepOutcome.Done;
    }
}
