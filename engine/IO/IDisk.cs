namespace Perf.Engine.IO;

/// <summary>How <see cref="IDisk.Open"/> treats a path.</summary>
public enum DiskOpen
{
    /// <summary>The file must exist; reads only.</summary>
    ReadOnly,

    /// <summary>The file must exist; reads and writes.</summary>
    ReadWrite,

    /// <summary>The file must not exist (O_CREAT | O_EXCL), mode 0600.</summary>
    CreateNew,

    /// <summary>Opened if there, made (mode 0600) if not.</summary>
    OpenOrCreate,
}

/// <summary>
/// The one door to files. <c>FileDisk</c> in production, <c>SimDisk</c> in tests. Every failure is an
/// <see cref="IOException"/> with the path, the call and errno in its message. A failed write or sync on a WAL or
/// data file is final for the process (ARCHITECTURE.md, I10): callers never retry it.
/// Thread-safe; files are not, except where a member says so.
/// </summary>
public interface IDisk
{
    /// <summary>Opens or makes a file.</summary>
    IDiskFile Open(string path, DiskOpen mode);

    /// <summary>True when a regular file is there.</summary>
    bool FileExists(string path);

    /// <summary>True when a directory is there.</summary>
    bool DirectoryExists(string path);

    /// <summary>Makes a directory and its missing parents, mode 0700. Does not sync.</summary>
    void CreateDirectory(string path);

    /// <summary>Names (not paths) of all entries of a directory, ordinal order.</summary>
    IReadOnlyList<string> List(string directory);

    /// <summary>rename(2): atomic, replaces a file target. Durable only after <see cref="SyncDirectory"/>.</summary>
    void Rename(string source, string target);

    /// <summary>unlink(2). Durable only after <see cref="SyncDirectory"/>.</summary>
    void Delete(string path);

    /// <summary>Removes a directory and everything below it.</summary>
    void DeleteDirectory(string path);

    /// <summary>fsync of a directory: makes creations, renames and unlinks in it durable.</summary>
    void SyncDirectory(string path);
}

/// <summary>An open file. Offsets and lengths are bytes.</summary>
public interface IDiskFile : IDisposable
{
    /// <summary>What <see cref="WriteBlocks"/> counts in: no disk's sector is larger.</summary>
    const int BlockBytes = 4096;

    /// <summary>The path it was opened by.</summary>
    string Path { get; }

    /// <summary>Present length of the file.</summary>
    long Length { get; }

    /// <summary>pread until <paramref name="target"/> is full or the file ends; returns the bytes read.</summary>
    int Read(Span<byte> target, long offset);

    /// <summary>pwrite of the whole span. Not durable before a sync.</summary>
    void Write(ReadOnlySpan<byte> source, long offset);

    /// <summary>
    /// The same for whole blocks: offset, length and address are multiples of <see cref="BlockBytes"/>. Where the file system
    /// can, they go to the disk past the page cache (O_DIRECT), which is less work than through it; otherwise as any write does.
    /// Not durable before a sync either way.
    /// </summary>
    void WriteBlocks(ReadOnlySpan<byte> source, long offset);

    /// <summary>pwritev of all the parts, back to back from <paramref name="offset"/>.</summary>
    void WriteGather(IReadOnlyList<ReadOnlyMemory<byte>> parts, long offset);

    /// <summary>fdatasync: contents (and a changed length) are on the platter when this returns.</summary>
    void SyncData();

    /// <summary>fsync: contents and all metadata.</summary>
    void SyncAll();

    /// <summary>ftruncate.</summary>
    void SetLength(long length);

    /// <summary>fallocate with length change: reserves blocks so that later writes cannot meet a full disk.</summary>
    void Allocate(long offset, long length);

    /// <summary>Starts write-back of a range without waiting (sync_file_range); a hint, no durability.</summary>
    void StartWriteback(long offset, long length);

    /// <summary>
    /// Waits until write-back that was started for a range has ended (a length of 0: to the end of the file), so that no more than
    /// that is before the disk at a time. No durability, but the kernel tells of a failure only once: what this throws is final, as
    /// a failed sync is.
    /// </summary>
    void FinishWriteback(long offset, long length);

    /// <summary>flock(LOCK_EX | LOCK_NB), as bbolt takes it on the data file, until Dispose. False when another holds it.</summary>
    bool TryLockWhole();

    /// <summary>Open-file-description write lock over the whole file, as etcd takes it on WAL segments, until Dispose.</summary>
    bool TryLockDescription();

    /// <summary>
    /// One read-only shared mapping of the file from offset 0, over <paramref name="reservedBytes"/> of address
    /// space; bytes beyond the end of the file must not be touched until the file has grown over them. Coherent with
    /// <see cref="Write"/>. Never written through.
    /// </summary>
    IFileMap Map(long reservedBytes);
}

/// <summary>A read-only mapping. Thread-safe. Spans are good until Dispose.</summary>
public interface IFileMap : IDisposable
{
    /// <summary>Address space reserved, bytes.</summary>
    long ReservedBytes { get; }

    /// <summary>A view of the file; the caller has checked that it lies inside the file.</summary>
    ReadOnlySpan<byte> Span(long offset, int length);

    /// <summary>The same as memory, for writers that gather (lives as long as the map).</summary>
    ReadOnlyMemory<byte> Memory(long offset, int length);
}
