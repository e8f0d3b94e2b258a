namespace Perf.Raft;

/// <summary>
/// The term of every index from the start of the log to its end, as runs: terms only rise, so a log of millions of
/// entries has as many runs as it saw leaders. Answers stay in memory when the entries have left it.
/// </summary>
internal sealed class TermRuns
{
    private Run[] _runs = new Run[8];
    private int _start;
    private int _end;

    /// <param name="startIndex">The entry before the first of the log.</param>
    /// <param name="startTerm">Its term.</param>
    public TermRuns(ulong startIndex, ulong startTerm)
    {
        StartIndex = startIndex;
        LastIndex = startIndex;
        _runs[0] = new Run(startIndex, startTerm);
        _end = 1;
    }

    /// <summary>The lowest index whose term is known: the one before the log's first entry.</summary>
    public ulong StartIndex { get; private set; }

    public ulong LastIndex { get; private set; }

    public ulong LastTerm => _runs[_end - 1].Term;

    /// <summary>False outside StartIndex .. LastIndex.</summary>
    public bool TryGet(ulong index, out ulong term)
    {
        if (index < StartIndex || index > LastIndex)
        {
            term = 0;
            return false;
        }

        int i = _end - 1;
        while (_runs[i].First > index)
        {
            i--;
        }

        term = _runs[i].Term;
        return true;
    }

    /// <summary>The lowest index known to have the same term as this one.</summary>
    public ulong FirstOfRun(ulong index)
    {
        int i = _end - 1;
        while (_runs[i].First > index)
        {
            i--;
        }

        return Math.Max(_runs[i].First, StartIndex);
    }

    public void Append(ulong term)
    {
        Check.That(term >= LastTerm);
        LastIndex++;
        if (term == LastTerm)
        {
            return;
        }

        if (_end == _runs.Length)
        {
            MakeRoom();
        }

        _runs[_end++] = new Run(LastIndex, term);
    }

    /// <summary>Forgets the indexes at and after this one.</summary>
    public void TruncateFrom(ulong index)
    {
        Check.That(index > StartIndex);
        LastIndex = Math.Min(LastIndex, index - 1);
        while (_runs[_end - 1].First > LastIndex)
        {
            _end--;
        }
    }

    /// <summary>Forgets the indexes before this one, which becomes the start.</summary>
    public void CompactTo(ulong index)
    {
        Check.That(index >= StartIndex);
        Check.That(index <= LastIndex);
        StartIndex = index;
        while (_start + 1 < _end && _runs[_start + 1].First <= index)
        {
            _start++;
        }
    }

    private void MakeRoom()
    {
        int count = _end - _start;
        Run[] target = count * 2 > _runs.Length ? new Run[_runs.Length * 2] : _runs;
        Array.Copy(_runs, _start, target, 0, count);
        _runs = target;
        _start = 0;
        _end = count;
    }

    private readonly record struct Run(ulong First, ulong Term);
}
