using System.Buffers;
using Perf.Engine;
using Perf.Engine.Wal;
using Perf.Raft;
using Perf.Store.Apply;
using Perf.Store.Commands;
using Perf.Store.V2;

namespace Perf.Etcdutl.Files;

/// <summary>The entries of a log and its last hard state, in memory.</summary>
internal sealed class LogEntries(string walDir) : IWalVisitor
{
    private readonly List<Entry> _entries = [];

    /// <summary>Ascending by index.</summary>
    public IReadOnlyList<Entry> All => _entries;

    public ulong Term { get; private set; }

    public ulong Vote { get; private set; }

    public ulong Commit { get; private set; }

    public void OnEntry(ulong index, ulong term, ReadOnlySpan<byte> encodedEntry) =>
        _entries.Add(EntryCodec.TryRead(encodedEntry.ToArray(), null, out Entry entry) == OperationStatus.Done
            ? entry
            : throw new CorruptionException(walDir, 0, $"entry {index} is not a raft entry"));

    public void OnTruncate(ulong index) => _entries.RemoveAll(e => e.Index >= index);

    public void OnHardState(ulong term, ulong vote, ulong commit) => (Term, Vote, Commit) = (term, vote, commit);

    public void OnSnapshot(ulong index, ulong term, ReadOnlySpan<byte> confState)
    {
    }
}

/// <summary>What a normal entry asks for: a request of the v2 interface, or one field of an InternalRaftRequest.</summary>
internal readonly record struct LogRequest(int Field, V2Request? V2)
{
    /// <summary>The members tell of themselves and of the cluster's version by v2 requests too.</summary>
    public bool IsOfTheCluster => V2 is null
        ? Field is InternalField.ClusterVersionSet or InternalField.ClusterMemberAttrSet or InternalField.DowngradeInfoSet
        : V2.Method == "PUT"
            && (V2.Path == "/0/version"
                || (V2.Path.StartsWith("/0/members/", StringComparison.Ordinal)
                    && V2.Path.EndsWith("/attributes", StringComparison.Ordinal)));

    /// <summary>Null for an entry without a request: empty, or a change of the members.</summary>
    public static LogRequest? Of(Entry entry)
    {
        if (entry.Type != EntryType.Normal || entry.Data.Length == 0)
        {
            return null;
        }

        EntryView view = EntryView.Of(entry.Data.Span);
        return view.Kind switch
        {
            EntryKind.Request => new LogRequest(view.Request.Field, null),
            EntryKind.V2 when V2Request.TryDecode(view.V2, out V2Request v2) => new LogRequest(InternalField.V2, v2),
            EntryKind.V2 => throw new InvalidDataException($"entry {entry.Index} holds no v2 request"),
            _ => throw new InvalidDataException($"entry {entry.Index} holds no request"),
        };
    }
}
