using System.Buffers;
using System.Text;
using Perf.Engine;
using Perf.Engine.Transactions;
using Perf.Store.Auth;
using Perf.Store.Backend;
using Perf.Store.Commands;
using Perf.Store.Lease;
using Perf.Store.Maintenance;
using Perf.Store.Membership;
using Perf.Store.Mvcc;
using Perf.Store.V2;

namespace Perf.Store.Apply;

/// <summary>What a state machine is made with. What state may depend on is marked so: equal on all members.</summary>
public sealed record StateMachineOptions
{
    /// <summary>For response headers.</summary>
    public required ulong ClusterId { get; init; }

    /// <summary>For response headers, and to notice this member's own removal.</summary>
    public required ulong MemberId { get; init; }

    /// <summary>Clock of leases, tokens' lives and TTLs in v2 answers. State does not depend on it.</summary>
    public required TimeProvider Clock { get; init; }

    public required ITokenProvider Tokens { get; init; }

    public required IPasswordHasher Hasher { get; init; }

    /// <summary>The checks that apply makes. Equal on all members.</summary>
    public AuthRules AuthRules { get; init; }

    /// <summary>Cost of hashing clear passwords out of 3.4 entries. Equal on all members.</summary>
    public int BcryptCost { get; init; } = Auth.BcryptCost.Default;

    /// <summary>Learners allowed at a time. Equal on all members.</summary>
    public int LearnersMax { get; init; } = 1;

    /// <summary>The TTL floor in it is to be equal on all members.</summary>
    public LessorOptions Lease { get; init; } = new();

    /// <summary>Persist lease checkpoints below cluster version 3.6 as well. Equal on all members.</summary>
    public bool PersistLeaseCheckpoints { get; init; }
}

/// <summary>The v2 store as of an applied entry: the data of a raft snapshot.</summary>
public readonly record struct V2Snapshot(ulong Index, ReadOnlyMemory<byte> Json);

/// <summary>
/// The one apply function: (state, entry) to (state, result). Everything replicated changes here and nowhere else,
/// in log order, on one thread, and becomes durable with the index of the entry that changed it.
///
/// Raft hands over all entries behind the last .snap again after a start. What the buckets hold already (entries up
/// to their consistent index) is not done twice; the v2 store and the member table, which start from the .snap, are
/// brought forward by all of them.
/// </summary>
public sealed partial class StateMachine
{
    private readonly StateMachineOptions _options;
    private readonly BackendStore _backend;
    private readonly BackendBuckets _buckets;
    private readonly LeasedKeys _leasedKeys;
    private readonly LeaseKeys _leaseKeys;
    private ulong _appliedIndex;
    private ulong _appliedTerm;
    private ulong _publishedIndex;
    private bool _reconciled;

    private StateMachine(BackendStore backend, StateMachineOptions options, IRevisionSink? sink)
    {
        _backend = backend;
        _options = options;
        _buckets = new BackendBuckets(backend);
        Leases = new Lessor(_buckets, options.Clock, options.Lease);
        Kv = new MvccStore(backend, Leases, sink);
        Alarms = new AlarmStore(_buckets);
        Auth = new AuthStore(_buckets, options.Tokens, options.Hasher, options.BcryptCost, options.AuthRules);
        V2 = new V2Store(options.Clock);
        Members = new MembershipStore(_buckets, V2, options.LearnersMax);
        _leasedKeys = new LeasedKeys(Kv);
        _leaseKeys = new LeaseKeys(Leases);
    }

    public MvccStore Kv { get; }

    public Lessor Leases { get; }

    public AuthStore Auth { get; }

    public AlarmStore Alarms { get; }

    public MembershipStore Members { get; }

    public V2Store V2 { get; }

    /// <summary>Which keys hang on a lease, for checks outside apply. Any thread.</summary>
    public ILeaseKeys LeaseKeys => _leaseKeys;

    /// <summary>Last entry applied. Apply thread.</summary>
    public ulong AppliedIndex => _appliedIndex;

