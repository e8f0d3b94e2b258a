namespace Perf.Store.Commands;

/// <summary>Which member of WatchRequest's union is set.</summary>
public enum WatchRequestKind
{
    None = 0,
    Create = 1,
    Cancel = 2,
    Progress = 3,
}

/// <summary>etcdserverpb.WatchRequest read in place.</summary>
public readonly ref struct WatchRequestView
{
    private WatchRequestView(WatchRequestKind kind, ReadOnlySpan<byte> body)
    {
        Kind = kind;
        Body = body;
    }

    public WatchRequestKind Kind { get; }

    /// <summary>Bytes of the request inside.</summary>
    public ReadOnlySpan<byte> Body { get; }

    /// <summary>False when the bytes are not the message.</summary>
    public static bool TryParse(ReadOnlySpan<byte> bytes, out WatchRequestView view)
    {
        var kind = WatchRequestKind.None;
        ReadOnlySpan<byte> body = default;
        var reader = new ProtoReader(bytes);
        while (reader.Next())
        {
            if (reader.Field is >= (int)WatchRequestKind.Create and <= (int)WatchRequestKind.Progress)
            {
                kind = (WatchRequestKind)reader.Field;
                body = reader.Bytes;
            }
        }
        view = new WatchRequestView(kind, body);
        return !reader.Failed;
    }
}

/// <summary>etcdserverpb.WatchCreateRequest read in place.</summary>
public readonly ref struct WatchCreateView
{
    private const int NoPutFilter = 0;
    private const int NoDeleteFilter = 1;

    public ReadOnlySpan<byte> Key { get; private init; }

    public ReadOnlySpan<byte> RangeEnd { get; private init; }

    public long StartRevision { get; private init; }

    public bool ProgressNotify { get; private init; }

    /// <summary>Filter NOPUT: leave out puts.</summary>
    public bool NoPut { get; private init; }

    /// <summary>Filter NODELETE: leave out deletes.</summary>
    public bool NoDelete { get; private init; }

    public bool PrevKv { get; private init; }

    public long WatchId { get; private init; }

    public bool Fragment { get; private init; }

    /// <summary>False when the bytes are not the message.</summary>
    public static bool TryParse(ReadOnlySpan<byte> bytes, out WatchCreateView view)
    {
        ReadOnlySpan<byte> key = default;
        ReadOnlySpan<byte> end = default;
        long start = 0;
        bool progressNotify = false;
        bool noPut = false;
        bool noDelete = false;
        bool prevKv = false;
        long watchId = 0;
        bool fragment = false;
        bool sound = true;
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
                    start = reader.Int64;
                    break;
                case 4:
                    progressNotify = reader.Bool;
                    break;
                case 5 when reader.IsVarint:
                    AddFilter(reader.Int32, ref noPut, ref noDelete);
                    break;
                case 5:
                    sound &= TryFilters(reader.Bytes, ref noPut, ref noDelete);
                    break;
                case 6:
                    prevKv = reader.Bool;
                    break;
                case 7:
                    watchId = reader.Int64;
                    break;
                case 8:
                    fragment = reader.Bool;
                    break;
            }
        }
        view = new WatchCreateView
        {
            Key = key,
            RangeEnd = end,
            StartRevision = start,
            ProgressNotify = progressNotify,
            NoPut = noPut,
            NoDelete = noDelete,
            PrevKv = prevKv,
            WatchId = watchId,
            Fragment = fragment,
        };
        return sound && !reader.Failed;
    }

    /// <summary>Packed enums are bare varints: read each as the value of a field that we put in front.</summary>
    private static bool TryFilters(ReadOnlySpan<byte> packed, ref bool noPut, ref bool noDelete)
    {
        Span<byte> field = stackalloc byte[11];
        field[0] = 1 << 3;
        while (!packed.IsEmpty)
        {
            int bytes = packed.IndexOfAnyInRange((byte)0, (byte)0x7F) + 1;
            if (bytes is 0 or > 10)
            {
                return false;
            }
            packed[..bytes].CopyTo(field[1..]);
            var reader = new ProtoReader(field[..(bytes + 1)]);
            if (!reader.Next())
            {
                return false;
            }
            AddFilter(reader.Int32, ref noPut, ref noDelete);
            packed = packed[bytes..];
        }
        return true;
    }

    private static void AddFilter(int filter, ref bool noPut, ref bool noDelete)
    {
        noPut |= filter == NoPutFilter;
        noDelete |= filter == NoDeleteFilter;
    }
}

/// <summary>etcdserverpb.WatchCancelRequest.</summary>
public readonly record struct WatchCancelView(long WatchId)
{
    /// <summary>False when the bytes are not the message.</summary>
    public static bool TryParse(ReadOnlySpan<byte> bytes, out WatchCancelView view)
    {
        bool sound = NumberPair.TryParse(bytes, out long id, out _);
        view = new WatchCancelView(id);
        return sound;
    }
}
