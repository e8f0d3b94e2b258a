using System.Globalization;
using System.Text;
using System.Text.Json;

namespace Perf.Store.V2;

/// <summary>The store as the JSON document inside a raft snapshot (etcd's own layout, current version 2).</summary>
public sealed partial class V2Store
{
    /// <summary>As deep as Go reads; directories nest half as deep, since node and Children are one level each.</summary>
    private const int JsonDepthMax = 10_000;

    /// <summary>
    /// Saves the whole tree. Left out are the watchers' history and the statistics: etcd starts with empty ones when
    /// they are absent, and would refuse a history that is not exactly full-sized.
    /// </summary>
    public byte[] Save()
    {
        var text = new StringBuilder(4096);
        lock (_gate)
        {
            text.Append("{\"Root\":");
            AppendNode(text, _root);
            text.Append(",\"CurrentIndex\":").Append(_currentIndex.ToString(CultureInfo.InvariantCulture));
            text.Append(",\"CurrentVersion\":2}");
        }

        return Encoding.UTF8.GetBytes(text.ToString());
    }

    /// <summary>Replaces everything by a saved store. Throws <see cref="InvalidDataException"/> and changes nothing
    /// when the document is not one. The history starts empty.</summary>
    public void Load(ReadOnlySpan<byte> json)
    {
        using var document = GoJson.Parse(json, JsonDepthMax);
        if (!GoJson.TryGet(document.RootElement, "Root", out var rootJson))
        {
            throw new InvalidDataException("v2 snapshot: no Root");
        }

        var expiring = new List<V2Node>();
        var root = ReadNode(rootJson, "/", null, expiring);
        if (!root.IsDirectory)
        {
            throw new InvalidDataException("v2 snapshot: Root is not a directory");
        }

        ulong currentIndex = GoJson.UInt64(document.RootElement, "CurrentIndex");
        lock (_gate)
        {
            _root = root;
            _currentIndex = currentIndex;
            _history = new V2History();
            _expiring.Clear();
            foreach (var node in expiring)
            {
                _expiring.Add(node);
            }

            AddNamespaces();
        }
    }

    /// <summary>Back to the empty store.</summary>
    public void Clear()
    {
        lock (_gate)
        {
            _root = V2Node.Directory("/", 0, null, 0);
            _currentIndex = 0;
            _history = new V2History();
            _expiring.Clear();
            AddNamespaces();
        }
    }

    private static void AppendNode(StringBuilder target, V2Node node)
    {
        target.Append("{\"Path\":");
        GoJson.AppendString(target, node.Path);
        target.Append(",\"CreatedIndex\":").Append(node.CreatedIndex.ToString(CultureInfo.InvariantCulture));
        target.Append(",\"ModifiedIndex\":").Append(node.ModifiedIndex.ToString(CultureInfo.InvariantCulture));
        target.Append(",\"ExpireTime\":\"").Append(GoJson.Time(node.ExpireUnixNanos)).Append("\",\"Value\":");
        GoJson.AppendString(target, node.Value);
        target.Append(",\"Children\":");
        if (node.Children is null)
        {
            target.Append("null}");
            return;
        }

        target.Append('{');
        bool first = true;
        foreach (var (name, child) in node.Children)
        {
            if (!first)
            {
                target.Append(',');
            }

            first = false;
            GoJson.AppendString(target, name);
            target.Append(':');
            AppendNode(target, child);
        }

        target.Append("}}");
    }

    private static V2Node ReadNode(JsonElement source, string path, V2Node? parent, List<V2Node> expiring)
    {
        bool isDirectory = GoJson.TryGet(source, "Children", out var children);
        string expireText = GoJson.String(source, "ExpireTime");
        long expireUnixNanos = expireText.Length == 0 ? 0 : GoJson.ParseTime(expireText);
        ulong createdIndex = GoJson.UInt64(source, "CreatedIndex");

        // The path follows from the place in the tree; a document that says otherwise would make two names for one node.
        var node = isDirectory
            ? V2Node.Directory(path, createdIndex, parent, expireUnixNanos)
            : V2Node.File(path, GoJson.String(source, "Value"), createdIndex, parent!, expireUnixNanos);
        node.ModifiedIndex = GoJson.UInt64(source, "ModifiedIndex");
        if (!node.IsPermanent)
        {
            expiring.Add(node);
        }

        if (isDirectory)
        {
            if (children.ValueKind != JsonValueKind.Object)
            {
                throw new InvalidDataException($"v2 snapshot: the children of {path} are {children.ValueKind}, expected an object");
            }

            foreach (var child in children.EnumerateObject())
            {
                string name = GoJson.Name(child);
                if (name.Length == 0 || name.Contains('/'))
                {
                    throw new InvalidDataException($"v2 snapshot: \"{name}\" under {path} is not a name");
                }

                if (!node.Children!.TryAdd(name, ReadNode(child.Value, Below(node, name), node, expiring)))
                {
                    throw new InvalidDataException($"v2 snapshot: \"{name}\" appears twice under {path}");
                }
            }
        }

        return node;
    }
}