    /// <summary>Its term. Apply thread.</summary>
    public ulong AppliedTerm => _appliedTerm;

    /// <summary>Last entry whose effects readers see. Any thread.</summary>
    public ulong PublishedIndex => Volatile.Read(ref _publishedIndex);

    /// <summary>
    /// Bytes the database may still grow by before answers say "no space"; set by the node before a batch. It never
    /// changes what an entry does, only the answer.
    /// </summary>
    public long QuotaBytesLeft { get; set; } = long.MaxValue;

    /// <summary>
    /// Opens the state in a backend. <paramref name="snapshot"/>: what the newest .snap holds; null when there is
    /// none, then the log must begin at entry 1. Throws <see cref="InvalidDataException"/> for damaged records.
    /// </summary>
    public static StateMachine Open(
        BackendStore backend,
        StateMachineOptions options,
        V2Snapshot? snapshot = null,
        IRevisionSink? sink = null,
        WorkRunner? runner = null,
        int parts = 1)
    {
        var machine = new StateMachine(backend, options, sink);
        machine.Kv.Load(runner, parts);
        machine.RestoreTables(snapshot);
        return machine;
    }

    /// <summary>
    /// Goes over to the database and the members of an installed snapshot; the backend is reset by this call. What
    /// was applied but not committed is dropped. Apply thread.
    /// </summary>
    public void Install(DataFile file, V2Snapshot snapshot, WorkRunner? runner = null, int parts = 1)
    {
        Leases.Restore(file);
        Kv.Reset(file, runner, parts);
        RestoreTables(snapshot);
    }

    /// <summary>
    /// Applies a normal entry. The response is written only when the outcome has no error. A null
    /// <paramref name="response"/>: nobody waits here, reads are left out.
    /// </summary>
    public ApplyOutcome Apply(ulong index, ulong term, in EntryView entry, IBufferWriter<byte>? response)
    {
        bool persist = Begin(index, term);
        ApplyOutcome outcome;
        switch (entry.Kind)
        {
            case EntryKind.Request:
                var effects = ApplyEffects.None;
                var error = ApplyInternal(entry.Request, persist, response, ref effects);
                outcome = new ApplyOutcome { RequestId = entry.Request.Id, Error = error, Effects = effects };
                break;

            case EntryKind.V2:
                outcome = ApplyV2(entry.V2, persist);
                break;

            case EntryKind.Empty:
                outcome = new ApplyOutcome { Effects = ApplyEffects.EmptyEntry };
                break;

            default:
                outcome = new ApplyOutcome { Error = StoreError.Malformed };
                break;
        }

        End(persist);
        return outcome;
    }

    /// <inheritdoc cref="Apply(ulong, ulong, in EntryView, IBufferWriter{byte})"/>
    public ApplyOutcome Apply(ulong index, ulong term, ReadOnlySpan<byte> data, IBufferWriter<byte>? response) =>
        Apply(index, term, EntryView.Of(data), response);

    /// <summary>
    /// Applies a conf change entry. Raft is to be told <see cref="ApplyOutcome.RaftNodeId"/> afterwards; what it
    /// makes of it equals the member table, from which confState is written here.
    /// </summary>
    public ApplyOutcome ApplyConfChange(ulong index, ulong term, ReadOnlySpan<byte> data)
    {
        bool persist = Begin(index, term);
        ApplyOutcome outcome;
        if (!ConfChange.TryDecode(data, out var change))
        {
            outcome = new ApplyOutcome { RequestId = change.RequestId, Error = StoreError.Malformed, ConfChange = change };
        }
        else
        {
            var error = Members.Apply(change, persist);
            var effects = ApplyEffects.None;
            if (error == StoreError.None)
            {
                bool isRemoval = change.Kind == ConfChangeKind.RemoveNode;
                effects = ApplyEffects.MembersChanged
                    | (isRemoval && change.NodeId == _options.MemberId ? ApplyEffects.RemovedSelf : ApplyEffects.None);
            }

            outcome = new ApplyOutcome { RequestId = change.RequestId, Error = error, Effects = effects, ConfChange = change };
        }

        End(persist);
        return outcome;
    }

