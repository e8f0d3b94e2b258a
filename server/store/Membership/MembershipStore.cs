using System.Buffers.Text;
using System.Globalization;
using System.Text;
using Perf.Store.Apply;
using Perf.Store.Backend;
using Perf.Store.V2;

namespace Perf.Store.Membership;

/// <summary>
/// The members of the cluster: one table, changed by applied entries alone, committed with the data (buckets
/// members, members_removed, cluster, and meta's confState) and projected into the v2 store, from which raft
/// snapshots and older etcds take it. Changed by the apply thread; <see cref="Current"/> may be read anywhere.
///
/// At start the table is what the newest .snap says, and all later entries are applied to it again, as etcd does;
/// buckets are written only by entries that they do not contain yet. When the replay meets the buckets' own index,
/// <see cref="Reconcile"/> makes them agree with the table: older etcds left promotions and removals out of them.
/// </summary>
public sealed class MembershipStore
{
    private const string MembersPath = "/0/members";
    private const string RemovedPath = "/0/removed_members";
    private const string VersionPath = "/0/version";
    private const string RaftAttributes = "raftAttributes";
    private const string Attributes = "attributes";

    private static readonly byte[] RemovedValue = "removed"u8.ToArray();

    private readonly IStateBuckets _buckets;
    private readonly V2Store _v2;
    private readonly int _learnersMax;
    private volatile MembershipView _current = MembershipView.Empty;

    /// <summary>An empty table over buckets and a v2 store that it keeps in step.</summary>
    public MembershipStore(IStateBuckets buckets, V2Store v2, int learnersMax = 1)
    {
        _buckets = buckets;
        _v2 = v2;
        _learnersMax = learnersMax;
        _current = _current.With(StoredDowngrade());
    }

    /// <summary>The table as of the last applied entry.</summary>
    public MembershipView Current => _current;

    /// <summary>
    /// Takes the table from the v2 store, just loaded from a .snap. Throws <see cref="InvalidDataException"/> when
    /// what is there is no member table.
    /// </summary>
    public void Recover()
    {
        var byId = new SortedDictionary<ulong, Member>();
        foreach (var node in Children(MembersPath))
        {
            var member = new Member { Id = IdOf(node) };
            bool hasRaftAttributes = false;
            foreach (var child in node.Nodes ?? [])
            {
                switch (V2Path.Name(child.Key))
                {
                    case RaftAttributes:
                        member = member.WithRaftAttributes(child.Value ?? "");
                        hasRaftAttributes = true;
                        break;
                    case Attributes:
                        member = member.WithAttributes(child.Value ?? "");
                        break;
                    default:
                        throw new InvalidDataException($"v2 snapshot: unknown key {child.Key}");
                }
            }

            if (!hasRaftAttributes)
            {
                throw new InvalidDataException($"v2 snapshot: {node.Key} has no {RaftAttributes}");
            }

            byId.Add(member.Id, member);
        }

        var removed = new SortedSet<ulong>(Children(RemovedPath).Select(IdOf));
        SemanticVersion? version = null;
        if (_v2.Get(VersionPath, recursive: false, sorted: false).Event is { } found)
        {
            version = SemanticVersion.TryParse(found.Node.Value ?? "", out var parsed)
                ? parsed
                : throw new InvalidDataException($"v2 snapshot: cluster version \"{found.Node.Value}\"");
        }

        _current = new MembershipView(byId, removed, version, StoredDowngrade());
    }

