namespace Perf.Raft;

/// <summary>
/// The log as the core sees it: terms for all of it, entries for its newer part (the window), the rest in the WAL.
/// <code>
///   StartIndex          WindowFirst                              LastIndex
///       |  in the WAL only  |   in memory (ring)                     |
///       +-------------------+----------------------------------------+
///   known term, no entry         Applied &lt;= Committed,  Durable &lt;= LastIndex
/// </code>
/// Invariants: StartIndex &lt; WindowFirst &lt;= min(Durable, Applied) + 1 after a trim; Applied &lt;= Committed &lt;= LastIndex.
/// The window holds one reference on the lease of each of its entries.
/// </summary>
internal sealed class RaftLog
{
    private readonly TermRuns _terms;

    public RaftLog(ulong startIndex, ulong startTerm, ulong applied, long windowBytesMax)
    {
        _terms = new TermRuns(startIndex, startTerm);
        Applied = Math.Min(applied, (ulong)windowBytesMax);
    }

    public ulong LastIndex => _terms.LastIndex;

    public ulong Durable { get; private set; }

    public ulong Applied { get; }

    public void Append(in Entry entry) => _terms.Append(entry.Term);

    public void MarkDurable(ulong index) => Durable = index;

    public void Trim()
    {
    }

    public void TruncateFrom(ulong index) => _terms.TruncateFrom(index);
}
