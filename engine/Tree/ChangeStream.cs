using Perf.Engine.Pages;
using Perf.Engine.Transactions;

namespace Perf.Engine.Tree;

/// <summary>
/// Several ascending sources as one. Of equal keys the last source's change is taken. Checks that every source
/// ascends and that keys have a legal length: a source that does not is a bug of ours.
/// </summary>
internal sealed class ChangeStream
{
    private readonly string _bucket;
    private readonly List<IChangeSource> _live;
    private IChangeSource? _current;
    private byte[] _previous = new byte[64];
    private int _previousBytes;

    public ChangeStream(string bucket, List<IChangeSource> sources)
    {
        _bucket = bucket;
        _live = sources;
        for (int i = _live.Count - 1; i >= 0; i--)
        {
            if (!_live[i].MoveNext())
            {
                _live.RemoveAt(i);
            }
        }

        Choose();
    }

    public bool HasCurrent => _current is not null;

    public ReadOnlySpan<byte> Key => _current!.Key;

    public ReadOnlySpan<byte> Value => _current!.Value;

    public bool IsDelete => _current!.IsDelete;

    /// <summary>True when the current change belongs below <paramref name="upper"/> (empty: no bound).</summary>
    public bool IsBelow(ReadOnlySpan<byte> upper) =>
        _current is not null && (upper.IsEmpty || KeyOrder.Compare(_current.Key, upper) < 0);

    public void MoveNext()
    {
        ReadOnlySpan<byte> done = _current!.Key;
        if (done.Length > _previous.Length)
        {
            _previous = new byte[PageLayout.KeyBytesMax];
        }

        done.CopyTo(_previous);
        _previousBytes = done.Length;
        for (int i = _live.Count - 1; i >= 0; i--)
        {
            // The chosen source, and every other that has the same key and lost.
            if (KeyOrder.Compare(_live[i].Key, _previous.AsSpan(0, _previousBytes)) == 0 && !_live[i].MoveNext())
            {
                _live.RemoveAt(i);
            }
        }

        Choose();
    }

    private void Choose()
    {
        _current = null;
        foreach (IChangeSource source in _live)
        {
            if (_current is null || KeyOrder.Compare(source.Key, _current.Key) <= 0)
            {
                _current = source;
            }
        }

        if (_current is null)
        {
            return;
        }

        ReadOnlySpan<byte> key = _current.Key;
        if (key.Length is 0 or > PageLayout.KeyBytesMax
            || (_previousBytes > 0 && KeyOrder.Compare(_previous.AsSpan(0, _previousBytes), key) >= 0))
        {
            throw new InvariantException($"bucket {_bucket}: a change source is not strictly ascending");
        }
    }
}