    /// <summary>Why a conf change must not happen; <see cref="StoreError.None"/> when it may. The same on every
    /// member: depends on the table alone.</summary>
    public StoreError Validate(ConfChange change)
    {
        var view = _current;
        if (view.IsRemoved(change.NodeId))
        {
            return StoreError.MemberIdRemoved;
        }

        var existing = view.Find(change.NodeId);
        switch (change.Kind)
        {
            case ConfChangeKind.AddNode or ConfChangeKind.AddLearnerNode when change.IsPromote:
                return existing is null ? StoreError.MemberNotFound
                    : existing.IsLearner ? StoreError.None
                    : StoreError.MemberNotLearner;

            case ConfChangeKind.AddNode or ConfChangeKind.AddLearnerNode:
                if (existing is not null)
                {
                    return StoreError.MemberExist;
                }

                if (UsesPeerUrl(view, change.Member!, except: 0))
                {
                    return StoreError.PeerUrlExist;
                }

                return change.Member!.IsLearner && view.LearnerIds.Count() + 1 > _learnersMax
                    ? StoreError.TooManyLearners
                    : StoreError.None;

            case ConfChangeKind.RemoveNode:
                return existing is null ? StoreError.MemberNotFound : StoreError.None;

            default:
                return existing is null ? StoreError.MemberNotFound
                    : UsesPeerUrl(view, change.Member!, except: change.NodeId) ? StoreError.PeerUrlExist
                    : StoreError.None;
        }
    }

    /// <summary>
    /// Applies a conf change, or refuses it: then nothing has changed, and raft is to be told node id 0.
    /// <paramref name="persist"/>: the buckets do not hold this entry yet.
    /// </summary>
    public StoreError Apply(ConfChange change, bool persist)
    {
        var refusal = Validate(change);
        if (refusal != StoreError.None)
        {
            return refusal;
        }

        switch (change.Kind)
        {
            case ConfChangeKind.AddNode or ConfChangeKind.AddLearnerNode when change.IsPromote:
                UpdateRaftAttributes(_current.Find(change.NodeId)! with { IsLearner = false }, persist);
                break;

            case ConfChangeKind.AddNode or ConfChangeKind.AddLearnerNode:
                var member = change.Member!;
                _v2.Create(Path(member.Id, RaftAttributes), directory: false, member.RaftAttributesJson(), unique: false, 0);
                Keep(member, persist);
                break;

            case ConfChangeKind.RemoveNode:
                if (_v2.Delete(Path(change.NodeId), directory: true, recursive: true).Error is null)
                {
                    _v2.Create($"{RemovedPath}/{MemberIds.Hex(change.NodeId)}", directory: false, "", unique: false, 0);
                }

                _current = _current.WithRemoved(change.NodeId);
                if (persist)
                {
                    _buckets.Delete(Buckets.Members, Key(change.NodeId));
                    _buckets.Put(Buckets.MembersRemoved, Key(change.NodeId), RemovedValue);
                }

                break;

            default:
                // An update speaks of peer URLs alone: it must not promote a learner.
#if MUTANTS
                if (Mutant.Is("19-update-promotes-learner"))
                {
                    UpdateRaftAttributes(_current.Find(change.NodeId)! with { PeerUrls = change.Member!.PeerUrls, IsLearner = false }, persist);
                    break;
                }
#endif
                UpdateRaftAttributes(_current.Find(change.NodeId)! with { PeerUrls = change.Member!.PeerUrls }, persist);
                break;
        }

        if (persist)
        {
            PutConfState();
        }

        return StoreError.None;
    }

    /// <summary>Sets what a member told of itself. A removed member's last words are ignored.</summary>
    public StoreError SetAttributes(ulong id, string name, IReadOnlyList<string> clientUrls, bool persist)
    {
        if (_current.Find(id) is not { } member)
        {
            return _current.IsRemoved(id) ? StoreError.None : StoreError.MemberNotFound;
        }

        member = member with { Name = name, ClientUrls = clientUrls };
        _v2.Set(Path(id, Attributes), directory: false, member.AttributesJson(), 0);
        Keep(member, persist);
        return StoreError.None;
    }

    /// <summary>Sets the cluster version.</summary>
    public void SetVersion(SemanticVersion version, bool persist)
    {
        _v2.Set(VersionPath, directory: false, version.ToString(), 0);
        _current = _current.With(version);
        if (persist)
        {
            _buckets.Put(Buckets.Cluster, "clusterVersion"u8, Encoding.ASCII.GetBytes(version.ToString()));
        }
    }

