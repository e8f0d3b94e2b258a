using System.Numerics;

namespace Perf.Raft;

/// <summary>
/// The log as the core sees it: terms for all of it, entries for its newer part (the window), the rest in the WAL.
/// <code>
///   StartIndex       WindowFirst                          LastIndex
///       |  in the WAL only  |   in memory (a ring)            |
///       +-------------------+---------------------------------+
///   its term is known, the entry is not; 0/0 at the very beginning
/// </code>
/// Invariants: StartIndex &lt; WindowFirst &lt;= min(Durable, Applied) + 1 unless the log was compacted further;
/// Applied &lt;= Handed &lt;= Committed &lt;= LastIndex (Applied lags behind StartIndex only while a snapshot is installed).
/// The window holds one reference on the lease of each of its entries.
/// </summary>
internal sealed class RaftLog
{
    private readonly long _windowBytesMax;

    // Indexes above Applied of entries of type 1, ascending; a handful at most in a healthy cluster.
    private readonly List<ulong> _confChanges = [];

    private TermRuns _terms;
    private Entry[] _ring = new Entry[64];

    public RaftLog(ulong startIndex, ulong startTerm, ulong applied, long windowBytesMax)
    {
        _terms = new TermRuns(startIndex, startTerm);
        _windowBytesMax = windowBytesMax;
        WindowFirst = startIndex + 1;
        Durable = startIndex;
        Applied = applied;
        Handed = applied;
        Committed = startIndex;
    }

    /// <summary>The entry before the first one that is still there.</summary>
    public ulong StartIndex => _terms.StartIndex;

    public ulong FirstIndex => _terms.StartIndex + 1;

    public ulong LastIndex => _terms.LastIndex;

    public ulong LastTerm => _terms.LastTerm;

    /// <summary>The lowest index that is in memory; LastIndex + 1 when none is.</summary>
    public ulong WindowFirst { get; private set; }

    /// <summary>On this member's disk up to here, and not being overwritten.</summary>
    public ulong Durable { get; private set; }

    public ulong Committed { get; private set; }

    /// <summary>Given to the owner for application.</summary>
    public ulong Handed { get; private set; }

    public ulong Applied { get; private set; }

    public long WindowBytes { get; private set; }

    /// <summary>Bytes above <see cref="Committed"/>; recounted with every move, so that it cannot leak.</summary>
    public long UncommittedBytes { get; private set; }

    /// <summary>A change of configuration is in the log and not applied.</summary>
    public bool HasConfChange => _confChanges.Count > 0;

    /// <summary>A change of configuration is committed and not applied.</summary>
    public bool HasCommittedConfChange => _confChanges.Count > 0 && _confChanges[0] <= Committed;

    /// <summary>False outside StartIndex .. LastIndex: a missing term is never a 0 that could match something.</summary>
    public bool TryGetTerm(ulong index, out ulong term) => _terms.TryGet(index, out term);

#if MUTANTS
    public bool Matches(ulong index, ulong term) => (_terms.TryGet(index, out ulong own) && own == term)
        || (Mutant.Is("17-term-of-nothing-matches") && term == 0);
#else
    public bool Matches(ulong index, ulong term) => _terms.TryGet(index, out ulong own) && own == term;
#endif

    /// <summary>Raft 5.4.1: the candidate's log is at least as new as ours.</summary>
    public bool IsUpToDate(ulong lastIndex, ulong lastTerm) =>
        lastTerm > LastTerm || (lastTerm == LastTerm && lastIndex >= LastIndex);

    /// <summary>
    /// The largest index at or below <paramref name="index"/> whose term is not above <paramref name="term"/>: logs
    /// cannot agree between there and <paramref name="index"/>. Below the start of the log nothing is known: the
    /// answer is then the index before it.
    /// </summary>
    public ulong FindConflict(ulong index, ulong term)
    {
        index = Math.Min(index, LastIndex);
        while (_terms.TryGet(index, out ulong own) && own > term)
        {
            index = _terms.FirstOfRun(index);
            if (index == 0)
            {
                return 0;
            }

            index--;
        }

        return index;
    }

    /// <summary>An entry of the window.</summary>
    public ref readonly Entry this[ulong index]
    {
        get
        {
            Check.That(index >= WindowFirst);
            Check.That(index <= LastIndex);
            return ref _ring[Slot(index)];
        }
    }

