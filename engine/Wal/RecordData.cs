namespace Perf.Engine.Wal;

/// <summary>
/// The data of records, as far as the log itself looks at it. Strict on purpose: a record's kind is not covered by its
/// checksum, so data of one kind must not pass for another (an entry whose kind byte lost a bit would otherwise be
/// taken for a hard state).
/// </summary>
internal static class RecordData
{
    private const int Varint = 0;
    private const int Bytes = 2;

    /// <summary>raftpb.Entry: 1 type, 2 term, 3 index, 4 data (absent in a leader's first entry).</summary>
    public static bool TryReadEntry(ReadOnlySpan<byte> source, out ulong term, out ulong index)
    {
        ulong type = 0;
        term = 0;
        index = 0;
        bool hasData = false;
        int at = 0;
        while (at < source.Length)
        {
            if (!TryReadField(source, ref at, out int number, out int wire, out ulong value))
            {
                return false;
            }

            switch (number, wire)
            {
                case (1, Varint):
                    type = value;
                    break;
                case (2, Varint):
                    term = value;
                    break;
                case (3, Varint):
                    index = value;
                    break;
                case (4, Bytes):
                    hasData = true;
                    break;
                default:
                    return false;
            }
        }

        // A configuration change without a body is never proposed; a hard state would look like one.
        return type <= 2 && term > 0 && index > 0 && (type == 0 || hasData);
    }

    /// <summary>raftpb.HardState: 1 term, 2 vote, 3 commit, always all three.</summary>
    public static bool TryReadState(ReadOnlySpan<byte> source, out ulong term, out ulong vote, out ulong commit)
    {
        term = 0;
        vote = 0;
        commit = 0;
        int seen = 0;
        int at = 0;
        while (at < source.Length)
        {
            if (!TryReadField(source, ref at, out int number, out int wire, out ulong value) || wire != Varint)
            {
                return false;
            }

            switch (number)
            {
                case 1:
                    term = value;
                    break;
                case 2:
                    vote = value;
                    break;
                case 3:
                    commit = value;
                    break;
                default:
                    return false;
            }

            seen |= 1 << number;
        }

        return seen == 0b1110 && (term > 0 || vote == 0);
    }

    public const int StateBytesMax = 33;

    public static int WriteState(Span<byte> target, ulong term, ulong vote, ulong commit)
    {
        int at = 0;
        target[at++] = 0x08;
        at += WalFormat.WriteVarint(target[at..], term);
        target[at++] = 0x10;
        at += WalFormat.WriteVarint(target[at..], vote);
        target[at++] = 0x18;
        at += WalFormat.WriteVarint(target[at..], commit);
        return at;
    }

    /// <summary>walpb.Snapshot: 1 index, 2 term, 3 encoded ConfState (since 3.5).</summary>
    public static bool TryReadSnapshot(
        ReadOnlySpan<byte> source, out ulong index, out ulong term, out ReadOnlySpan<byte> confState)
    {
        index = 0;
        term = 0;
        confState = default;
        int at = 0;
        while (at < source.Length)
        {
            if (!TryReadField(source, ref at, out int number, out int wire, out ulong value))
            {
                return false;
            }

            switch (number, wire)
            {
                case (1, Varint):
                    index = value;
                    break;
                case (2, Varint):
                    term = value;
                    break;
                case (3, Bytes):
                    confState = source.Slice(at - (int)value, (int)value);
                    break;
                default:
                    return false;
            }
        }

        return true;
    }

    public static int SnapshotBytesMax(int confStateBytes) => 33 + confStateBytes;

    /// <summary>Writes a snapshot record's data; an empty ConfState is left out, as etcd 3.4 and (0, 0) have it.</summary>
    public static int WriteSnapshot(Span<byte> target, ulong index, ulong term, ReadOnlySpan<byte> confState)
    {
        int at = 0;
        target[at++] = 0x08;
        at += WalFormat.WriteVarint(target[at..], index);
        target[at++] = 0x10;
        at += WalFormat.WriteVarint(target[at..], term);
        if (!confState.IsEmpty)
        {
            target[at++] = 0x1a;
            at += WalFormat.WriteVarint(target[at..], (uint)confState.Length);
            confState.CopyTo(target[at..]);
            at += confState.Length;
        }

        return at;
    }

    /// <summary>etcd's metadata: 1 node id, 2 cluster id.</summary>
    public static bool TryReadMetadata(ReadOnlySpan<byte> source, out ulong nodeId, out ulong clusterId)
    {
        nodeId = 0;
        clusterId = 0;
        int at = 0;
        while (at < source.Length)
        {
            if (!TryReadField(source, ref at, out int number, out int wire, out ulong value) || wire != Varint)
            {
                return false;
            }

            switch (number)
            {
                case 1:
                    nodeId = value;
                    break;
                case 2:
                    clusterId = value;
                    break;
                default:
                    return false;
            }
        }

        return true;
    }

    public const int MetadataBytesMax = 22;

    public static int WriteMetadata(Span<byte> target, ulong nodeId, ulong clusterId)
    {
        int at = 0;
        target[at++] = 0x08;
        at += WalFormat.WriteVarint(target[at..], nodeId);
        target[at++] = 0x10;
        at += WalFormat.WriteVarint(target[at..], clusterId);
        return at;
    }

    /// <summary>
    /// Reads one field. Varint: its value. Bytes: its length, with <paramref name="at"/> behind the content.
    /// </summary>
    private static bool TryReadField(
        ReadOnlySpan<byte> source, ref int at, out int number, out int wire, out ulong value)
    {
        number = 0;
        wire = 0;
        if (!WalFormat.TryReadVarint(source, ref at, out ulong tag)
            || !WalFormat.TryReadVarint(source, ref at, out value))
        {
            value = 0;
            return false;
        }

        number = tag > 127 ? -1 : (int)tag >> 3;
        wire = (int)tag & 7;
        if (wire == Bytes)
        {
            if (value > (ulong)(source.Length - at))
            {
                return false;
            }

            at += (int)value;
        }

        return true;
    }
}
