using Perf.Store.Mvcc;

namespace Perf.Node.Corruption;

/// <summary>
/// The newest hashes taken at compactions, by revision. What lies below a compaction can no longer be hashed, so the
/// members keep what they found before it and compare that. Any thread.
/// </summary>
internal sealed class CompactionHashes
{
    /// <summary>As many as etcd keeps (hashStorageMaxSize).</summary>
    public const int CountMax = 10;

    private readonly Lock _gate = new();
    private readonly List<HashKvResult> _hashes = [];

    /// <summary>Keeps a hash; the oldest goes when there are too many.</summary>
    public void Add(in HashKvResult hash)
    {
        lock (_gate)
        {
            _hashes.Add(hash);
            _hashes.Sort((a, b) => b.Revision.CompareTo(a.Revision));
            if (_hashes.Count > CountMax)
            {
                _hashes.RemoveAt(CountMax);
            }
        }
    }

    /// <summary>The hash taken when that revision was compacted.</summary>
    public bool TryGet(long revision, out HashKvResult hash)
    {
        lock (_gate)
        {
            int at = _hashes.FindIndex(kept => kept.Revision == revision);
            hash = at < 0 ? default : _hashes[at];
            return at >= 0;
        }
    }

    /// <summary>Those of newer revisions than that one, the newest first.</summary>
    public List<HashKvResult> Above(long revision)
    {
        lock (_gate)
        {
            return [.. _hashes.Where(hash => hash.Revision > revision)];
        }
    }
}
