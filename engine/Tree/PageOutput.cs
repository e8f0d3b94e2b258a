using Perf.Engine.IO;
using Perf.Engine.Memory;
using Perf.Engine.Pages;
using Perf.Engine.Space;

namespace Perf.Engine.Tree;

/// <summary>
/// Takes finished extents of one commit, gives them pages and writes them in slices of about 1 MiB, neighbours
/// in one call. Nothing reaches these pages before the meta page does, so writing early is safe; a commit that
/// fails hands them back.
/// </summary>
internal sealed class PageOutput : IDisposable
{
    /// <summary>One write at most, so that the WAL's syncs do not wait long behind it.</summary>
    private const int SliceBytes = 1 << 20;

    private readonly List<Staged> _staged = [];
    private readonly List<(long Page, long Count)> _allocated = [];
    private readonly List<ReadOnlyMemory<byte>> _parts = [];
    private readonly IDiskFile _file;
    private readonly PageSpace _space;
    private readonly VerifiedPages _verified;
    private Slab? _slab;
    private int _used;

    /// <summary>A slice of this commit is on its way to the disk.</summary>
    private bool _isUnderway;

    public PageOutput(IDiskFile file, PageSpace space, VerifiedPages verified, int pageBytes, long fileBytes)
    {
        _file = file;
        _space = space;
        _verified = verified;
        PageBytes = pageBytes;
        FileBytes = fileBytes;
    }

    public int PageBytes { get; }

    /// <summary>Length of the file, which grows ahead of the writes.</summary>
    public long FileBytes { get; set; }

    /// <summary>The file has become longer in this commit: its sync must cover the length.</summary>
    public bool HasGrown { get; private set; }

    /// <summary>What this commit made unreachable; owned by the caller.</summary>
    public List<(long Page, long Count)> Freed { get; private set; } = [];

    /// <summary>Extents without trailer among what was freed.</summary>
    public long FreedWithoutTrailer { get; private set; }

    public ulong Txid { get; private set; }

    public bool HasWritten => _allocated.Count > 0;

    /// <summary>A new commit begins.</summary>
    public void Begin(ulong txid, List<(long Page, long Count)> freed)
    {
        Txid = txid;
        Freed = freed;
        FreedWithoutTrailer = 0;
        HasGrown = false;
        _isUnderway = false;
        _allocated.Clear();
        _staged.Clear();
        _used = 0;
    }

    /// <summary>Room for an extent of so many bytes, zeroed, with its pages allocated. Valid until the next call.</summary>
    public Span<byte> Reserve(int bytes, out long page)
    {
        Check.That(bytes % PageBytes == 0);
        if (_slab is not null && (_used + bytes > _slab.Length || _used >= SliceBytes))
        {
            Flush();
        }

        if (_slab is not null && bytes > _slab.Length)
        {
            _slab.Release();
            _slab = null;
        }

        _slab ??= Slab.Rent(Math.Max(SliceBytes, bytes));
        int count = bytes / PageBytes;
        page = _space.Allocate(count);
        _allocated.Add((page, count));
        _verified.Reserve(page + count);
        _verified.Remove(page, count);
        _staged.Add(new Staged(page, _used, bytes));
        Span<byte> target = _slab.Span.Slice(_used, bytes);
        target.Clear();
        _used += bytes;
        return target;
    }

    /// <summary>The extent is not reachable from the commit in progress.</summary>
    public void Free(long page, ReadOnlySpan<byte> extent)
    {
        if (!PageTrailer.IsPresent(extent))
        {
            FreedWithoutTrailer++;
        }

        Free(page, extent.Length / PageBytes);
    }

    /// <summary>The same for pages that are not part of a tree.</summary>
    public void Free(long page, long count)
    {
        _space.Retire(page, count);
        Freed.Add((page, count));
    }

    /// <summary>True when the page was given out in this commit.</summary>
    public bool IsNew(long page) => _allocated.Exists(extent => extent.Page == page);

    /// <summary>Writes what is staged.</summary>
    public void Flush()
    {
        if (_staged.Count == 0)
        {
            return;
        }

        if (_isUnderway)
        {
            // One slice before the disk at a time: a sync of the log has to wait for no more than that.
            _file.FinishWriteback(0, 0);
        }

        _isUnderway = true;

        // Lowest-fit allocation hands pages out in ascending order but for long extents, so this is nearly sorted.
        _staged.Sort(static (left, right) => left.Page.CompareTo(right.Page));
        long sliceStart = _staged[0].Page * PageBytes;
        long sliceEnd = _staged[^1].Page * PageBytes + _staged[^1].Bytes;
        Grow(sliceEnd);
        for (int first = 0; first < _staged.Count;)
        {
            long start = _staged[first].Page * PageBytes;
            long end = start;
            int next = first;
            _parts.Clear();
            while (next < _staged.Count && _staged[next].Page * PageBytes == end)
            {
                int at = _staged[next].At;
                int bytes = 0;
                while (next < _staged.Count && _staged[next].At == at + bytes && _staged[next].Page * PageBytes == end)
                {
                    bytes += _staged[next].Bytes;
                    end += _staged[next].Bytes;
                    next++;
                }

                _parts.Add(_slab!.Memory.Slice(at, bytes));
            }

            if (_parts.Count == 1)
            {
                _file.Write(_parts[0].Span, start);
            }
            else
            {
                _file.WriteGather(_parts, start);
            }

            first = next;
        }

        // One call for the slice, however scattered its pages: what lies between them is clean.
        _file.StartWriteback(sliceStart, sliceEnd - sliceStart);
        _parts.Clear();
        _staged.Clear();
        _used = 0;
    }

    /// <summary>The commit failed before its meta page: space is as it was before Begin.</summary>
    public void Rollback()
    {
        _staged.Clear();
        _used = 0;
        foreach ((long page, long count) in _allocated)
        {
            _space.Retire(page, count);
            _space.Release(page, count);
        }

        foreach ((long page, long count) in Freed)
        {
            _space.Reinstate(page, count);
        }

        _allocated.Clear();
        Freed.Clear();
    }

    public void Dispose()
    {
        _slab?.Release();
        _slab = null;
    }

    private void Grow(long end)
    {
        if (end <= FileBytes)
        {
            return;
        }

        long target = FileSteps.Round(end);
        _file.Allocate(FileBytes, target - FileBytes);
        FileBytes = target;
        HasGrown = true;
    }

    private readonly record struct Staged(long Page, int At, int Bytes);
}