    /// <summary>Makes everything applied so far visible to readers and watchers. Once per batch of entries.</summary>
    public void Publish()
    {
        Kv.Publish();
        Volatile.Write(ref _publishedIndex, _appliedIndex);
    }

    /// <summary>
    /// The data of a raft snapshot at <see cref="AppliedIndex"/>: exactly the members, version and v2 keys as of that
    /// entry, later conf changes are replayed on top of it. Apply thread, between entries.
    /// </summary>
    public byte[] SaveSnapshot()
    {
        Check.That(Members.IsProjected());
        return V2.Save();
    }

    private bool Begin(ulong index, ulong term)
    {
        Check.That(index == _appliedIndex + 1);
        Check.That(term >= _appliedTerm);
        _appliedIndex = index;
        _appliedTerm = term;
        return index > _backend.ConsistentIndex;
    }

    private void End(bool persist)
    {
        // The index belongs to the same memtable as the entry's effects, and comes after them: a freeze, which
        // happens between entries only, takes both or neither.
        if (persist)
        {
#if MUTANTS
            if (Mutant.Is("01-index-apart-from-data") && _appliedIndex % 8 != 0)
            {
                return;
            }
#endif
            _backend.SetConsistentIndex(_appliedIndex, _appliedTerm);
        }

        if (!_reconciled && _appliedIndex >= _backend.ConsistentIndex)
        {
            Reconcile();
        }
    }

    private void RestoreTables(V2Snapshot? snapshot)
    {
        _reconciled = false;
        Alarms.Restore();
#if MUTANTS
        if (Mutant.Is("08-auth-not-rebuilt-after-snapshot") && _publishedIndex > 0)
        {
            V2.Clear();
        }
        else
#endif
        Auth.Restore();
        V2.Clear();
        if (snapshot is { } found)
        {
            V2.Load(found.Json.Span);
        }

        Members.Recover();
        ApplyVersionRules();
        _appliedIndex = snapshot?.Index ?? 0;
        _appliedTerm = 0;
        Volatile.Write(ref _publishedIndex, _appliedIndex);

        // A backend behind its snapshot is not this snapshot's. A restored one may have no index at all.
        if (_backend.ConsistentIndex != 0 && _backend.ConsistentIndex < _appliedIndex)
        {
            throw new InvalidDataException(
                $"database: consistent index {_backend.ConsistentIndex} is behind the snapshot's {_appliedIndex}");
        }

        if (_backend.ConsistentIndex <= _appliedIndex)
        {
            Reconcile();
        }
    }

    private void Reconcile()
    {
        _reconciled = true;
        Members.Reconcile();
        ApplyVersionRules();
    }

    private void ApplyVersionRules() => Leases.PersistCheckpoints = _options.PersistLeaseCheckpoints
        || Members.Current.ClusterVersion is { } version && version >= new SemanticVersion(3, 6, 0);

    private ResponseHeader Header() => new(_options.ClusterId, _options.MemberId, Kv.Revision, _appliedTerm);

    private ApplyOutcome ApplyV2(ReadOnlySpan<byte> data, bool persist)
    {
        if (!V2Request.TryDecode(data, out var request))
        {
            return new ApplyOutcome { Error = StoreError.Malformed };
        }

        if (request.Method == "PUT" && request.PrevExist is null && request.PrevIndex == 0 && request.PrevValue.Length == 0)
        {
            if (TryMemberAttributesPath(request.Path, out ulong memberId))
            {
                return new ApplyOutcome { RequestId = request.Id, Error = SetAttributes(memberId, request.Value, persist) };
            }

            if (request.Path == "/0/version")
            {
                var effects = ApplyEffects.None;
                var error = SetVersion(request.Value, persist, ref effects);
                return new ApplyOutcome { RequestId = request.Id, Error = error, Effects = effects };
            }
        }

        return V2.TryApply(request, out var result)
            ? new ApplyOutcome { RequestId = request.Id, V2 = result }
            : new ApplyOutcome { RequestId = request.Id, Error = StoreError.UnknownRequest };
    }

