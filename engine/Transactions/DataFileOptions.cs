namespace Perf.Engine.Transactions;

/// <summary>How a data file is opened.</summary>
public sealed record DataFileOptions
{
    /// <summary>Page size of a file that is made; an existing file keeps its own. A power of two, 1 to 64 KiB.</summary>
    public int PageBytes { get; init; } = 4096;

    /// <summary>Address space to reserve at least (never memory). Twice the file when that is more.</summary>
    public long MapBytesMin { get; init; } = 10L << 30;

    /// <summary>Leaves out every sync (--unsafe-no-fsync). A crash of the machine may cost the file.</summary>
    public bool NoSync { get; init; }

    /// <summary>bbolt's order: the meta page is synced inside each commit instead of with the next one.</summary>
    public bool TwoSyncCommit { get; init; }

    /// <summary>Checks trailers and child checksums the first time a page is read. Structure is always checked.</summary>
    public bool VerifyOnFirstTouch { get; init; } = true;

    /// <summary>No lock, no commit, no sync, and the file must exist: for tools that look at a file.</summary>
    public bool ReadOnly { get; init; }
}
