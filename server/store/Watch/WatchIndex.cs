namespace Perf.Store.Watch;

/// <summary>
/// Finds the groups that watch a key: single keys by hash, ranges in a tree. One thread at a time.
/// </summary>
internal sealed class WatchIndex
{
    private readonly Dictionary<byte[], WatchGroup> _keys = new(BytesComparer.Instance);
    private readonly Dictionary<byte[], WatchGroup>.AlternateLookup<ReadOnlySpan<byte>> _keyLookup;
    private readonly RangeTree _ranges = new();

    public WatchIndex()
    {
        _keyLookup = _keys.GetAlternateLookup<ReadOnlySpan<byte>>();
    }

    /// <summary>Watchers in the index.</summary>
    public int Count { get; private set; }

    public void Add(Watcher watcher)
    {
        WatchTarget target = watcher.Target;
        WatchGroup? head = HeadOf(target);
        WatchGroup? group = head;
        while (group is not null && !group.Target.SameForm(target))
        {
            group = group.NextForm;
        }
        if (group is null)
        {
            group = new WatchGroup(target) { NextForm = head };
            SetHead(target, group);
        }
        group.Add(watcher);
        Count++;
    }

    public void Remove(Watcher watcher)
    {
        WatchGroup group = watcher.Group!;
        group.Remove(watcher);
        Count--;
        if (group.Count > 0)
        {
            return;
        }

        WatchGroup head = HeadOf(group.Target)!;
        if (ReferenceEquals(head, group))
        {
            SetHead(group.Target, group.NextForm);
            return;
        }
        while (!ReferenceEquals(head.NextForm, group))
        {
            head = head.NextForm!;
        }
        head.NextForm = group.NextForm;
    }

    /// <summary>Appends every group that watches the key.</summary>
    public void Match(ReadOnlySpan<byte> key, List<WatchGroup> matched)
    {
        if (_keys.Count > 0 && _keyLookup.TryGetValue(key, out WatchGroup? group))
        {
            for (; group is not null; group = group.NextForm)
            {
                matched.Add(group);
            }
        }
        _ranges.Stab(key, matched);
    }

    private WatchGroup? HeadOf(in WatchTarget target) =>
        target.IsRange ? _ranges.Find(target.Key, target.End) : _keys.GetValueOrDefault(target.Key);

    private void SetHead(in WatchTarget target, WatchGroup? head)
    {
        if (target.IsRange)
        {
            _ranges.Set(target.Key, target.End, head);
        }
        else if (head is null)
        {
            _keys.Remove(target.Key);
        }
        else
        {
            _keys[target.Key] = head;
        }
    }
}