    /// <summary>Records that a downgrade is allowed, or no longer.</summary>
    public void SetDowngrade(DowngradeInfo downgrade, bool persist)
    {
        _current = _current.With(downgrade);
        if (persist)
        {
            var text = new StringBuilder("{\"target-version\":");
            GoJson.AppendString(text, downgrade.TargetVersion);
            text.Append(",\"enabled\":").Append(downgrade.Enabled ? "true" : "false").Append('}');
            _buckets.Put(Buckets.Cluster, "downgrade"u8, Encoding.UTF8.GetBytes(text.ToString()));
        }
    }

    /// <summary>
    /// The members as the buckets have them: what is known at a start, before the log has been read up to where it
    /// was. Throws <see cref="InvalidDataException"/> for a record that is none.
    /// </summary>
    public IReadOnlyList<Member> Recorded() =>
        [.. _buckets.List(Buckets.Members).Select(record => Member.Parse(record.Value, out _))];

    /// <summary>
    /// Makes the buckets agree with the table, once, when the replay has reached the entry that the buckets stand
    /// at. A member's name that only the bucket knows is kept (a bootstrap entry carries it, the v2 store does not).
    /// Returns how many records were put right.
    /// </summary>
    public int Reconcile()
    {
        int repaired = 0;
        foreach (var (key, value) in _buckets.List(Buckets.Members))
        {
            if (!MemberIds.TryParseHex(Encoding.ASCII.GetString(key), out ulong id))
            {
                throw new InvalidDataException($"bucket members: key \"{Encoding.ASCII.GetString(key)}\" is not an id");
            }

            if (_current.Find(id) is not { } member)
            {
                _buckets.Delete(Buckets.Members, key);
                _buckets.Put(Buckets.MembersRemoved, key, RemovedValue);
                _current = _current.WithRemoved(id);
                repaired++;
                continue;
            }

            var stored = Member.Parse(value, out _);
            if (!member.IsStarted && member.ClientUrls.Count == 0 && stored.IsStarted)
            {
                _current = _current.With(member with { Name = stored.Name, ClientUrls = stored.ClientUrls });
            }
        }

        foreach (var member in _current.Members)
        {
            repaired += PutIfDifferent(Buckets.Members, Key(member.Id), Encoding.UTF8.GetBytes(member.ToJson()));
        }

        foreach (var (key, _) in _buckets.List(Buckets.MembersRemoved))
        {
            if (MemberIds.TryParseHex(Encoding.ASCII.GetString(key), out ulong id)
                && !_current.IsRemoved(id) && _current.Find(id) is null)
            {
                _current = _current.WithRemoved(id);
            }
        }

        foreach (ulong id in _current.RemovedIds)
        {
            repaired += PutIfDifferent(Buckets.MembersRemoved, Key(id), RemovedValue);
        }

        byte[]? version = _buckets.Get(Buckets.Cluster, "clusterVersion"u8);
        if (_current.ClusterVersion is { } known)
        {
            repaired += PutIfDifferent(Buckets.Cluster, "clusterVersion"u8, Encoding.ASCII.GetBytes(known.ToString()));
        }
        else if (version is not null && SemanticVersion.TryParse(Encoding.ASCII.GetString(version), out var stored))
        {
            SetVersion(stored, persist: false);
        }

        if (_current.Members.Count > 0)
        {
            repaired += PutIfDifferent(Buckets.Meta, "confState"u8, ConfStateJson());
        }

        return repaired;
    }

