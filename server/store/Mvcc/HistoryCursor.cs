using System.Runtime.InteropServices;
using Perf.Engine;
using Perf.Engine.Transactions;
using Perf.Store.Backend;
using Perf.Store.Commands;

namespace Perf.Store.Mvcc;

/// <summary>
/// Changes in revision order over file and memtables, as of the moment it was opened; for watchers that catch up
/// and for hashes. Spans are good until Dispose. Lives on one thread and holds back the reuse of memory meanwhile:
/// read a batch, dispose, open again further on.
/// </summary>
public ref struct HistoryCursor : IDisposable
{
    private readonly long _to;
    private RecordReader _reader;
    private BucketCursor _file;
    private Stage _stage;
    private bool _fileStarted;
    private int _position;
    private long _main;
    private int _sub;
    private bool _isDelete;
    private ReadOnlySpan<byte> _keyValue;

    internal HistoryCursor(RecordReader reader, long from, long to)
    {
        _reader = reader;
        _to = to;
        _main = from;
        _sub = -1;
        _file = reader.File.OpenCursor(reader.Set.KeyBucket);
    }

    private enum Stage
    {
        File,
        Frozen,
        Active,
        Done,
    }

    public readonly long Main => _main;

    public readonly int Sub => _sub;

    public readonly bool IsDelete => _isDelete;

    /// <summary>Stored bytes of mvccpb.KeyValue; for a delete the key field alone.</summary>
    public readonly ReadOnlySpan<byte> KeyValue => _keyValue;

    /// <summary>The key of the change.</summary>
    public readonly ReadOnlySpan<byte> Key
    {
        get
        {
            KeyValueView.TryParse(_keyValue, out KeyValueView view);
            return view.Key;
        }
    }

    /// <summary>Goes to the next change; false behind the last one of the span of revisions.</summary>
    public bool MoveNext()
    {
        while (true)
        {
            switch (_stage)
            {
                case Stage.File:
                    if (MoveInFile())
                    {
                        return true;
                    }
                    Enter(Stage.Frozen, _reader.Set.Frozen);
                    break;

                case Stage.Frozen:
                    if (_reader.Set.Frozen is not null && MoveInTable(_reader.Set.Frozen.Records))
                    {
                        return true;
                    }
                    Enter(Stage.Active, _reader.Set.Active);
                    break;

                case Stage.Active:
                    if (MoveInTable(_reader.Set.Active.Records))
                    {
                        return true;
                    }
                    _stage = Stage.Done;
                    break;

                default:
                    return false;
            }
        }
    }

    /// <inheritdoc/>
    public void Dispose() => _reader.Dispose();

    /// <summary>
    /// A memtable may already be in the file's view when its commit was published between loading the set and
    /// beginning the read: start behind what was seen.
    /// </summary>
    private void Enter(Stage stage, Memtable? table)
    {
        _stage = stage;
        _position = table?.Records.LowerBound(_main, _sub + 1) ?? 0;
    }

    private bool MoveInFile()
    {
        bool more;
        if (_fileStarted)
        {
            more = _file.Next();
        }
        else
        {
            Span<byte> start = stackalloc byte[RevisionKey.Bytes];
            RevisionKey.Write(start, _main, 0, false);
            more = _file.Seek(MemoryMarshal.CreateReadOnlySpan(
                ref MemoryMarshal.GetReference(start), start.Length));
            _fileStarted = true;
        }
        if (!more)
        {
            return false;
        }
        bool sound = RevisionKey.TryRead(_file.Key, out Revision revision, out bool isDelete);
        Check.That(sound);
        if (revision.Main > _to)
        {
            return false;
        }
        _main = revision.Main;
        _sub = (int)revision.Sub;
        _isDelete = isDelete;
        _keyValue = _file.Value;
        return true;
    }

    private bool MoveInTable(RecordTable records)
    {
        if (_position >= records.Count)
        {
            return false;
        }
        ReadOnlySpan<byte> value = records.At(_position, out long main, out int sub, out bool isDelete);
        if (main > _to)
        {
            return false;
        }
        _position++;
        _main = main;
        _sub = sub;
        _isDelete = isDelete;
        _keyValue = value;
        return true;
    }
}
