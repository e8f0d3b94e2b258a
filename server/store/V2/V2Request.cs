using System.Text;
using Perf.Store.Commands;

namespace Perf.Store.V2;

/// <summary>etcdserverpb.Request: a replicated operation on the v2 store. proto2: every plain field is written.</summary>
public sealed record V2Request
{
    private const int MethodField = 2;

    public ulong Id { get; init; }

    /// <summary>PUT, POST, DELETE, QGET or SYNC.</summary>
    public string Method { get; init; } = "";

    public string Path { get; init; } = "";

    public string Value { get; init; } = "";

    public bool Directory { get; init; }

    public string PrevValue { get; init; } = "";

    public ulong PrevIndex { get; init; }

    public bool? PrevExist { get; init; }

    /// <summary>Unix nanoseconds; 0 = never.</summary>
    public long Expiration { get; init; }

    public bool Wait { get; init; }

    public ulong Since { get; init; }

    public bool Recursive { get; init; }

    public bool Sorted { get; init; }

    public bool Quorum { get; init; }

    /// <summary>Of a SYNC: what expires at or before this goes. Unix nanoseconds.</summary>
    public long Time { get; init; }

    public bool Stream { get; init; }

    public bool? Refresh { get; init; }

    /// <summary>
    /// True when an entry's data is a bare v2 request and not an InternalRaftRequest: field 2 then holds a method's
    /// name, which is no message.
    /// </summary>
    public static bool IsBare(ReadOnlySpan<byte> data)
    {
        var reader = new ProtoReader(data);
        while (reader.Next())
        {
            if (reader.Field == MethodField)
            {
                return reader.IsBytes && IsMethod(reader.Bytes);
            }

            if (reader.Field > MethodField)
            {
                // Both encoders write ascending or begin with the header, field 100; a bare request has no such field.
                return false;
            }
        }

        return false;
    }

    /// <summary>Reads a request; false when the bytes are none.</summary>
    public static bool TryDecode(ReadOnlySpan<byte> data, out V2Request request)
    {
        request = new V2Request();
        var reader = new ProtoReader(data);
        while (reader.Next())
        {
            request = reader.Field switch
            {
                1 => request with { Id = reader.UInt64 },
                MethodField => request with { Method = Encoding.UTF8.GetString(reader.Bytes) },
                3 => request with { Path = Encoding.UTF8.GetString(reader.Bytes) },
                4 => request with { Value = Encoding.UTF8.GetString(reader.Bytes) },
                5 => request with { Directory = reader.Bool },
                6 => request with { PrevValue = Encoding.UTF8.GetString(reader.Bytes) },
                7 => request with { PrevIndex = reader.UInt64 },
                8 => request with { PrevExist = reader.Bool },
                9 => request with { Expiration = reader.Int64 },
                10 => request with { Wait = reader.Bool },
                11 => request with { Since = reader.UInt64 },
                12 => request with { Recursive = reader.Bool },
                13 => request with { Sorted = reader.Bool },
                14 => request with { Quorum = reader.Bool },
                15 => request with { Time = reader.Int64 },
                16 => request with { Stream = reader.Bool },
                17 => request with { Refresh = reader.Bool },
                _ => request,
            };
        }

        return !reader.Failed;
    }

    /// <summary>The request as an entry's data.</summary>
    public byte[] Encode()
    {
        var target = new ProtoBuffer(256);
        Number(target, 1, Id);
        Text(target, MethodField, Method);
        Text(target, 3, Path);
        Text(target, 4, Value);
        Number(target, 5, Directory ? 1UL : 0);
        Text(target, 6, PrevValue);
        Number(target, 7, PrevIndex);
        if (PrevExist is { } prevExist)
        {
            Number(target, 8, prevExist ? 1UL : 0);
        }

        Number(target, 9, (ulong)Expiration);
        Number(target, 10, Wait ? 1UL : 0);
        Number(target, 11, Since);
        Number(target, 12, Recursive ? 1UL : 0);
        Number(target, 13, Sorted ? 1UL : 0);
        Number(target, 14, Quorum ? 1UL : 0);
        Number(target, 15, (ulong)Time);
        Number(target, 16, Stream ? 1UL : 0);
        if (Refresh is { } refresh)
        {
            Number(target, 17, refresh ? 1UL : 0);
        }

        return target.Written.ToArray();
    }

    private static bool IsMethod(ReadOnlySpan<byte> text) =>
        text.SequenceEqual("PUT"u8)
        || text.SequenceEqual("POST"u8)
        || text.SequenceEqual("DELETE"u8)
        || text.SequenceEqual("QGET"u8)
        || text.SequenceEqual("SYNC"u8);

    private static void Text(ProtoBuffer target, int field, string value) =>
        target.Message(field, Encoding.UTF8.GetBytes(value));

    private static void Number(ProtoBuffer target, int field, ulong value)
    {
        var writer = new ProtoWriter(target.GetSpan(16));
        writer.Varint((uint)field << 3);
        writer.Varint(value);
        target.Advance(writer.Position);
    }
}
