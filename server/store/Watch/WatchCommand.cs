namespace Perf.Store.Watch;

internal enum WatchCommandKind
{
    Open,
    Create,
    Cancel,
    Progress,
    ReportProgress,
    Close,
}

/// <summary>A request on its way to the pump.</summary>
internal readonly struct WatchCommand
{
    public WatchCommandKind Kind { get; init; }

    public WatchStream Stream { get; init; }

    public long WatchId { get; init; }

    public long StartRevision { get; init; }

    public bool ProgressNotify { get; init; }

    public WatchTarget Target { get; init; }

    /// <summary>Why the watch is refused; null when it is not.</summary>
    public string? Refusal { get; init; }
}
