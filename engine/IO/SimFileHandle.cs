using static Perf.Engine.IO.SimDisk;

namespace Perf.Engine.IO;

/// <summary>An open simulated file.</summary>
internal sealed class SimFileHandle(SimDisk disk, SimFile file, string path, bool writable) : IDiskFile
{
    private const long CachePageBytes = 4096;
    private bool _closed;

    /// <inheritdoc/>
    public string Path { get; } = path;

    /// <inheritdoc/>
    public long Length => disk.Look(() => file.Length);

    /// <inheritdoc/>
    public int Read(Span<byte> target, long offset)
    {
        byte[] bytes = new byte[target.Length];
        int count = disk.Call("pread", this, _ => file.Read(bytes, offset));
        bytes.AsSpan(0, count).CopyTo(target);
        return count;
    }

    /// <inheritdoc/>
    public void Write(ReadOnlySpan<byte> source, long offset) => Write("pwrite", source.ToArray(), offset);

    /// <inheritdoc/>
    public void WriteBlocks(ReadOnlySpan<byte> source, long offset)
    {
        Check.That(source.Length % IDiskFile.BlockBytes == 0 && offset % IDiskFile.BlockBytes == 0);
        Write(source, offset);
    }

    /// <inheritdoc/>
    public void WriteGather(IReadOnlyList<ReadOnlyMemory<byte>> parts, long offset)
    {
        var whole = new MemoryStream();
        foreach (ReadOnlyMemory<byte> part in parts)
        {
            whole.Write(part.Span);
        }

        Write("pwritev", whole.ToArray(), offset);
    }

    /// <inheritdoc/>
    public void SyncData() => Sync("fdatasync");

    /// <inheritdoc/>
    public void SyncAll() => Sync("fsync");

    /// <inheritdoc/>
    public void SetLength(long length) => disk.Call("ftruncate", this, effect =>
    {
        RequireWritable("ftruncate");
        if (effect is Effect.Full or Effect.FullThenOff)
        {
            file.SetLength(length);
        }

        return true;
    });

    /// <inheritdoc/>
    public void Allocate(long offset, long length) => disk.Call("fallocate", this, effect =>
    {
        RequireWritable("fallocate");
        if (effect is Effect.Full or Effect.FullThenOff && offset + length > file.Length)
        {
            file.SetLength(offset + length);
        }

        return true;
    });

    /// <inheritdoc/>
    public void StartWriteback(long offset, long length)
    {
    }

    /// <inheritdoc/>
    public void FinishWriteback(long offset, long length) => disk.Call("sync_file_range", this, _ => true);

    /// <inheritdoc/>
    public bool TryLockWhole() => disk.Call("flock", this, _ =>
    {
        file.WholeLock ??= this;
        return ReferenceEquals(file.WholeLock, this);
    });

    /// <inheritdoc/>
    public bool TryLockDescription() => disk.Call("fcntl", this, _ =>
    {
        file.DescriptionLock ??= this;
        return ReferenceEquals(file.DescriptionLock, this);
    });

    /// <inheritdoc/>
    public IFileMap Map(long reservedBytes) =>
        disk.Call("mmap", this, _ => new SimMap(disk, file, Path, reservedBytes));

    /// <inheritdoc/>
    public void Dispose()
    {
        _closed = true;
        disk.Look(() =>
        {
            if (ReferenceEquals(file.WholeLock, this))
            {
                file.WholeLock = null;
            }

            if (ReferenceEquals(file.DescriptionLock, this))
            {
                file.DescriptionLock = null;
            }

            return true;
        });
    }

    internal void ThrowIfClosed() => ObjectDisposedException.ThrowIf(_closed, this);

    private void Write(string call, byte[] source, long offset) => disk.Call(call, this, effect =>
    {
        RequireWritable(call);
        int count = effect switch
        {
            Effect.None => 0,
            Effect.HalfInputOutput or Effect.HalfNoSpace => source.Length / 2,
            _ => source.Length,
        };
        if (count > 0)
        {
            long beside = offset >= CachePageBytes ? offset - CachePageBytes : offset + CachePageBytes;
            file.Write(source.AsSpan(0, count), effect == Effect.Beside ? beside : offset);
        }

        return true;
    });

    private void Sync(string call) => disk.Call(call, this, effect =>
    {
        if (effect == Effect.Full)
        {
            file.Sync();
        }
        else if (effect is Effect.HalfInputOutput or Effect.HalfNoSpace)
        {
            file.LoseUnsynced();
        }

        return true;
    });

    private void RequireWritable(string call)
    {
        if (!writable)
        {
            throw new DiskException(Path, call, 9, "Bad file descriptor");
        }
    }

    /// <summary>A map that reads the file's memory and, unlike the kernel, says so when it is touched beyond the end.</summary>
    private sealed class SimMap(SimDisk disk, SimFile file, string path, long reservedBytes) : IFileMap
    {
        private bool _disposed;

        public long ReservedBytes { get; } = reservedBytes;

        public ReadOnlySpan<byte> Span(long offset, int length) => Memory(offset, length).Span;

        public ReadOnlyMemory<byte> Memory(long offset, int length)
        {
            ObjectDisposedException.ThrowIf(_disposed, this);
            return disk.Look(() =>
            {
                long readable = (file.Length + CachePageBytes - 1) / CachePageBytes * CachePageBytes;
                return offset >= 0 && offset + length <= Math.Min(ReservedBytes, readable)
                    ? file.Window(offset, length)
                    : throw new InvariantException($"{path}: map touched at {offset}+{length}, the file has {file.Length}");
            });
        }

        public void Dispose() => _disposed = true;
    }
}
