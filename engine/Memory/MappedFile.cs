using System.Buffers;
using Microsoft.Win32.SafeHandles;
using Perf.Engine.IO;

namespace Perf.Engine.Memory;

/// <summary>A read-only shared mapping. Reserves address space only; the file may grow into it.</summary>
internal sealed unsafe class MappedFile : IFileMap
{
    private readonly byte* _start;
    private int _disposed;

    internal MappedFile(SafeFileHandle file, string path, long reservedBytes)
    {
        ReservedBytes = reservedBytes;
        void* start = NativeMethods.Map(
            null, (nuint)reservedBytes, NativeMethods.ProtectRead,
            NativeMethods.MapShared | NativeMethods.MapNoReserve, file, 0);
        if ((nint)start == -1)
        {
            throw FileDisk.Failure(path, "mmap");
        }

        _start = (byte*)start;
    }

    ~MappedFile() => Unmap();

    /// <inheritdoc/>
    public long ReservedBytes { get; }

    /// <inheritdoc/>
    public ReadOnlySpan<byte> Span(long offset, int length)
    {
        Check.That((ulong)offset + (uint)length <= (ulong)ReservedBytes);

        // SAFETY: the range lies in the reservation, checked above; the caller vouches that it lies in the file (a
        // read beyond the end of file is SIGBUS, not an exception). Unmapped only by Dispose, which the owner calls
        // after its last reader has left.
        return new ReadOnlySpan<byte>(_start + offset, length);
    }

    /// <inheritdoc/>
    public ReadOnlyMemory<byte> Memory(long offset, int length)
    {
        Check.That((ulong)offset + (uint)length <= (ulong)ReservedBytes);
        return new Window(this, _start + offset, length).Memory;
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        Unmap();
        GC.SuppressFinalize(this);
    }

    private void Unmap()
    {
        if (_start is not null && Interlocked.Exchange(ref _disposed, 1) == 0)
        {
            _ = NativeMethods.Unmap(_start, (nuint)ReservedBytes);
        }
    }

    /// <summary>Memory over a part of the map; keeps the map object alive.</summary>
    private sealed class Window(MappedFile map, byte* start, int length) : MemoryManager<byte>
    {
        public override Span<byte> GetSpan()
        {
            GC.KeepAlive(map);

            // SAFETY: inside the map's reservation, checked by MappedFile.Memory; readers get it as read-only memory.
            return new Span<byte>(start, length);
        }

        public override MemoryHandle Pin(int elementIndex = 0) => new(start + elementIndex);

        public override void Unpin()
        {
        }

        protected override void Dispose(bool disposing)
        {
        }
    }
}
