using System.Runtime.InteropServices;
using Perf.Engine.IO;

namespace Perf.Engine.Wal;

/// <summary>
/// What is appended and not yet written, and where in the segment it goes. It is written in whole blocks, zeros behind the end, so
/// that it can pass the page cache by: the beginning of the block in which the log ends stays here, and is written again with what
/// comes behind it. A torn block loses nothing that was durable, since those bytes are written as they are. Where nothing is synced
/// (<paramref name="isSynced"/> false) nobody is to wait for the disk either: then it is left to the page cache. One thread.
/// </summary>
internal sealed unsafe class WalStaging(bool isSynced) : IDisposable
{
    private const int BytesMin = 64 << 10;
    private const int BlockBytes = IDiskFile.BlockBytes;

    private byte* _memory = Allocate(BytesMin);
    private int _capacity = BytesMin;

    /// <summary>Bytes at the beginning of the memory that are written already: the start of the last block.</summary>
    private int _head;

    /// <summary>Bytes that are not written yet.</summary>
    public int Staged { get; private set; }

    /// <summary>Offset in the segment behind what is written.</summary>
    public long WrittenOffset { get; private set; }

    /// <summary>Offset in the segment behind what is staged.</summary>
    public long EndOffset => WrittenOffset + Staged;

    /// <summary>Nothing is staged; what comes goes to <paramref name="offset"/> of the file.</summary>
    public void GoTo(IDiskFile file, long offset)
    {
        Staged = 0;
        WrittenOffset = offset;
        _head = (int)(offset % BlockBytes);
        var head = new Span<byte>(_memory, _head);
        if (file.Read(head, offset - _head) != _head)
        {
            throw new IOException($"{file.Path}: ends before {offset}");
        }
    }

    /// <summary>Room for at least so many bytes, to be filled from its beginning and then <see cref="Add"/>ed.</summary>
    public Span<byte> Room(int bytes)
    {
        int used = _head + Staged;
        if (bytes > _capacity - BlockBytes - used)
        {
            Grow(checked(used + bytes + BlockBytes));
        }

        // The last block's rest is for the zeros.
        return new Span<byte>(_memory + used, _capacity - BlockBytes - used);
    }

    public void Add(int bytes) => Staged += bytes;

    /// <summary>Writes what is staged; it is staged still when that throws.</summary>
    public void WriteTo(IDiskFile file)
    {
        int end = _head + Staged;
        int padded = (end + BlockBytes - 1) / BlockBytes * BlockBytes;
        new Span<byte>(_memory + end, padded - end).Clear();
        if (isSynced)
        {
            file.WriteBlocks(new ReadOnlySpan<byte>(_memory, padded), WrittenOffset - _head);
        }
        else
        {
            file.Write(new ReadOnlySpan<byte>(_memory + _head, Staged), WrittenOffset);
        }

        WrittenOffset += Staged;
        Staged = 0;
        _head = end % BlockBytes;

        // SAFETY: both lie inside what was just written; where they overlap they are the same.
        new Span<byte>(_memory + end - _head, _head).CopyTo(new Span<byte>(_memory, _head));
    }

    public void Dispose()
    {
        NativeMemory.AlignedFree(_memory);
        _memory = null;
        _capacity = 0;
    }

    private static byte* Allocate(int bytes) => (byte*)NativeMemory.AlignedAlloc((nuint)bytes, BlockBytes);

    private void Grow(int bytes)
    {
        bytes = checked(Math.Max(_capacity * 2, bytes) + BlockBytes - 1) / BlockBytes * BlockBytes;
        byte* larger = Allocate(bytes);

        // SAFETY: both blocks hold at least what is used.
        new Span<byte>(_memory, _head + Staged).CopyTo(new Span<byte>(larger, bytes));
        NativeMemory.AlignedFree(_memory);
        _memory = larger;
        _capacity = bytes;
    }
}
