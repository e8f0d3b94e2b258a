using System.Runtime.InteropServices;

namespace Perf.Compression;

/// <summary>
/// Zstandard by the system's library, which nearly every Linux has. Compiled into etcdctl, which writes compressed
/// snapshots, and etcdutl, which reads them.
/// </summary>
internal static class Zstd
{
    private const int ChunkBytes = 256 * 1024;
    private const int CompressionLevel = 100;
    private const int ChecksumFlag = 201;
    private const int End = 2;
    private static readonly byte[] Magic = [0x28, 0xb5, 0x2f, 0xfd];

    /// <summary>True when a file begins as a zstd frame does.</summary>
    public static bool IsFrame(string path)
    {
        using FileStream file = File.OpenRead(path);
        byte[] head = new byte[Magic.Length];
        return file.ReadAtLeast(head, head.Length, throwOnEndOfStream: false) == head.Length
            && head.AsSpan().SequenceEqual(Magic);
    }

    /// <summary>Compresses all of a stream into one frame with a checksum. Returns the bytes written.</summary>
    public static long Compress(Stream source, Stream target)
    {
        nint context = Call(CreateCompression);
        try
        {
            _ = Checked(SetParameter(context, CompressionLevel, 3));
            _ = Checked(SetParameter(context, ChecksumFlag, 1));
            using var buffers = new Buffers(source, target);
            bool more = true;
            while (more)
            {
                more = buffers.Fill();
                nuint left;
                do
                {
                    left = Checked(CompressStream(context, ref buffers.Out, ref buffers.In, more ? 0 : End));
                    buffers.Drain();
                }
                while (more ? buffers.In.Position < buffers.In.Size : left > 0);
            }

            return buffers.Written;
        }
        finally
        {
            _ = FreeCompression(context);
        }
    }

    /// <summary>
    /// Decompresses all frames of a stream. Returns the bytes written. Throws <see cref="InvalidDataException"/> when
    /// they are damaged or cut short.
    /// </summary>
    public static long Decompress(Stream source, Stream target)
    {
        nint context = Call(CreateDecompression);
        try
        {
            using var buffers = new Buffers(source, target);
            nuint expected = 0;
            while (buffers.Fill())
            {
                while (buffers.In.Position < buffers.In.Size)
                {
                    expected = Checked(DecompressStream(context, ref buffers.Out, ref buffers.In));
                    buffers.Drain();
                }
            }

            // What the library still holds back because the last output was full.
            for (long before = -1; expected > 0 && buffers.Written != before;)
            {
                before = buffers.Written;
                expected = Checked(DecompressStream(context, ref buffers.Out, ref buffers.In));
                buffers.Drain();
            }

            return expected == 0
                ? buffers.Written
                : throw new InvalidDataException("zstd: the compressed data is cut short");
        }
        finally
        {
            _ = FreeDecompression(context);
        }
    }

    private static nint Call(Func<nint> create)
    {
        try
        {
            return create();
        }
        catch (DllNotFoundException e)
        {
            throw new IOException("zstd: libzstd.so.1 is not installed on this machine", e);
        }
    }

    private static nuint Checked(nuint result) => IsError(result) == 0
        ? result
        : throw new InvalidDataException("zstd: " + Marshal.PtrToStringAnsi(ErrorName(result)));

    // struct { void* bytes; size_t size; size_t position; }
    [StructLayout(LayoutKind.Sequential)]
    private struct Window
    {
        public nint Bytes;
        public nuint Size;
        public nuint Position;
    }

    /// <summary>A pinned piece of the source and one of the target.</summary>
    private sealed class Buffers : IDisposable
    {
        public Window In;
        public Window Out;
        private readonly Stream _source;
        private readonly Stream _target;
        private readonly byte[] _in = GC.AllocateUninitializedArray<byte>(ChunkBytes, pinned: true);
        private readonly byte[] _out = GC.AllocateUninitializedArray<byte>(ChunkBytes, pinned: true);

        public Buffers(Stream source, Stream target)
        {
            _source = source;
            _target = target;
            In.Bytes = Marshal.UnsafeAddrOfPinnedArrayElement(_in, 0);
            Out.Bytes = Marshal.UnsafeAddrOfPinnedArrayElement(_out, 0);
            Out.Size = ChunkBytes;
        }

        public long Written { get; private set; }

        /// <summary>Takes the next piece of the source; false at its end.</summary>
        public bool Fill()
        {
            In.Position = 0;
            In.Size = (nuint)_source.Read(_in);
            return In.Size > 0;
        }

        /// <summary>Writes what the library has put out.</summary>
        public void Drain()
        {
            _target.Write(_out, 0, (int)Out.Position);
            Written += (long)Out.Position;
            Out.Position = 0;
        }

        public void Dispose()
        {
            // The library holds addresses into them up to here.
            GC.KeepAlive(_in);
            GC.KeepAlive(_out);
        }
    }

    // Pointers would need unsafe code with generated marshalling.
#pragma warning disable SYSLIB1054
    [DllImport("libzstd.so.1", EntryPoint = "ZSTD_createCCtx")]
    [DefaultDllImportSearchPaths(DllImportSearchPath.SafeDirectories)]
    private static extern nint CreateCompression();

    [DllImport("libzstd.so.1", EntryPoint = "ZSTD_freeCCtx")]
    [DefaultDllImportSearchPaths(DllImportSearchPath.SafeDirectories)]
    private static extern nuint FreeCompression(nint context);

    [DllImport("libzstd.so.1", EntryPoint = "ZSTD_CCtx_setParameter")]
    [DefaultDllImportSearchPaths(DllImportSearchPath.SafeDirectories)]
    private static extern nuint SetParameter(nint context, int parameter, int value);

    [DllImport("libzstd.so.1", EntryPoint = "ZSTD_compressStream2")]
    [DefaultDllImportSearchPaths(DllImportSearchPath.SafeDirectories)]
    private static extern nuint CompressStream(nint context, ref Window output, ref Window input, int directive);

    [DllImport("libzstd.so.1", EntryPoint = "ZSTD_createDCtx")]
    [DefaultDllImportSearchPaths(DllImportSearchPath.SafeDirectories)]
    private static extern nint CreateDecompression();

    [DllImport("libzstd.so.1", EntryPoint = "ZSTD_freeDCtx")]
    [DefaultDllImportSearchPaths(DllImportSearchPath.SafeDirectories)]
    private static extern nuint FreeDecompression(nint context);

    [DllImport("libzstd.so.1", EntryPoint = "ZSTD_decompressStream")]
    [DefaultDllImportSearchPaths(DllImportSearchPath.SafeDirectories)]
    private static extern nuint DecompressStream(nint context, ref Window output, ref Window input);

    [DllImport("libzstd.so.1", EntryPoint = "ZSTD_isError")]
    [DefaultDllImportSearchPaths(DllImportSearchPath.SafeDirectories)]
    private static extern uint IsError(nuint result);

    [DllImport("libzstd.so.1", EntryPoint = "ZSTD_getErrorName")]
    [DefaultDllImportSearchPaths(DllImportSearchPath.SafeDirectories)]
    private static extern nint ErrorName(nuint result);
#pragma warning restore SYSLIB1054
}
