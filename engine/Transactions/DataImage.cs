namespace Perf.Engine.Transactions;

/// <summary>A bbolt file as of one commit, read as a stream of bytes (FORMATS A.14). For one thread at a time.</summary>
public sealed class DataImage : IDisposable
{
    internal DataImage()
    {
    }

    /// <summary>Bytes of the whole image: high-water mark times page size.</summary>
    public long Length => throw new NotImplementedException();

    public ulong Txid => throw new NotImplementedException();

    /// <summary>Fills the target from the offset; returns fewer bytes only at the end of the image.</summary>
    public int Read(Span<byte> target, long offset) => throw new NotImplementedException();

    public void Dispose() => throw new NotImplementedException();
}
