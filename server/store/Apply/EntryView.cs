using Perf.Store.Commands;
using Perf.Store.V2;

namespace Perf.Store.Apply;

/// <summary>What kind of thing a normal entry of the log holds.</summary>
public enum EntryKind : byte
{
    /// <summary>Nothing: a leader's first entry.</summary>
    Empty,

    /// <summary>An InternalRaftRequest of the v3 interface.</summary>
    Request,

    /// <summary>A request of the v2 interface, bare or inside of an InternalRaftRequest.</summary>
    V2,

    /// <summary>Bytes that are none of these.</summary>
    Malformed,
}

/// <summary>
/// A normal entry's data, told apart and parsed in place: once, for the loop that looks for who waits as for the state
/// machine. Lives as long as the bytes.
/// </summary>
public readonly ref struct EntryView
{
    private readonly InternalRequestView _request;

    private EntryView(EntryKind kind, ReadOnlySpan<byte> v2)
    {
        Kind = kind;
        V2 = v2;
    }

    private EntryView(scoped in InternalRequestView request)
    {
        Kind = EntryKind.Request;
        _request = request;
    }

    /// <summary>What it holds.</summary>
    public EntryKind Kind { get; }

    /// <summary>The request of <see cref="EntryKind.Request"/>.</summary>
    [System.Diagnostics.CodeAnalysis.UnscopedRef]
    public ref readonly InternalRequestView Request => ref _request;

    /// <summary>The bytes of <see cref="EntryKind.V2"/>, not looked into yet.</summary>
    public ReadOnlySpan<byte> V2 { get; }

    /// <summary>Never fails: what cannot be read is <see cref="EntryKind.Malformed"/>.</summary>
    public static EntryView Of(ReadOnlySpan<byte> data)
    {
        if (data.IsEmpty)
        {
            return default;
        }

        if (V2Request.IsBare(data))
        {
            return new EntryView(EntryKind.V2, data);
        }

        return !InternalRequestView.TryParse(data, out InternalRequestView request)
            ? new EntryView(EntryKind.Malformed, default)
            : request.Field == InternalField.V2
                ? new EntryView(EntryKind.V2, request.Body)
                : new EntryView(request);
    }
}
