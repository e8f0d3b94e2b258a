using System.Globalization;
using System.Text;

namespace Perf.Store.V2;

/// <summary>What a v2 operation did.</summary>
public enum V2Action
{
    Get,
    Create,
    Set,
    Update,
    Delete,
    CompareAndSwap,
    CompareAndDelete,
    Expire,
}

/// <summary>A node as the v2 API shows it: a copy, independent of the store.</summary>
public sealed class V2NodeView
{
    /// <summary>Path in the store, namespace included (<c>/1/foo</c>).</summary>
    public required string Key { get; init; }

    /// <summary>The value of a file; null for a directory.</summary>
    public string? Value { get; set; }

    public bool IsDirectory { get; set; }

    /// <summary>When it goes, unix nanoseconds; 0 = never.</summary>
    public long ExpireUnixNanos { get; set; }

    /// <summary>Seconds left, rounded up, when the view was made; 0 = never.</summary>
    public long TtlSeconds { get; set; }

    /// <summary>Children of a listed directory; null when not listed.</summary>
    public IReadOnlyList<V2NodeView>? Nodes { get; set; }

    public ulong ModifiedIndex { get; init; }

    public ulong CreatedIndex { get; init; }

    internal void AppendJson(StringBuilder target, int keyCut)
    {
        target.Append('{');
        char separator = '\0';
        string key = Key.Length > keyCut ? Key[keyCut..] : "";
        if (key.Length > 0)
        {
            Name(target, ref separator, "key");
            GoJson.AppendString(target, key);
        }

        if (Value is not null)
        {
            Name(target, ref separator, "value");
            GoJson.AppendString(target, Value);
        }

        if (IsDirectory)
        {
            Name(target, ref separator, "dir").Append("true");
        }

        if (ExpireUnixNanos != 0)
        {
            Name(target, ref separator, "expiration").Append('"').Append(GoJson.Time(ExpireUnixNanos)).Append('"');
        }

        if (TtlSeconds != 0)
        {
            Name(target, ref separator, "ttl").Append(TtlSeconds.ToString(CultureInfo.InvariantCulture));
        }

        if (Nodes is { Count: > 0 })
        {
            Name(target, ref separator, "nodes").Append('[');
            for (int i = 0; i < Nodes.Count; i++)
            {
                if (i > 0)
                {
                    target.Append(',');
                }

                Nodes[i].AppendJson(target, keyCut);
            }

            target.Append(']');
        }

        if (ModifiedIndex != 0)
        {
            Name(target, ref separator, "modifiedIndex").Append(ModifiedIndex.ToString(CultureInfo.InvariantCulture));
        }

        if (CreatedIndex != 0)
        {
            Name(target, ref separator, "createdIndex").Append(CreatedIndex.ToString(CultureInfo.InvariantCulture));
        }

        target.Append('}');
    }

    private static StringBuilder Name(StringBuilder target, ref char separator, string name)
    {
        if (separator != '\0')
        {
            target.Append(separator);
        }

        separator = ',';
        return target.Append('"').Append(name).Append("\":");
    }
}

/// <summary>One change (or answer to a read) of the v2 store.</summary>
public sealed class V2Event
{
    public required V2Action Action { get; init; }

    public required V2NodeView Node { get; init; }

    /// <summary>The node as it was before; null for something new.</summary>
    public V2NodeView? PrevNode { get; set; }

    /// <summary>The store's index when the event was made.</summary>
    public ulong EtcdIndex { get; set; }

    /// <summary>A refresh of the TTL alone: kept in the history, told to nobody.</summary>
    public bool IsRefresh { get; set; }

    /// <summary>The index under which the history knows it.</summary>
    public ulong Index => Node.ModifiedIndex;

    /// <summary>True when the operation made the node (HTTP 201).</summary>
    public bool IsCreated => Action == V2Action.Create || (Action == V2Action.Set && PrevNode is null);

    /// <summary>The event as the v2 API writes it, keys without their namespace (<c>/1</c>).</summary>
    public string ToJson(string keyPrefix = "")
    {
        var text = new StringBuilder();
        text.Append("{\"action\":\"").Append(ActionName(Action)).Append("\",\"node\":");
        Node.AppendJson(text, keyPrefix.Length);
        if (PrevNode is not null)
        {
            text.Append(",\"prevNode\":");
            PrevNode.AppendJson(text, keyPrefix.Length);
        }

        return text.Append('}').ToString();
    }

    /// <summary>The event without its nodes, for those who know what they wrote.</summary>
    public string ActionJson() => $"{{\"action\":\"{ActionName(Action)}\"}}";

    private static string ActionName(V2Action action) => action switch
    {
        V2Action.Get => "get",
        V2Action.Create => "create",
        V2Action.Set => "set",
        V2Action.Update => "update",
        V2Action.Delete => "delete",
        V2Action.CompareAndSwap => "compareAndSwap",
        V2Action.CompareAndDelete => "compareAndDelete",
        _ => "expire",
    };
}

/// <summary>The outcome of a v2 operation: an event, or the error that kept it from happening, or neither.</summary>
public readonly record struct V2Result(V2Event? Event, V2Error? Error)
{
    public static implicit operator V2Result(V2Event source) => new(source, null);

    public static implicit operator V2Result(V2Error source) => new(null, source);
}
