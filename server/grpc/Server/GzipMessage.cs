using System.Buffers;
using System.IO.Compression;

namespace Perf.Grpc;

/// <summary>Messages compressed with gzip. Only requests: our own messages travel as they are.</summary>
internal static class GzipMessage
{
    /// <summary>
    /// The message inside, in an array rented from the shared pool. Stops with ResourceExhausted as soon as it passes the limit, so a
    /// small message cannot become a large one in memory.
    /// </summary>
    public static byte[] Inflate(in ReadOnlySequence<byte> source, int bytesMax, out int length)
    {
        byte[] target = ArrayPool<byte>.Shared.Rent((int)Math.Min(Math.Max(source.Length * 4, 256), bytesMax + 1L));
        length = 0;
        try
        {
            using var gzip = new GZipStream(new MemoryStream(source.ToArray()), CompressionMode.Decompress);
            while (true)
            {
                int read = gzip.Read(target, length, target.Length - length);
                if (read == 0)
                {
                    return target;
                }

                length += read;
                if (length > bytesMax)
                {
                    throw new RpcException(
                        StatusCode.ResourceExhausted,
                        $"grpc: received message after decompression larger than max ({length} vs. {bytesMax})");
                }

                if (length == target.Length)
                {
                    byte[] larger = ArrayPool<byte>.Shared.Rent((int)Math.Min(target.Length * 2L, bytesMax + 1L));
                    target.AsSpan(0, length).CopyTo(larger);
                    ArrayPool<byte>.Shared.Return(target);
                    target = larger;
                }
            }
        }
        catch (InvalidDataException e)
        {
            ArrayPool<byte>.Shared.Return(target);
            throw new RpcException(StatusCode.Internal, $"grpc: failed to decompress the received message: {e.Message}");
        }
        catch (RpcException)
        {
            ArrayPool<byte>.Shared.Return(target);
            throw;
        }
    }
}
