namespace Perf.Engine.Space;

/// <summary>
/// One bit per page: its extent was checked since it was written or the file was opened. Any thread sets; the committer clears pages
/// it reuses, which no reader can reach then. A lost bit costs a second check.
/// </summary>
internal sealed class VerifiedPages
{
    private long[] _words = new long[64];

    public bool Contains(long page)
    {
        long[] words = Volatile.Read(ref _words);
        long word = page >> 6;
        return word < words.Length && (Volatile.Read(ref words[word]) & (1L << (int)page)) != 0;
    }

    public void Add(long page)
    {
        long[] words = Volatile.Read(ref _words);
        long word = page >> 6;
        if (word < words.Length)
        {
            Interlocked.Or(ref words[word], 1L << (int)page);
        }
    }

    /// <summary>Committer only.</summary>
    public void Remove(long page, long count)
    {
        for (long i = page; i < page + count && i >> 6 < _words.Length; i++)
        {
            Interlocked.And(ref _words[i >> 6], ~(1L << (int)i));
        }
    }

    /// <summary>Committer only: makes room for pages below <paramref name="highWater"/>.</summary>
    public void Reserve(long highWater)
    {
        long needed = (highWater + 63) >> 6;
        if (needed > _words.Length)
        {
            long[] larger = new long[Math.Max(needed, _words.Length * 2L)];
            _words.CopyTo(larger, 0);
            Volatile.Write(ref _words, larger);
        }
    }
}
