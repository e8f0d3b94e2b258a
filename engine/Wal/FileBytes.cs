using System.Buffers;
using System.Runtime.InteropServices;
using Perf.Engine.IO;

namespace Perf.Engine.Wal;

/// <summary>Work on the bytes of whole files: find, copy, fill.</summary>
internal static class FileBytes
{
    private const int ChunkBytes = 1 << 20;

    /// <summary>Takes the disk a tenth of a millisecond or so.</summary>
    private const int ZerosBytes = 256 << 10;

    /// <summary>Offset of the first byte in [start, end) that is not zero, or -1.</summary>
    public static long FirstNonZero(IDiskFile file, long start, long end)
    {
        byte[] chunk = ArrayPool<byte>.Shared.Rent(ChunkBytes);
        try
        {
            while (start < end)
            {
                int read = file.Read(chunk.AsSpan(0, (int)Math.Min(ChunkBytes, end - start)), start);
                if (read == 0)
                {
                    return -1;
                }

                int at = chunk.AsSpan(0, read).IndexOfAnyExcept((byte)0);
                if (at >= 0)
                {
                    return start + at;
                }

                start += read;
            }

            return -1;
        }
        finally
        {
            ArrayPool<byte>.Shared.Return(chunk);
        }
    }

    /// <summary>Copies a whole file and syncs the copy.</summary>
    public static void Copy(IDiskFile source, IDiskFile target)
    {
        byte[] chunk = ArrayPool<byte>.Shared.Rent(ChunkBytes);
        try
        {
            long length = source.Length;
            for (long at = 0; at < length;)
            {
                int read = source.Read(chunk.AsSpan(0, (int)Math.Min(ChunkBytes, length - at)), at);
                if (read == 0)
                {
                    break;
                }

                target.Write(chunk.AsSpan(0, read), at);
                at += read;
            }

            target.SyncAll();
        }
        finally
        {
            ArrayPool<byte>.Shared.Return(chunk);
        }
    }

    /// <summary>
    /// Writes zeros, past the page cache where that can be had: memory for a whole segment costs a virtual machine more than its
    /// zeros do. Each chunk is on its way to the disk before the next: the sync at the end is short, and a sync of another file
    /// meanwhile waits for one chunk, not for all.
    /// </summary>
    public static unsafe void FillZero(IDiskFile file, long bytes)
    {
        void* memory = NativeMemory.AlignedAlloc(ZerosBytes, IDiskFile.BlockBytes);
        try
        {
            // SAFETY: just allocated with so many bytes.
            var zeros = new Span<byte>(memory, ZerosBytes);
            zeros.Clear();
            long blocks = bytes / IDiskFile.BlockBytes * IDiskFile.BlockBytes;
            for (long at = 0; at < blocks; at += ZerosBytes)
            {
                if (at > 0)
                {
                    file.FinishWriteback(at - ZerosBytes, ZerosBytes);
                }

                int count = (int)Math.Min(ZerosBytes, blocks - at);
                file.WriteBlocks(zeros[..count], at);
                file.StartWriteback(at, count);
            }

            if (blocks < bytes)
            {
                file.Write(zeros[..(int)(bytes - blocks)], blocks);
            }
        }
        finally
        {
            NativeMemory.AlignedFree(memory);
        }
    }

    /// <summary>Reads [start, end) into one array.</summary>
    public static byte[] ReadRange(IDiskFile file, long start, long end)
    {
        byte[] bytes = new byte[checked((int)(end - start))];
        int read = file.Read(bytes, start);
        return read == bytes.Length ? bytes : bytes[..read];
    }
}
