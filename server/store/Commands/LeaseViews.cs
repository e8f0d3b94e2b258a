namespace Perf.Store.Commands;

/// <summary>etcdserverpb.LeaseGrantRequest.</summary>
public readonly record struct LeaseGrantView(long Ttl, long Id)
{
    /// <summary>False when the bytes are not the message.</summary>
    public static bool TryParse(ReadOnlySpan<byte> bytes, out LeaseGrantView view)
    {
        bool sound = NumberPair.TryParse(bytes, out long ttl, out long id);
        view = new LeaseGrantView(ttl, id);
        return sound;
    }
}

/// <summary>etcdserverpb.LeaseRevokeRequest.</summary>
public readonly record struct LeaseRevokeView(long Id)
{
    /// <summary>False when the bytes are not the message.</summary>
    public static bool TryParse(ReadOnlySpan<byte> bytes, out LeaseRevokeView view)
    {
        bool sound = NumberPair.TryParse(bytes, out long id, out _);
        view = new LeaseRevokeView(id);
        return sound;
    }
}

/// <summary>etcdserverpb.LeaseKeepAliveRequest.</summary>
public readonly record struct LeaseKeepAliveView(long Id)
{
    /// <summary>False when the bytes are not the message.</summary>
    public static bool TryParse(ReadOnlySpan<byte> bytes, out LeaseKeepAliveView view)
    {
        bool sound = NumberPair.TryParse(bytes, out long id, out _);
        view = new LeaseKeepAliveView(id);
        return sound;
    }
}

/// <summary>etcdserverpb.LeaseTimeToLiveRequest.</summary>
public readonly record struct LeaseTimeToLiveView(long Id, bool Keys)
{
    /// <summary>False when the bytes are not the message.</summary>
    public static bool TryParse(ReadOnlySpan<byte> bytes, out LeaseTimeToLiveView view)
    {
        bool sound = NumberPair.TryParse(bytes, out long id, out long keys);
        view = new LeaseTimeToLiveView(id, keys != 0);
        return sound;
    }
}

/// <summary>etcdserverpb.LeaseCheckpoint: what is left of one lease.</summary>
public readonly record struct LeaseCheckpointView(long Id, long RemainingTtl)
{
    /// <summary>False when the bytes are not the message.</summary>
    public static bool TryParse(ReadOnlySpan<byte> bytes, out LeaseCheckpointView view)
    {
        bool sound = NumberPair.TryParse(bytes, out long id, out long remaining);
        view = new LeaseCheckpointView(id, remaining);
        return sound;
    }
}

/// <summary>The checkpoints of an etcdserverpb.LeaseCheckpointRequest, in order. Use with foreach.</summary>
public ref struct LeaseCheckpoints
{
    private ProtoReader _reader;
    private LeaseCheckpointView _current;

    public LeaseCheckpoints(ReadOnlySpan<byte> request)
    {
        _reader = new ProtoReader(request);
        _current = default;
    }

    public readonly LeaseCheckpointView Current => _current;

    /// <summary>The enumeration stopped at bytes that are not the message.</summary>
    public bool Failed { get; private set; }

    public readonly LeaseCheckpoints GetEnumerator() => this;

    public bool MoveNext()
    {
        while (_reader.Next())
        {
            if (_reader.Field != 1)
            {
                continue;
            }
            if (!_reader.IsBytes || !LeaseCheckpointView.TryParse(_reader.Bytes, out _current))
            {
                Failed = true;
                return false;
            }
            return true;
        }
        Failed |= _reader.Failed;
        return false;
    }
}

/// <summary>Several requests are no more than the varints 1 and 2.</summary>
internal static class NumberPair
{
    public static bool TryParse(ReadOnlySpan<byte> bytes, out long first, out long second)
    {
        first = 0;
        second = 0;
        var reader = new ProtoReader(bytes);
        while (reader.Next())
        {
            switch (reader.Field)
            {
                case 1:
                    first = reader.Int64;
                    break;
                case 2:
                    second = reader.Int64;
                    break;
            }
        }
        return !reader.Failed;
    }
}
