using System.Globalization;
using Perf.Client;
using Perf.Etcdctl.CommandLine;
using Perf.Etcdctl.Printing;
using Perf.Etcdctl.Text;

namespace Perf.Etcdctl.Commands;

/// <summary>tree and du: keys looked at as paths. Additions to etcd's own commands; both only read.</summary>
internal static class TreeCommands
{
    private const int PageKeys = 1000;

    public static Command Tree() => new Command(
        "tree [options] [prefix]",
        "Shows keys as a tree (not in etcd)",
        "Reads all keys of the prefix at one revision and shows them as a tree, cut at the separator.\n"
        + "A node that is a key itself is shown as it is, one that only leads to keys ends with the separator.\n")
    {
        Run = TreeAsync,
    }.With(CommonFlags);

    public static Command DiskUsage() => new Command(
        "du [options] [prefix]",
        "Sums up keys and bytes by prefix (not in etcd)",
        "Reads all keys and values of the prefix at one revision and prints, for each node of the tree down to the\n"
        + "depth, the number of keys and the bytes of keys and values below it; the largest first, the total last.\n"
        + "History and overhead of the store are not counted.\n")
    {
        Run = DiskUsageAsync,
    }.With(CommonFlags);

    private static void CommonFlags(FlagSet flags)
    {
        flags.String("separator", "/", "what separates the parts of a key");
        flags.Int64("depth", 0, "deepest level to show (0 for all; du shows 1)");
    }

    private static async Task TreeAsync(Invocation run)
    {
        (Session session, Node root, int depth, string separator) = await ReadAsync(run, keysOnly: true)
            .ConfigureAwait(false);
        await using Session opened = session;
        run.Terminal.WriteLine(root.Name.Length == 0 ? "." : root.Name);
        Show(root, "", depth == 0 ? int.MaxValue : depth);

        void Show(Node node, string indent, int levels)
        {
            int left = node.Children.Count;
            foreach (Node child in node.Children.Values)
            {
                bool last = --left == 0;
                run.Terminal.WriteLine(
                    indent + (last ? "`-- " : "|-- ") + child.Name + (child.IsKey ? "" : separator));
                if (levels > 1)
                {
                    Show(child, indent + (last ? "    " : "|   "), levels - 1);
                }
                else if (child.Children.Count > 0)
                {
                    run.Terminal.WriteLine($"{indent}{(last ? "    " : "|   ")}`-- ({child.Keys} keys)");
                }
            }
        }
    }

    private static async Task DiskUsageAsync(Invocation run)
    {
        (Session session, Node root, int depth, string separator) = await ReadAsync(run, keysOnly: false)
            .ConfigureAwait(false);
        await using Session opened = session;
        var lines = new List<(long Keys, long Bytes, string Name)>();
        Collect(root, root.Name, Math.Max(1, depth));
        foreach ((long keys, long bytes, string name) in lines.OrderByDescending(l => l.Bytes)
            .ThenBy(l => l.Name, StringComparer.Ordinal).Append((root.Keys, root.Bytes, "total")))
        {
            string size = Humanize.Bytes((ulong)bytes);
            run.Terminal.WriteLine($"{keys.ToString(CultureInfo.InvariantCulture),10}  {size,8}  {name}");
        }

        void Collect(Node node, string path, int levels)
        {
            foreach (Node child in node.Children.Values)
            {
                string name = path + child.Name + (child.Children.Count > 0 ? separator : "");
                lines.Add((child.Keys, child.Bytes, name));
                if (levels > 1)
                {
                    Collect(child, name, levels - 1);
                }
            }
        }
    }

    private static async Task<(Session Session, Node Root, int Depth, string Separator)> ReadAsync(
        Invocation run, bool keysOnly)
    {
        if (run.Args.Count > 1)
        {
            throw Invocation.BadArguments($"{run.Command.Name} command takes at most one prefix");
        }

        string separator = run.Text("separator");
        if (separator.Length == 0)
        {
            throw Invocation.BadArguments("the separator must not be empty");
        }

        string prefix = run.Args.Count == 0 ? "" : run.Args[0];
        Session session = await Session.OpenAsync(run).ConfigureAwait(false);
        if (session.Printer is not SimplePrinter)
        {
            await session.DisposeAsync().ConfigureAwait(false);
            throw session.Printer.Unsupported();
        }

        var root = new Node(prefix);
        Bytes start = GoText.ToBytes(prefix);
        Bytes end = start.IsEmpty ? Bytes.Zero : start.PrefixEnd();
        start = start.IsEmpty ? Bytes.Zero : start;
        long revision = 0;
        while (true)
        {
            var page = new GetOptions
            {
                RangeEnd = end,
                Limit = PageKeys,
                KeysOnly = keysOnly,
                Revision = revision,
            };
            Bytes from = start;
            GetResponse read = await session.WithinTimeoutAsync(c => session.Client.Kv.GetAsync(from, page, c))
                .ConfigureAwait(false);
            revision = revision == 0 ? read.Header.Revision : revision;
            foreach (KeyValue kv in read.Kvs)
            {
                root.Add(GoText.FromBytes(kv.Key.Span)[prefix.Length..], separator, kv.Key.Length + kv.Value.Length);
            }

            if (!read.More)
            {
                return (session, root, (int)run.Flags["depth"].Long, separator);
            }

            start = read.Kvs[^1].Key.Next();
        }
    }

    private sealed class Node(string name)
    {
        public string Name { get; } = name;

        public bool IsKey { get; private set; }

        public long Keys { get; private set; }

        public long Bytes { get; private set; }

        public SortedDictionary<string, Node> Children { get; } = new(StringComparer.Ordinal);

        public void Add(string rest, string separator, long bytes)
        {
            Node node = this;
            node.Count(bytes);
            while (rest.Length > 0)
            {
                // A separator at the very beginning belongs to the first part: "/a" is a child of the root.
                int at = rest.IndexOf(separator, Math.Min(separator.Length, rest.Length), StringComparison.Ordinal);
                string part = at < 0 ? rest : rest[..at];
                rest = at < 0 ? "" : rest[(at + separator.Length)..];
                if (!node.Children.TryGetValue(part, out Node? child))
                {
                    node.Children[part] = child = new Node(part);
                }

                node = child;
                node.Count(bytes);
            }

            node.IsKey = true;
        }

        private void Count(long bytes)
        {
            Keys++;
            Bytes += bytes;
        }
    }
}