    private static bool TryMemberAttributesPath(string path, out ulong memberId)
    {
        const string Prefix = "/0/members/";
        const string Suffix = "/attributes";
        memberId = 0;
        return path.StartsWith(Prefix, StringComparison.Ordinal)
            && path.EndsWith(Suffix, StringComparison.Ordinal)
            && path.Length > Prefix.Length + Suffix.Length
            && MemberIds.TryParseHex(path.AsSpan(Prefix.Length, path.Length - Prefix.Length - Suffix.Length), out memberId);
    }

    private StoreError SetAttributes(ulong memberId, string json, bool persist)
    {
        try
        {
            var told = new Member { Id = memberId }.WithAttributes(json);
            return Members.SetAttributes(memberId, told.Name, told.ClientUrls, persist);
        }
        catch (InvalidDataException)
        {
            return StoreError.Malformed;
        }
    }

    private StoreError SetVersion(string text, bool persist, ref ApplyEffects effects)
    {
        if (!SemanticVersion.TryParse(text, out var version))
        {
            return StoreError.Malformed;
        }

        Members.SetVersion(version, persist);
        ApplyVersionRules();
        effects |= ApplyEffects.VersionChanged;
        return StoreError.None;
    }

    /// <summary>
    /// Requests on the members are applied always, all others only when the buckets do not hold them yet. Whoever waits
    /// for one that they hold is told that its answer is lost: an empty one would say that nothing was found.
    /// </summary>
    private StoreError ApplyInternal(
        in InternalRequestView request, bool persist, IBufferWriter<byte>? response, ref ApplyEffects effects)
    {
        switch (request.Field)
        {
            case InternalField.ClusterVersionSet:
                return AuthFields.TryParse(request.Body, out var version)
                    ? SetVersion(Encoding.UTF8.GetString(version.First), persist, ref effects)
                    : StoreError.Malformed;

            case InternalField.ClusterMemberAttrSet:
                return SetAttributes(request.Body, persist);

            case InternalField.DowngradeInfoSet:
                return SetDowngrade(request.Body, persist);

            default:
                if (persist)
                {
                    return ApplyOnce(request, response, ref effects);
                }

                return response is null ? StoreError.None : StoreError.AnswerLost;
        }
    }

    private StoreError SetAttributes(ReadOnlySpan<byte> body, bool persist)
    {
        ulong memberId = 0;
        string name = "";
        var clientUrls = new List<string>();
        bool sound = true;
        var reader = new ProtoReader(body);
        while (reader.Next())
        {
            switch (reader.Field)
            {
                case 1:
                    memberId = reader.UInt64;
                    break;
                case 2:
                    var attributes = new ProtoReader(reader.Bytes);
                    while (attributes.Next())
                    {
                        switch (attributes.Field)
                        {
                            case 1:
                                name = Encoding.UTF8.GetString(attributes.Bytes);
                                break;
                            case 2:
                                clientUrls.Add(Encoding.UTF8.GetString(attributes.Bytes));
                                break;
                        }
                    }

                    sound &= !attributes.Failed;
                    break;
            }
        }

        return sound && !reader.Failed
            ? Members.SetAttributes(memberId, name, clientUrls, persist)
            : StoreError.Malformed;
    }

    private StoreError SetDowngrade(ReadOnlySpan<byte> body, bool persist)
    {
        bool enabled = false;
        string version = "";
        var reader = new ProtoReader(body);
        while (reader.Next())
        {
            switch (reader.Field)
            {
                case 1:
                    enabled = reader.Bool;
                    break;
                case 2:
                    version = Encoding.UTF8.GetString(reader.Bytes);
                    break;
            }
        }

        if (reader.Failed)
        {
            return StoreError.Malformed;
        }

        Members.SetDowngrade(enabled ? new DowngradeInfo(true, version) : DowngradeInfo.None, persist);
        return StoreError.None;
    }
}
