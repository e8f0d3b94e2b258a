namespace Perf.Engine.IO;

/// <summary>What a simulated failure looks like to the caller.</summary>
public enum SimFailure
{
    /// <summary>EIO: a <see cref="DiskException"/>. A failed sync also loses the unsynced writes it covered.</summary>
    InputOutput,

    /// <summary>ENOSPC: a <see cref="DiskFullException"/> (for calls that need space; others get EIO).</summary>
    NoSpace,

    /// <summary>The machine stops at this call: every later call throws <see cref="SimCrashException"/>.</summary>
    PowerOff,
}

/// <summary>The simulated machine has stopped; nothing but a crash copy of its disk is left.</summary>
public sealed class SimCrashException() : Exception("the simulated machine is off");

/// <summary>
/// A disk in memory that remembers what was synced apart from what was merely written. Deterministic by seed.
/// For tests and simulation; thread-safe by one lock.
/// </summary>
public sealed class SimDisk : IDisk
{
    /// <summary>Disk calls made so far (opens, reads, writes, syncs, renames, ...; reads of maps are not calls).</summary>
    public long Calls => throw new NotImplementedException();

    /// <summary>The call with this number (counted from 1, as <see cref="Calls"/> will show it) fails, once.</summary>
    public void FailAt(long call, SimFailure failure) => throw new NotImplementedException();

    /// <summary>
    /// The disk as a power failure leaves it: synced bytes, plus for each unsynced write an arbitrary subset of its
    /// 512-byte sectors, in any order; file lengths and directory entries likewise. This disk itself stays as it is.
    /// </summary>
    public SimDisk CrashCopy(ulong seed) => throw new NotImplementedException();

    /// <summary>The disk as kill -9 leaves it: everything written is there, locks are gone, nothing is known synced.</summary>
    public SimDisk KillCopy() => throw new NotImplementedException();

    /// <summary>Flips one bit of a file, in what is written and in what is synced.</summary>
    public void FlipBit(string path, long offset, int bit) => throw new NotImplementedException();

    public IDiskFile Open(string path, DiskOpen mode) => throw new NotImplementedException();

    public bool FileExists(string path) => throw new NotImplementedException();

    public bool DirectoryExists(string path) => throw new NotImplementedException();

    public void CreateDirectory(string path) => throw new NotImplementedException();

    public IReadOnlyList<string> List(string directory) => throw new NotImplementedException();

    public void Rename(string source, string target) => throw new NotImplementedException();

    public void Delete(string path) => throw new NotImplementedException();

    public void DeleteDirectory(string path) => throw new NotImplementedException();

    public void SyncDirectory(string path) => throw new NotImplementedException();
}
