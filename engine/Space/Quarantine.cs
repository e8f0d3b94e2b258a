namespace Perf.Engine.Space;

/// <summary>
/// Pages that were freed and must wait: until the meta page of the commit that freed them is durable (else a crash would bring
/// back a tree that uses them), and until no reader of an older commit is left. Committer only.
/// </summary>
internal sealed class Quarantine
{
    private readonly Queue<(ulong Txid, List<(long Page, long Count)> Extents)> _waiting = new();
    private readonly Stack<List<(long Page, long Count)>> _spare = new();

    /// <summary>Pages waiting.</summary>
    public long Pages { get; private set; }

    /// <summary>An empty list to fill and to hand to <see cref="Add"/> or <see cref="Return"/>.</summary>
    public List<(long Page, long Count)> Rent() => _spare.TryPop(out List<(long, long)>? list) ? list : [];

    public void Return(List<(long Page, long Count)> list)
    {
        list.Clear();
        _spare.Push(list);
    }

    /// <summary>What commit <paramref name="txid"/> freed. Txids ascend.</summary>
    public void Add(ulong txid, List<(long Page, long Count)> extents)
    {
        foreach ((_, long count) in extents)
        {
            Pages += count;
        }

        _waiting.Enqueue((txid, extents));
    }

    /// <summary>
    /// Lets go of what commits up to both bounds freed: I2. A reader of commit r sees what was freed by r + 1 and
    /// later.
    /// </summary>
    public void Release(PageSpace space, ulong durableTxid, ulong oldestReader)
    {
        while (_waiting.TryPeek(out (ulong Txid, List<(long Page, long Count)> Extents) first)
            && first.Txid <= durableTxid
            && first.Txid <= oldestReader)
        {
            _waiting.Dequeue();
            foreach ((long page, long count) in first.Extents)
            {
                space.Release(page, count);
                Pages -= count;
            }

            Return(first.Extents);
        }
    }
}