    public void Append(in Entry entry)
    {
        Check.That(entry.Index == LastIndex + 1);
        int count = (int)(LastIndex + 1 - WindowFirst);
        if (count == _ring.Length)
        {
            Grow(count);
        }

        _terms.Append(entry.Term);
        _ring[Slot(entry.Index)] = entry;
        entry.Lease?.Retain();
        WindowBytes += entry.Encoded.Length;
        UncommittedBytes += entry.Encoded.Length;
        if (entry.Type == EntryType.ConfChange && entry.Index > Applied)
        {
            _confChanges.Add(entry.Index);
        }
    }

    /// <summary>Forgets the entries at and after <paramref name="index"/>; none of them may be committed.</summary>
    public void TruncateFrom(ulong index)
    {
        Check.That(index > Committed);
        for (ulong i = Math.Max(index, WindowFirst); i <= LastIndex; i++)
        {
#if MUTANTS
            if (!Mutant.Is("25-counter-leaks"))
#endif
            UncommittedBytes -= _ring[Slot(i)].Encoded.Length;
            Drop(i);
        }

        _terms.TruncateFrom(index);
        WindowFirst = Math.Min(WindowFirst, LastIndex + 1);
        Durable = Math.Min(Durable, LastIndex);
        while (_confChanges.Count > 0 && _confChanges[^1] > LastIndex)
        {
            _confChanges.RemoveAt(_confChanges.Count - 1);
        }
    }

    /// <summary>Starts over behind a snapshot. What it contains counts as durable once <see cref="MarkDurable"/> says so.</summary>
    public void Reset(ulong index, ulong term)
    {
        Check.That(index > Committed);
        for (ulong i = WindowFirst; i <= LastIndex; i++)
        {
            Drop(i);
        }

        _terms = new TermRuns(index, term);
        _confChanges.Clear();
        UncommittedBytes = 0;
        WindowFirst = index + 1;
        Durable = 0;
        Committed = index;
        Handed = index;
    }

    public void CommitTo(ulong index)
    {
        Check.That(index <= LastIndex);
        for (ulong i = Math.Max(Committed + 1, WindowFirst); i <= index; i++)
        {
            UncommittedBytes -= _ring[Slot(i)].Encoded.Length;
        }

        Committed = Math.Max(Committed, index);
    }

    public void MarkDurable(ulong index)
    {
        Check.That(index <= LastIndex);
        Durable = index;
    }

    public void MarkHanded(ulong index)
    {
        Check.That(index >= Handed);
        Check.That(index <= Committed);
        Handed = index;
    }

    public void MarkApplied(ulong index)
    {
        Check.That(index <= Handed);
        Applied = index;
        int applied = 0;
        while (applied < _confChanges.Count && _confChanges[applied] <= index)
        {
            applied++;
        }

        _confChanges.RemoveRange(0, applied);
    }

    /// <summary>Lets go of the oldest entries beyond the window's size: durable and applied ones alone.</summary>
    public void Trim()
    {
        while (WindowBytes > _windowBytesMax && WindowFirst <= Durable && WindowFirst <= Applied)
        {
            Drop(WindowFirst);
            WindowFirst++;
        }
    }

    /// <summary>Forgets the entries up to <paramref name="index"/>, which are applied.</summary>
    public void CompactTo(ulong index)
    {
        Check.That(index <= Applied);
        _terms.CompactTo(index);
        while (WindowFirst <= index)
        {
            Drop(WindowFirst);
            WindowFirst++;
        }
    }

    private int Slot(ulong index) => (int)(index & (ulong)(_ring.Length - 1));

    private void Drop(ulong index)
    {
        ref Entry entry = ref _ring[Slot(index)];
        WindowBytes -= entry.Encoded.Length;
        entry.Lease?.Release();
        entry = default;
    }

    private void Grow(int count)
    {
        Check.That(BitOperations.IsPow2(_ring.Length));
        Entry[] old = _ring;
        _ring = new Entry[old.Length * 2];
        for (int i = 0; i < count; i++)
        {
            ulong index = WindowFirst + (ulong)i;
            _ring[Slot(index)] = old[(int)(index & (ulong)(old.Length - 1))];
        }
    }
}
