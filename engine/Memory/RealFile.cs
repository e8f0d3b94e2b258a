using System.Buffers;
using System.Runtime.InteropServices;
using Microsoft.Win32.SafeHandles;
using Perf.Engine.IO;

namespace Perf.Engine.Memory;

/// <summary>An open file of <see cref="FileDisk"/>. Calls may come from several threads; the kernel orders them.</summary>
internal sealed unsafe class RealFile(SafeFileHandle handle, string path) : IDiskFile
{
    /// <summary>UIO_MAXIOV.</summary>
    private const int GatherPartsMax = 1024;

    private const int SeekEnd = 2;

    /// <summary>The same file past the page cache; null before it is asked for, and where that cannot be had.</summary>
    private SafeFileHandle? _direct;
    private bool _directRefused;
    private bool _lockedWhole;
    private bool _lockedDescription;

    /// <inheritdoc/>
    public string Path { get; } = path;

    /// <inheritdoc/>
    public long Length
    {
        get
        {
            // Offsets are always explicit here, so moving the description's own one disturbs nobody.
            long length = NativeMethods.Seek(handle, 0, SeekEnd);
            return length < 0 ? throw FileDisk.Failure(Path, "lseek") : length;
        }
    }

    /// <inheritdoc/>
    public int Read(Span<byte> target, long offset)
    {
        int done = 0;
        fixed (byte* start = target)
        {
            while (done < target.Length)
            {
                // SAFETY: start is pinned and has target.Length bytes; done < target.Length.
                nint got = NativeMethods.Read(handle, start + done, target.Length - done, offset + done);
                if (got < 0)
                {
                    ThrowUnlessInterrupted("pread");
                    continue;
                }

                if (got == 0)
                {
                    break;
                }

                done += (int)got;
            }
        }

        return done;
    }

    /// <inheritdoc/>
    public void Write(ReadOnlySpan<byte> source, long offset) => Write(handle, source, offset);

    /// <inheritdoc/>
    public void WriteBlocks(ReadOnlySpan<byte> source, long offset)
    {
        Check.That(source.Length % IDiskFile.BlockBytes == 0 && offset % IDiskFile.BlockBytes == 0);
        if (!_directRefused)
        {
            _direct ??= TryOpenDirect();
        }

        if (_direct is null)
        {
            Write(handle, source, offset);
            return;
        }

        try
        {
            Write(_direct, source, offset);
        }
        catch (DiskException e) when (e.Errno == NativeMethods.ErrorInvalid)
        {
            // It opens so, but wants other blocks, or does not mean it.
            _direct.Dispose();
            _direct = null;
            _directRefused = true;
            Write(handle, source, offset);
        }
    }

    /// <inheritdoc/>
    public void WriteGather(IReadOnlyList<ReadOnlyMemory<byte>> parts, long offset)
    {
        for (int first = 0; first < parts.Count; first += GatherPartsMax)
        {
            int count = Math.Min(GatherPartsMax, parts.Count - first);
            offset += WriteSome(parts, first, count, offset);
        }
    }

    /// <inheritdoc/>
    public void SyncData() => ThrowUnlessZero(NativeMethods.SyncData(handle), "fdatasync");

    /// <inheritdoc/>
    public void SyncAll() => ThrowUnlessZero(NativeMethods.SyncAll(handle), "fsync");

    /// <inheritdoc/>
    public void SetLength(long length) => ThrowUnlessZero(NativeMethods.Truncate(handle, length), "ftruncate");

    /// <inheritdoc/>
    public void Allocate(long offset, long length)
    {
        if (NativeMethods.Allocate(handle, 0, offset, length) == 0)
        {
            return;
        }

        if (Marshal.GetLastPInvokeError() != NativeMethods.ErrorNotSupported)
        {
            throw FileDisk.Failure(Path, "fallocate");
        }

        // File systems without preallocation: the length grows, the blocks come with the first write.
        if (Length < offset + length)
        {
            SetLength(offset + length);
        }
    }

    /// <inheritdoc/>
    public void StartWriteback(long offset, long length) =>
        _ = NativeMethods.SyncRange(handle, offset, length, NativeMethods.WritebackStart);

    /// <inheritdoc/>
    public void FinishWriteback(long offset, long length)
    {
        if (NativeMethods.SyncRange(handle, offset, length, NativeMethods.WritebackFinish) == 0)
        {
            return;
        }

        // A full disk is no exception to it: the pages are lost, and nobody will say so again.
        int errno = Marshal.GetLastPInvokeError();
        throw new DiskException(Path, "sync_file_range", errno, Marshal.GetPInvokeErrorMessage(errno));
    }

