using Perf.Engine;
using Perf.Engine.Transactions;
using Perf.Store.Backend;

namespace Perf.Store.Mvcc;

/// <summary>Runs work(0) ... work(count - 1), in parallel or not, and returns when all are done.</summary>
public delegate void WorkRunner(int count, Action<int> work);

/// <summary>
/// The key space: every key with its history, as etcd has it. The apply thread changes it and then publishes; any
/// thread reads what is published, without locks. See DESIGN.md.
/// </summary>
public sealed partial class MvccStore
{
    private readonly BackendStore _backend;
    private readonly PublishedState _published = new();
    private KeyIndex _index;
    private int _resetStamp;
    private long _revision = 1;
    private long _compacted = -1;
    private long _compactedTold = -1;

    public MvccStore(BackendStore backend, ILeaseAttachments? leases = null, IRevisionSink? sink = null)
    {
        _backend = backend;
        Leases = leases;
        Sink = sink;
        _index = new KeyIndex(backend.Epochs);
    }

    /// <summary>Set before <see cref="Load"/>. Without one no lease exists.</summary>
    public ILeaseAttachments? Leases { get; set; }

    /// <summary>Set before the first transaction.</summary>
    public IRevisionSink? Sink { get; set; }

    /// <summary>Revision of the last transaction applied. Apply thread.</summary>
    public long Revision => _revision;

    /// <summary>Compact revision as applied, -1 when never compacted. Apply thread.</summary>
    public long CompactRevision => _compacted;

    /// <summary>Newest revision that readers see. Any thread.</summary>
    public long PublishedRevision => _published.Revision;

    /// <summary>Compact revision that readers see, -1 when never compacted. Any thread.</summary>
    public long PublishedCompactRevision => _published.Compacted;

    /// <summary>Keys in the index, those included that only have history. Apply thread.</summary>
    public long KeyCount => _index.Tree.Count;

    /// <summary>
    /// Makes everything applied so far visible, tells the watches, and reuses what readers have left. Once per batch
    /// of entries; answers leave after it (I7).
    /// </summary>
    public void Publish()
    {
        Check.That(!_inTxn);
        KeyIndex index = _index;
        if (_dirty.Count == 0)
        {
            _published.Write(_revision, _compacted);
        }
        else
        {
            // The counts of live keys and the revision they belong to change together.
            index.Tree.BeginChange();
            for (int i = 0; i < _dirty.Count; i++)
            {
                uint id = _dirty[i];
                index.Tree.SetAlive(index.Keys.Key(id), !index.Keys.Peek(id).IsTombstone);
                index.Keys.Mark(id, KeyTable.KeyMarks.Dirty, false);
            }
            _published.Write(_revision, _compacted);
            index.Tree.EndChange();
            _dirty.Clear();
        }
        index.Keys.Reclaim();

        if (_compacted != _compactedTold)
        {
            _compactedTold = _compacted;
            Sink?.OnCompacted(_compacted);
        }
        Sink?.OnPublished(_revision);
    }

    /// <summary>
    /// Goes over to another data file: a snapshot was installed. The index of the new file is built first; then
    /// file, index and revisions change as one for readers. Apply thread.
    /// </summary>
    public void Reset(DataFile file, WorkRunner? runner = null, int parts = 1)
    {
        Check.That(!_inTxn);
        var index = new KeyIndex(_backend.Epochs);
        LoadedState state = LoadFrom(file, index, runner, parts);

        Interlocked.Increment(ref _resetStamp);
        _backend.Reset(file);
        Volatile.Write(ref _index, index);
        Adopt(state);
        _dirty.Clear();
        Interlocked.Increment(ref _resetStamp);

        AttachLeases();
        _compactedTold = _compacted;
        Sink?.OnReset(_revision);
    }

    /// <summary>Checks the index against itself. Apply thread; tests.</summary>
    internal void VerifyIndex() => _index.Tree.Verify();

    /// <summary>A reader with index and revisions of one moment. Any thread; dispose it.</summary>
    private RecordReader OpenReader(out KeyIndex index, out long revision, out long compacted)
    {
        var spin = default(SpinWait);
        while (true)
        {
            int stamp = Volatile.Read(ref _resetStamp);
            if ((stamp & 1) == 0)
            {
                RecordReader reader = RecordReader.Open(_backend, _published, out revision, out compacted);
                index = Volatile.Read(ref _index);
                Volatile.ReadBarrier();
                if (Volatile.Read(ref _resetStamp) == stamp)
                {
                    return reader;
                }
                reader.Dispose();
            }
            spin.SpinOnce(-1);
        }
    }

    private void Adopt(in LoadedState state)
    {
        _revision = state.Revision;
        _compacted = state.Compacted;
        _finishedCompact = state.Finished;
        _compactPending = state.Compacted != state.Finished;
        _compactOffset = 0;
        _cutOff = 0;
        _hiding = 0;
        _passed.Clear();
        _deletions.Clear();
        _published.Write(_revision, _compacted);
    }
}
