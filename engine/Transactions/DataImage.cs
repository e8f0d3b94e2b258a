using Perf.Engine.IO;
using Perf.Engine.Pages;
using Perf.Engine.Space;

namespace Perf.Engine.Transactions;

/// <summary>
/// A bbolt file as of one commit, read as a stream of bytes (FORMATS A.14): two made-up metas, then the pages as they
/// are. Pins the commit: pages it uses are not reused until Dispose. For one thread at a time.
/// </summary>
public sealed class DataImage : IDisposable
{
    private readonly IDiskFile _file;
    private readonly CommitView _view;
    private readonly byte[] _metas;
    private EpochSlot _slot;

    internal DataImage(IDiskFile file, CommitView view, EpochSlot slot)
    {
        _file = file;
        _view = view;
        _slot = slot;
        int pageBytes = view.Meta.PageBytes;
        _metas = new byte[2 * pageBytes];
        MetaPage meta = view.Meta with { Freelist = MetaPage.NoFreelist };
        meta.Write(_metas.AsSpan(0, pageBytes), 0);
        (meta with { Txid = meta.Txid == 0 ? 0 : meta.Txid - 1 }).Write(_metas.AsSpan(pageBytes), 1);
    }

    /// <summary>Bytes of the whole image: high-water mark times page size.</summary>
    public long Length => _view.Meta.HighWater * _view.Meta.PageBytes;

    public ulong Txid => _view.Txid;

    /// <summary>Fills the target from the offset; returns fewer bytes only at the end of the image.</summary>
    public int Read(Span<byte> target, long offset)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(offset);
        int count = (int)Math.Clamp(Length - offset, 0, target.Length);
        target = target[..count];
        if (offset < _metas.Length)
        {
            int head = (int)Math.Min(_metas.Length - offset, count);
            _metas.AsSpan((int)offset, head).CopyTo(target);
            target = target[head..];
            offset += head;
        }

        // Read, not mapped: a damaged device is an error here and not the end of the process. Free pages at the end
        // may have been cut off by now; nothing refers to them.
        int got = _file.Read(target, offset);
        target[got..].Clear();
        return count;
    }

    public void Dispose() => _slot.Leave();
}