    /// <inheritdoc/>
    public bool TryLockWhole()
    {
        if (NativeMethods.LockWhole(handle, NativeMethods.LockExclusive | NativeMethods.LockNonBlocking) == 0)
        {
            _lockedWhole = true;
            return true;
        }

        return Marshal.GetLastPInvokeError() == NativeMethods.ErrorAgain ? false : throw FileDisk.Failure(Path, "flock");
    }

    /// <inheritdoc/>
    public bool TryLockDescription()
    {
        var whole = new NativeMethods.FileLock { Type = NativeMethods.WriteLock };
        if (NativeMethods.Control(handle, NativeMethods.SetDescriptionLock, &whole) == 0)
        {
            _lockedDescription = true;
            return true;
        }

        return Marshal.GetLastPInvokeError() is NativeMethods.ErrorAgain or NativeMethods.ErrorAccess
            ? false
            : throw FileDisk.Failure(Path, "fcntl");
    }

    /// <inheritdoc/>
    public IFileMap Map(long reservedBytes) => new MappedFile(handle, Path, reservedBytes);

    /// <inheritdoc/>
    public void Dispose()
    {
        Unlock();
        _direct?.Dispose();
        handle.Dispose();
    }

    /// <summary>
    /// To close is not enough: a lock belongs to the open file, which lives on in a child that is about to start another program
    /// (O_CLOEXEC acts no earlier than that) and in a mapping.
    /// </summary>
    private void Unlock()
    {
        if (_lockedWhole)
        {
            _lockedWhole = false;
            ThrowUnlessZero(NativeMethods.LockWhole(handle, NativeMethods.Unlock), "flock");
        }

        if (_lockedDescription)
        {
            _lockedDescription = false;
            var whole = new NativeMethods.FileLock { Type = NativeMethods.NoLock };
            ThrowUnlessZero(NativeMethods.Control(handle, NativeMethods.SetDescriptionLock, &whole), "fcntl");
        }
    }

    /// <summary>By its descriptor, since its name may have changed.</summary>
    private SafeFileHandle? TryOpenDirect()
    {
        int flags = NativeMethods.ReadWrite | NativeMethods.Direct | NativeMethods.CloseOnExec;
        int descriptor = NativeMethods.Open($"/proc/self/fd/{handle.DangerousGetHandle()}", flags, 0);
        _directRefused = descriptor < 0;
        return _directRefused ? null : new SafeFileHandle(descriptor, ownsHandle: true);
    }

    private void Write(SafeFileHandle file, ReadOnlySpan<byte> source, long offset)
    {
        int done = 0;
        fixed (byte* start = source)
        {
            while (done < source.Length)
            {
                // SAFETY: start is pinned and has source.Length bytes; done < source.Length.
                nint put = NativeMethods.Write(file, start + done, source.Length - done, offset + done);
                if (put < 0)
                {
                    ThrowUnlessInterrupted("pwrite");
                    continue;
                }

                done += (int)put;
            }
        }
    }

    private long WriteSome(IReadOnlyList<ReadOnlyMemory<byte>> parts, int first, int count, long offset)
    {
        var pins = ArrayPool<MemoryHandle>.Shared.Rent(count);
        var vectors = stackalloc NativeMethods.IoVector[count];
        long total = 0;
        int pinned = 0;
        try
        {
            for (; pinned < count; pinned++)
            {
                ReadOnlyMemory<byte> part = parts[first + pinned];
                pins[pinned] = part.Pin();
                vectors[pinned] = new NativeMethods.IoVector { Start = (byte*)pins[pinned].Pointer, Bytes = part.Length };
                total += part.Length;
            }

            // SAFETY: every vector points into memory pinned above and released below, after the last call.
            int next = 0;
            long done = 0;
            while (done < total)
            {
                nint put = NativeMethods.WriteGather(handle, vectors + next, count - next, offset + done);
                if (put < 0)
                {
                    ThrowUnlessInterrupted("pwritev");
                    continue;
                }

                done += put;
                while (next < count && put >= vectors[next].Bytes)
                {
                    put -= vectors[next++].Bytes;
                }

                if (put > 0)
                {
                    vectors[next].Start += put;
                    vectors[next].Bytes -= put;
                }
            }
        }
        finally
        {
            for (int i = 0; i < pinned; i++)
            {
                pins[i].Dispose();
                pins[i] = default;
            }

            ArrayPool<MemoryHandle>.Shared.Return(pins);
        }

        return total;
    }

    private void ThrowUnlessZero(int result, string call)
    {
        if (result != 0)
        {
            throw FileDisk.Failure(Path, call);
        }
    }

    private void ThrowUnlessInterrupted(string call)
    {
        if (Marshal.GetLastPInvokeError() != NativeMethods.ErrorInterrupted)
        {
            throw FileDisk.Failure(Path, call);
        }
    }
}
