using System.Buffers;
using Perf.Engine.IO;

namespace Perf.Engine.Wal;

/// <summary>Work on the bytes of whole files: find, copy, fill.</summary>
internal static class FileBytes
{
    private const int ChunkBytes = 1 << 20;

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
    /// Writes zeros, each chunk sent to the disk when the one before has arrived: the sync at the end is short, and a sync of another
    /// file meanwhile waits for one chunk, not for all.
    /// </summary>
    public static void FillZero(IDiskFile file, long bytes)
    {
        byte[] chunk = ArrayPool<byte>.Shared.Rent(ChunkBytes);
        try
        {
            Array.Clear(chunk);
            for (long at = 0; at < bytes; at += ChunkBytes)
            {
                if (at > 0)
                {
                    file.FinishWriteback(at - ChunkBytes, ChunkBytes);
                }

                int count = (int)Math.Min(ChunkBytes, bytes - at);
                file.Write(chunk.AsSpan(0, count), at);
                file.StartWriteback(at, count);
            }
        }
        finally
        {
            ArrayPool<byte>.Shared.Return(chunk);
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
