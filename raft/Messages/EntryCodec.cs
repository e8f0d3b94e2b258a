namespace Perf.Raft;

/// <summary>raftpb.Entry.</summary>
public static class EntryCodec
{
    /// <summary>Room that a proposal leaves before its payload; what precedes the data of an entry always fits.</summary>
    public const int HeadroomBytes = 40;
}
