namespace Perf.Raft;

/// <summary>How a read of older entries went.</summary>
public enum LogRead
{
    /// <summary>The target holds at least one entry, consecutive from the first that was asked for.</summary>
    Done,

    /// <summary>Being fetched. Call <see cref="RaftCore.LogReadReady"/> when it is there; the core asks again.</summary>
    Pending,

    /// <summary>No longer to be had: the follower will get a snapshot.</summary>
    Compacted,
}

/// <summary>Entries that have left the in-memory window: durable, in the WAL. Called on the core thread; never blocks.</summary>
public interface ILogReader
{
    /// <summary>
    /// Adds entries <paramref name="lo"/> .. <paramref name="hi"/> - 1 to <paramref name="target"/>, the first one
    /// always, further ones up to <paramref name="bytesMax"/> of their encoding. Each comes with one reference on its
    /// lease for the core, which releases it at the next <see cref="RaftCore.TakeReady"/>.
    /// </summary>
    LogRead Read(ulong lo, ulong hi, int bytesMax, EntryBuffer target);
}
