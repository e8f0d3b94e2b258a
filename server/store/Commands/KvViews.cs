namespace Perf.Store.Commands;

/// <summary>etcdserverpb.PutRequest read in place.</summary>
public readonly ref struct PutView
{
    public ReadOnlySpan<byte> Key { get; private init; }

    public ReadOnlySpan<byte> Value { get; private init; }

    public long Lease { get; private init; }

    public bool PrevKv { get; private init; }

    public bool IgnoreValue { get; private init; }

    public bool IgnoreLease { get; private init; }

    /// <summary>False when the bytes are not the message.</summary>
    public static bool TryParse(ReadOnlySpan<byte> bytes, out PutView view)
    {
        ReadOnlySpan<byte> key = default;
        ReadOnlySpan<byte> value = default;
        long lease = 0;
        bool prevKv = false;
        bool ignoreValue = false;
        bool ignoreLease = false;
        var reader = new ProtoReader(bytes);
        while (reader.Next())
        {
            switch (reader.Field)
            {
                case 1:
                    key = reader.Bytes;
                    break;
                case 2:
                    value = reader.Bytes;
                    break;
                case 3:
                    lease = reader.Int64;
                    break;
                case 4:
                    prevKv = reader.Bool;
                    break;
                case 5:
                    ignoreValue = reader.Bool;
                    break;
                case 6:
                    ignoreLease = reader.Bool;
                    break;
            }
        }
        view = new PutView
        {
            Key = key,
            Value = value,
            Lease = lease,
            PrevKv = prevKv,
            IgnoreValue = ignoreValue,
            IgnoreLease = ignoreLease,
        };
        return !reader.Failed;
    }
}

/// <summary>RangeRequest.SortOrder.</summary>
public enum SortOrder
{
    None = 0,
    Ascend = 1,
    Descend = 2,
}

/// <summary>RangeRequest.SortTarget.</summary>
public enum SortTarget
{
    Key = 0,
    Version = 1,
    Create = 2,
    Mod = 3,
    Value = 4,
}

/// <summary>etcdserverpb.RangeRequest read in place.</summary>
public readonly ref struct RangeView
{
    public ReadOnlySpan<byte> Key { get; private init; }

    public ReadOnlySpan<byte> RangeEnd { get; private init; }

    public long Limit { get; private init; }

    public long Revision { get; private init; }

    public SortOrder SortOrder { get; private init; }

    public SortTarget SortTarget { get; private init; }

    public bool Serializable { get; private init; }

    public bool KeysOnly { get; private init; }

    public bool CountOnly { get; private init; }

    public long MinModRevision { get; private init; }

    public long MaxModRevision { get; private init; }

    public long MinCreateRevision { get; private init; }

    public long MaxCreateRevision { get; private init; }

    /// <summary>True when any of the four revision filters is given.</summary>
    public bool HasRevisionFilter =>
        (MinModRevision | MaxModRevision | MinCreateRevision | MaxCreateRevision) != 0;

    /// <summary>False when the bytes are not the message.</summary>
    public static bool TryParse(ReadOnlySpan<byte> bytes, out RangeView view)
    {
        ReadOnlySpan<byte> key = default;
        ReadOnlySpan<byte> end = default;
        long limit = 0;
        long revision = 0;
        int order = 0;
        int target = 0;
        bool serializable = false;
        bool keysOnly = false;
        bool countOnly = false;
        long minMod = 0;
        long maxMod = 0;
        long minCreate = 0;
        long maxCreate = 0;
        var reader = new ProtoReader(bytes);
        while (reader.Next())
        {
            switch (reader.Field)
            {
                case 1:
                    key = reader.Bytes;
                    break;
                case 2:
                    end = reader.Bytes;
                    break;
                case 3:
                    limit = reader.Int64;
                    break;
                case 4:
                    revision = reader.Int64;
                    break;
                case 5:
                    order = reader.Int32;
                    break;
                case 6:
                    target = reader.Int32;
                    break;
                case 7:
                    serializable = reader.Bool;
                    break;
                case 8:
                    keysOnly = reader.Bool;
                    break;
                case 9:
                    countOnly = reader.Bool;
                    break;
                case 10:
                    minMod = reader.Int64;
                    break;
                case 11:
                    maxMod = reader.Int64;
                    break;
                case 12:
                    minCreate = reader.Int64;
                    break;
                case 13:
                    maxCreate = reader.Int64;
                    break;
            }
        }
        view = new RangeView
        {
            Key = key,
            RangeEnd = end,
            Limit = limit,
            Revision = revision,
            SortOrder = (SortOrder)order,
            SortTarget = (SortTarget)target,
            Serializable = serializable,
            KeysOnly = keysOnly,
            CountOnly = countOnly,
            MinModRevision = minMod,
            MaxModRevision = maxMod,
            MinCreateRevision = minCreate,
            MaxCreateRevision = maxCreate,
        };
        return !reader.Failed;
    }
}

/// <summary>etcdserverpb.DeleteRangeRequest read in place.</summary>
public readonly ref struct DeleteRangeView
{
    public ReadOnlySpan<byte> Key { get; private init; }

    public ReadOnlySpan<byte> RangeEnd { get; private init; }

    public bool PrevKv { get; private init; }

    /// <summary>False when the bytes are not the message.</summary>
    public static bool TryParse(ReadOnlySpan<byte> bytes, out DeleteRangeView view)
    {
        ReadOnlySpan<byte> key = default;
        ReadOnlySpan<byte> end = default;
        bool prevKv = false;
        var reader = new ProtoReader(bytes);
        while (reader.Next())
        {
            switch (reader.Field)
            {
                case 1:
                    key = reader.Bytes;
                    break;
                case 2:
                    end = reader.Bytes;
                    break;
                case 3:
                    prevKv = reader.Bool;
                    break;
            }
        }
        view = new DeleteRangeView { Key = key, RangeEnd = end, PrevKv = prevKv };
        return !reader.Failed;
    }
}

/// <summary>etcdserverpb.CompactionRequest read in place.</summary>
public readonly record struct CompactionView(long Revision, bool Physical)
{
    /// <summary>False when the bytes are not the message.</summary>
    public static bool TryParse(ReadOnlySpan<byte> bytes, out CompactionView view)
    {
        long revision = 0;
        bool physical = false;
        var reader = new ProtoReader(bytes);
        while (reader.Next())
        {
            switch (reader.Field)
            {
                case 1:
                    revision = reader.Int64;
                    break;
                case 2:
                    physical = reader.Bool;
                    break;
            }
        }
        view = new CompactionView(revision, physical);
        return !reader.Failed;
    }
}
