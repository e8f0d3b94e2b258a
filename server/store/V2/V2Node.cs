namespace Perf.Store.V2;

/// <summary>A file or a directory of the v2 tree.</summary>
internal sealed class V2Node
{
    public required string Path { get; init; }

    public ulong CreatedIndex { get; init; }

    public ulong ModifiedIndex { get; set; }

    /// <summary>Unix nanoseconds; 0 = permanent. Part of the node's place in the store's expiry order.</summary>
    public long ExpireUnixNanos { get; set; }

    public string Value { get; set; } = "";

    public V2Node? Parent { get; init; }

    /// <summary>By last path element, in ordinal order; null for a file.</summary>
    public SortedDictionary<string, V2Node>? Children { get; init; }

    public bool IsDirectory => Children is not null;

    public bool IsPermanent => ExpireUnixNanos == 0;

    /// <summary>Listings leave it out.</summary>
    public bool IsHidden => V2Path.Name(Path).StartsWith('_');

    public static V2Node File(string path, string value, ulong index, V2Node parent, long expireUnixNanos) => new()
    {
        Path = path,
        CreatedIndex = index,
        ModifiedIndex = index,
        Parent = parent,
        ExpireUnixNanos = expireUnixNanos,
        Value = value,
    };

    public static V2Node Directory(string path, ulong index, V2Node? parent, long expireUnixNanos) => new()
    {
        Path = path,
        CreatedIndex = index,
        ModifiedIndex = index,
        Parent = parent,
        ExpireUnixNanos = expireUnixNanos,
        Children = new SortedDictionary<string, V2Node>(StringComparer.Ordinal),
    };
}
