using Perf.Engine.Transactions;

namespace Perf.Store.Backend;

/// <summary>A frozen memtable's records and deletions as one ascending run for the commit.</summary>
internal sealed class RecordChanges : IChangeSource
{
    private readonly byte[] _key = new byte[RevisionKey.TombstoneBytes];
    private RecordTable _records = new();
    private List<RecordTable.Deletion> _deletes = [];
    private int _keyBytes;
    private int _record;
    private int _delete;
    private int _value = -1;

    /// <inheritdoc/>
    public ReadOnlySpan<byte> Key => _key.AsSpan(0, _keyBytes);

    /// <inheritdoc/>
    public ReadOnlySpan<byte> Value => _value < 0 ? default : _records.At(_value, out _, out _, out _);

    /// <inheritdoc/>
    public bool IsDelete => _value < 0;

    /// <summary>Starts over with a table.</summary>
    public void Start(RecordTable records)
    {
        _records = records;
        _deletes = records.SortedDeletes();
        _record = 0;
        _delete = 0;
        _value = -1;
    }

    /// <inheritdoc/>
    public bool MoveNext()
    {
        bool hasDelete = _delete < _deletes.Count;
        if (_record == _records.Count)
        {
            return hasDelete && TakeDelete();
        }
        _records.At(_record, out long main, out int sub, out bool isTombstone);
        if (hasDelete)
        {
            int order = _deletes[_delete].CompareTo(new RecordTable.Deletion(main, sub, isTombstone));
            if (order <= 0)
            {
                // The record was put and compacted away between two freezes: only the delete remains.
                _record += order == 0 ? 1 : 0;
                return TakeDelete();
            }
        }
        _keyBytes = RevisionKey.Write(_key, main, sub, isTombstone);
        _value = _record++;
        return true;
    }

    private bool TakeDelete()
    {
        RecordTable.Deletion delete = _deletes[_delete++];
        _keyBytes = RevisionKey.Write(_key, delete.Main, delete.Sub, delete.IsTombstone);
        _value = -1;
        return true;
    }
}