    /// <summary>raft's ConfState as bucket meta keeps it: voters and learners follow from the table.</summary>
    public byte[] ConfStateJson()
    {
        var text = new StringBuilder("{");
        AppendIds(text, "voters", _current.VoterIds);
        AppendIds(text, "learners", _current.LearnerIds);
        return Encoding.ASCII.GetBytes(text.Append("\"auto_leave\":false}").ToString());

        static void AppendIds(StringBuilder text, string name, IEnumerable<ulong> ids)
        {
            string joined = string.Join(',', ids.Select(id => id.ToString(CultureInfo.InvariantCulture)));
            if (joined.Length > 0)
            {
                text.Append('"').Append(name).Append("\":[").Append(joined).Append("],");
            }
        }
    }

    /// <summary>True when the v2 store says of the members what the table says; a snapshot must not differ.</summary>
    internal bool IsProjected()
    {
        var projected = Children(MembersPath).ToDictionary(
            IdOf, node => (node.Nodes ?? []).ToDictionary(child => V2Path.Name(child.Key), child => child.Value!));
        if (projected.Count != _current.Members.Count)
        {
            return false;
        }

        // Compared by meaning: another writer may have spelled the same values in its own way.
        foreach (var member in _current.Members)
        {
            if (!projected.TryGetValue(member.Id, out var values))
            {
                return false;
            }

            var told = member.WithRaftAttributes(values[RaftAttributes]);
            if (values.TryGetValue(Attributes, out string? attributes))
            {
                told = told.WithAttributes(attributes);
            }

            if (told != member)
            {
                return false;
            }
        }

        string? version = _v2.Get(VersionPath, recursive: false, sorted: false).Event?.Node.Value;
        return version == _current.ClusterVersion?.ToString();
    }

    private static bool UsesPeerUrl(MembershipView view, Member wanted, ulong except) => view.Members.Any(
        member => (except == 0 || member.Id != except) && member.PeerUrls.Intersect(wanted.PeerUrls).Any());

    private void UpdateRaftAttributes(Member member, bool persist)
    {
        _v2.Update(Path(member.Id, RaftAttributes), member.RaftAttributesJson(), 0);
        Keep(member, persist);
    }

    private void Keep(Member member, bool persist)
    {
        _current = _current.With(member);
        if (persist)
        {
            _buckets.Put(Buckets.Members, Key(member.Id), Encoding.UTF8.GetBytes(member.ToJson()));
        }
    }

    private void PutConfState() => _buckets.Put(Buckets.Meta, "confState"u8, ConfStateJson());

    private int PutIfDifferent(string bucket, ReadOnlySpan<byte> key, byte[] value)
    {
        if (_buckets.Get(bucket, key) is { } stored && stored.AsSpan().SequenceEqual(value))
        {
            return 0;
        }

        _buckets.Put(bucket, key, value);
        return 1;
    }

    private DowngradeInfo StoredDowngrade()
    {
        if (_buckets.Get(Buckets.Cluster, "downgrade"u8) is not { } json)
        {
            return DowngradeInfo.None;
        }

        using var document = GoJson.Parse(json);
        return new DowngradeInfo(
            GoJson.Bool(document.RootElement, "enabled"), GoJson.String(document.RootElement, "target-version"));
    }

    private IEnumerable<V2NodeView> Children(string path) =>
        _v2.Get(path, recursive: true, sorted: true).Event?.Node.Nodes ?? [];

    private static ulong IdOf(V2NodeView node) => MemberIds.TryParseHex(V2Path.Name(node.Key), out ulong id)
        ? id
        : throw new InvalidDataException($"v2 snapshot: {node.Key} is not named by an id");

    private static string Path(ulong id) => $"{MembersPath}/{MemberIds.Hex(id)}";

    private static string Path(ulong id, string name) => $"{MembersPath}/{MemberIds.Hex(id)}/{name}";

    private static byte[] Key(ulong id)
    {
        Span<byte> text = stackalloc byte[16];
        Utf8Formatter.TryFormat(id, text, out int length, new System.Buffers.StandardFormat('x'));
        return text[..length].ToArray();
    }
}
