using System.Text;
using Perf.Raft;
using Perf.Store;
using Perf.Store.Commands;

namespace Perf.Simulation;

/// <summary>What a request has to be answered.</summary>
internal sealed record Expected(StoreError Error, long Revision, long Second, IReadOnlyList<KeyState> Read)
{
    public static Expected Refused(StoreError error) => new(error, 0, 0, []);
}

/// <summary>
/// A second, naive implementation of everything that entries do: keys, leases, users and members in plain
/// dictionaries. It is fed the committed log, by whoever commits an entry first, and says what every transaction,
/// every answer and every membership has to be; all others who commit the entry have to have the same bytes there.
/// </summary>
internal sealed class Model
{
    private readonly List<ulong> _entries = [0];
    private readonly Dictionary<string, List<KeyState>> _keys = new(StringComparer.Ordinal);
    private readonly List<KeyState[]> _transactions = [[], []];
    private readonly Dictionary<ulong, Expected> _answers = [];
    private readonly Dictionary<long, long> _leases = [];
    private readonly SortedDictionary<ulong, bool> _members = [];
    private readonly HashSet<ulong> _removed = [];
    private readonly ModelAuth _auth = new();
    private readonly List<KeyState> _changes = [];
    private long _compacted = -1;

    /// <summary>Called when an entry ends a lease: lease, and the request that did.</summary>
    public Action<long, ulong>? LeaseEnded { get; set; }

    /// <summary>Called with a member's id when its removal is committed.</summary>
    public Action<ulong>? MemberRemoved { get; set; }

    /// <summary>Called when an entry makes a lease: lease and TTL.</summary>
    public Action<long, long>? LeaseGranted { get; set; }

    /// <summary>The smallest TTL there is.</summary>
    public long TtlSecondsMin { get; init; } = 2;

    public long Revision => _transactions.Count - 1;

    public ulong LastIndex => (ulong)_entries.Count - 1;

    public IReadOnlyDictionary<long, long> Leases => _leases;

    /// <summary>Who is a member, and whether as a learner.</summary>
    public IReadOnlyDictionary<ulong, bool> Members => _members;

    public bool IsRemoved(ulong id) => _removed.Contains(id);

    public bool IsAuthOn => _auth.IsEnabled;

    /// <summary>What a revision has to bring.</summary>
    public KeyState[] Transaction(long revision) => _transactions[(int)revision];

    /// <summary>What the request has to be answered; null when it is not committed.</summary>
    public Expected? Answer(ulong request) => _answers.GetValueOrDefault(request);

    /// <summary>A member hands an entry to apply.</summary>
    public void OnCommitted(int member, in Entry entry)
    {
        ulong hash = Hash(entry);
        if (entry.Index < (ulong)_entries.Count)
        {
            Judge.Require(
                _entries[(int)entry.Index] == hash,
                $"member {member} has another entry {entry.Term}/{entry.Index} than the others");
            return;
        }

        Judge.Require(
            entry.Index == (ulong)_entries.Count,
            $"member {member} commits entry {entry.Index}, the newest was {_entries.Count - 1}");
        _entries.Add(hash);
        if (entry.Type == EntryType.ConfChange)
        {
            ChangeMembers(entry.Data.Span);
        }
        else if (!entry.Data.IsEmpty && InternalRequestView.TryParse(entry.Data.Span, out InternalRequestView request))
        {
            _answers[request.Id] = Apply(request);
        }
    }

    private static ulong Hash(in Entry entry)
    {
        ulong hash = 14695981039346656037 ^ entry.Term;
        foreach (byte b in entry.Data.Span)
        {
            hash = (hash ^ b) * 1099511628211;
        }

        return (hash ^ (ulong)entry.Type) * 1099511628211;
    }

    private static string Text(ReadOnlySpan<byte> bytes) => Encoding.UTF8.GetString(bytes);

    private void ChangeMembers(ReadOnlySpan<byte> data)
    {
        Judge.Require(Store.Membership.ConfChange.TryDecode(data, out var change), "a conf change that is none");
        ulong id = change.NodeId;
        if (_removed.Contains(id))
        {
            return;
        }

        switch (change.Kind)
        {
            case Store.Membership.ConfChangeKind.RemoveNode:
                if (_members.Remove(id))
                {
                    _removed.Add(id);
                    MemberRemoved?.Invoke(id);
                }

                break;
            case Store.Membership.ConfChangeKind.UpdateNode:
                break;
            default:
                if (change.IsPromote)
                {
                    if (_members.ContainsKey(id))
                    {
                        _members[id] = false;
                    }
                }
                else if (!_members.ContainsKey(id)
                    && (!change.Member!.IsLearner || !_members.ContainsValue(true)))
                {
                    _members.Add(id, change.Member!.IsLearner);
                }

                break;
        }
    }

    private Expected Apply(in InternalRequestView request)
    {
        ModelSubject who = _auth.Subject(Text(request.Username), request.AuthRevision);
        _changes.Clear();
        Expected answer = request.Field switch
        {
            InternalField.Put => Put(who, request.Body),
            InternalField.DeleteRange => Delete(who, request.Body),
            InternalField.Txn => Txn(who, request.Body),
            InternalField.Compaction => Compact(request.Body),
            InternalField.LeaseGrant => Grant(request.Body),
            InternalField.LeaseRevoke => Revoke(who, request.Body, request.Id),
            >= InternalField.AuthEnable and < InternalField.ClusterVersionSet =>
                Expected.Refused(_auth.Apply(who, request)) with { Revision = Revision },
            _ => new Expected(StoreError.None, Revision, 0, []),
        };
        if (_changes.Count > 0)
        {
            _transactions.Add([.. _changes]);
        }

        return answer;
    }

    private Expected Put(ModelSubject who, ReadOnlySpan<byte> body)
    {
        PutView.TryParse(body, out PutView put);
        if (CheckPut(who, put) is var refusal and not StoreError.None)
        {
            return Expected.Refused(refusal);
        }

        if (put.Lease != 0 && !_leases.ContainsKey(put.Lease))
        {
            return Expected.Refused(StoreError.LeaseNotFound);
        }

        DoPut(Text(put.Key), Text(put.Value), put.Lease);
        return new Expected(StoreError.None, Revision + 1, 0, []);
    }

    private StoreError CheckPut(ModelSubject who, in PutView put)
    {
        StoreError error = who.Check(isWrite: true, Text(put.Key), "");
        if (error == StoreError.None && put.Lease != 0 && !who.IsRoot)
        {
            foreach (string key in KeysOf(put.Lease))
            {
                error = error == StoreError.None ? who.Check(isWrite: true, key, "") : error;
            }
        }

        return error == StoreError.None && put.PrevKv ? who.Check(isWrite: false, Text(put.Key), "") : error;
    }

    private Expected Delete(ModelSubject who, ReadOnlySpan<byte> body)
    {
        DeleteRangeView.TryParse(body, out DeleteRangeView delete);
        if (CheckDelete(who, delete) is var refusal and not StoreError.None)
        {
            return Expected.Refused(refusal);
        }

        int count = DoDelete(Text(delete.Key), Text(delete.RangeEnd));
        return new Expected(StoreError.None, count > 0 ? Revision + 1 : Revision, count, []);
    }

    private static StoreError CheckDelete(ModelSubject who, in DeleteRangeView delete)
    {
        StoreError error = who.Check(isWrite: true, Text(delete.Key), Text(delete.RangeEnd));
        return error == StoreError.None && delete.PrevKv
            ? who.Check(isWrite: false, Text(delete.Key), Text(delete.RangeEnd))
            : error;
    }

    private Expected Txn(ModelSubject who, ReadOnlySpan<byte> body)
    {
        TxnView.TryParse(body, out TxnView txn);
        if (CheckTxn(who, txn) is var refusal and not StoreError.None)
        {
            return Expected.Refused(refusal);
        }

        // All compares are made on the state before, then everything is checked, then everything is done.
        var path = new List<bool>();
        Compare(txn, path);
        int step = 0;
        StoreError error = CheckTaken(txn, path, ref step, isPuts: true);
        step = 0;
        error = error == StoreError.None ? CheckTaken(txn, path, ref step, isPuts: false) : error;
        if (error != StoreError.None)
        {
            return Expected.Refused(error);
        }

        var read = new List<KeyState>();
        step = 0;
        Execute(txn, path, ref step, read);
        return new Expected(StoreError.None, _changes.Count > 0 ? Revision + 1 : Revision, path[0] ? 1 : 0, read);
    }

    private StoreError CheckTxn(ModelSubject who, in TxnView txn)
    {
        foreach (ReadOnlySpan<byte> part in txn.Compares)
        {
            CompareView.TryParse(part, out CompareView compare);
            StoreError error = who.Check(isWrite: false, Text(compare.Key), Text(compare.RangeEnd));
            if (error != StoreError.None)
            {
                return error;
            }
        }

        foreach (bool branch in (ReadOnlySpan<bool>)[true, false])
        {
            foreach (ReadOnlySpan<byte> part in txn.Branch(branch))
            {
                RequestOpView.TryParse(part, out RequestOpView op);
                StoreError error = StoreError.None;
                switch (op.Kind)
                {
                    case RequestOpKind.Range:
                        RangeView.TryParse(op.Body, out RangeView range);
                        error = who.Check(isWrite: false, Text(range.Key), Text(range.RangeEnd));
                        break;
                    case RequestOpKind.Put:
                        PutView.TryParse(op.Body, out PutView put);
                        error = CheckPut(who, put);
                        break;
                    case RequestOpKind.DeleteRange:
                        DeleteRangeView.TryParse(op.Body, out DeleteRangeView delete);
                        error = CheckDelete(who, delete);
                        break;
                    case RequestOpKind.Txn:
                        TxnView.TryParse(op.Body, out TxnView inner);
                        error = CheckTxn(who, inner);
                        break;
                }

                if (error != StoreError.None)
                {
                    return error;
                }
            }
        }

        return StoreError.None;
    }

    private void Compare(in TxnView txn, List<bool> path)
    {
        bool success = true;
        foreach (ReadOnlySpan<byte> part in txn.Compares)
        {
            CompareView.TryParse(part, out CompareView compare);
            KeyState? state = At(Text(compare.Key), long.MaxValue);
            long value = compare.Target switch
            {
                CompareTarget.Mod => state?.Revision ?? 0,
                CompareTarget.Version => state?.Version ?? 0,
                _ => state?.Create ?? 0,
            };
            success &= value == compare.Number;
        }

        path.Add(success);
        foreach (ReadOnlySpan<byte> part in txn.Branch(success))
        {
            RequestOpView.TryParse(part, out RequestOpView op);
            if (op.Kind == RequestOpKind.Txn)
            {
                TxnView.TryParse(op.Body, out TxnView inner);
                Compare(inner, path);
            }
        }
    }

    private StoreError CheckTaken(in TxnView txn, List<bool> path, ref int step, bool isPuts)
    {
        foreach (ReadOnlySpan<byte> part in txn.Branch(path[step++]))
        {
            RequestOpView.TryParse(part, out RequestOpView op);
            StoreError error = StoreError.None;
            switch (op.Kind)
            {
                case RequestOpKind.Put when isPuts:
                    PutView.TryParse(op.Body, out PutView put);
                    error = put.Lease != 0 && !_leases.ContainsKey(put.Lease) ? StoreError.LeaseNotFound : error;
                    break;
                case RequestOpKind.Range when !isPuts:
                    RangeView.TryParse(op.Body, out RangeView range);
                    error = range.Revision > Revision ? StoreError.FutureRev
                        : range.Revision > 0 && range.Revision < _compacted ? StoreError.Compacted
                        : StoreError.None;
                    break;
                case RequestOpKind.Txn:
                    TxnView.TryParse(op.Body, out TxnView inner);
                    error = CheckTaken(inner, path, ref step, isPuts);
                    break;
            }

            if (error != StoreError.None)
            {
                return error;
            }
        }

        return StoreError.None;
    }

    private void Execute(in TxnView txn, List<bool> path, ref int step, List<KeyState> read)
    {
        foreach (ReadOnlySpan<byte> part in txn.Branch(path[step++]))
        {
            RequestOpView.TryParse(part, out RequestOpView op);
            switch (op.Kind)
            {
                case RequestOpKind.Put:
                    PutView.TryParse(op.Body, out PutView put);
                    DoPut(Text(put.Key), Text(put.Value), put.Lease);
                    break;
                case RequestOpKind.DeleteRange:
                    DeleteRangeView.TryParse(op.Body, out DeleteRangeView delete);
                    DoDelete(Text(delete.Key), Text(delete.RangeEnd));
                    break;
                case RequestOpKind.Range:
                    RangeView.TryParse(op.Body, out RangeView range);
                    read.AddRange(Range(
                        Text(range.Key), Text(range.RangeEnd), range.Revision == 0 ? long.MaxValue : range.Revision));
                    break;
                case RequestOpKind.Txn:
                    TxnView.TryParse(op.Body, out TxnView inner);
                    Execute(inner, path, ref step, read);
                    break;
            }
        }
    }

    private Expected Compact(ReadOnlySpan<byte> body)
    {
        CompactionView.TryParse(body, out CompactionView compaction);
        if (compaction.Revision <= _compacted)
        {
            return Expected.Refused(StoreError.Compacted);
        }

        if (compaction.Revision > Revision)
        {
            return Expected.Refused(StoreError.FutureRev);
        }

        _compacted = compaction.Revision;
        return new Expected(StoreError.None, Revision, 0, []);
    }

    private Expected Grant(ReadOnlySpan<byte> body)
    {
        LeaseGrantView.TryParse(body, out LeaseGrantView grant);
        long ttl = Math.Max(grant.Ttl, TtlSecondsMin);
        if (!_leases.TryAdd(grant.Id, ttl))
        {
            return Expected.Refused(StoreError.LeaseExist);
        }

        LeaseGranted?.Invoke(grant.Id, ttl);
        return new Expected(StoreError.None, Revision, grant.Id, []);
    }

    private Expected Revoke(ModelSubject who, ReadOnlySpan<byte> body, ulong request)
    {
        LeaseRevokeView.TryParse(body, out LeaseRevokeView revoke);
        if (!who.IsRoot)
        {
            foreach (string key in KeysOf(revoke.Id))
            {
                if (who.Check(isWrite: true, key, "") is var error and not StoreError.None)
                {
                    return Expected.Refused(error);
                }
            }
        }

        string[] keys = [.. KeysOf(revoke.Id)];
        if (!_leases.Remove(revoke.Id))
        {
            return Expected.Refused(StoreError.LeaseNotFound);
        }

        foreach (string key in keys)
        {
            DoDelete(key, "");
        }

        LeaseEnded?.Invoke(revoke.Id, request);
        return new Expected(StoreError.None, _changes.Count > 0 ? Revision + 1 : Revision, 0, []);
    }

    private IEnumerable<string> KeysOf(long lease) => _keys
        .Where(k => !k.Value[^1].IsDelete && k.Value[^1].Lease == lease)
        .Select(k => k.Key)
        .Order(StringComparer.Ordinal);

    private void DoPut(string key, string value, long lease)
    {
        KeyState? before = At(key, long.MaxValue);
        long revision = Revision + 1;
        Add(new KeyState(revision, key, false, value, before?.Create ?? revision, (before?.Version ?? 0) + 1, lease));
    }

    private int DoDelete(string from, string end)
    {
        int count = 0;
        foreach (KeyState state in Range(from, end, long.MaxValue))
        {
            Add(new KeyState(Revision + 1, state.Key, true, "", 0, 0, 0));
            count++;
        }

        return count;
    }

    private void Add(KeyState state)
    {
        if (!_keys.TryGetValue(state.Key, out List<KeyState>? states))
        {
            _keys.Add(state.Key, states = []);
        }

        states.Add(state);
        _changes.Add(state);
    }

    private List<KeyState> Range(string from, string end, long revision)
    {
        var found = new List<KeyState>();
        if (end.Length == 0)
        {
            if (At(from, revision) is { } one)
            {
                found.Add(one);
            }

            return found;
        }

        foreach (string key in _keys.Keys.Order(StringComparer.Ordinal))
        {
            if (ModelAuth.IsIn(key, from, end) && At(key, revision) is { } state)
            {
                found.Add(state);
            }
        }

        return found;
    }

    private KeyState? At(string key, long revision)
    {
        if (!_keys.TryGetValue(key, out List<KeyState>? states))
        {
            return null;
        }

        for (int i = states.Count - 1; i >= 0; i--)
        {
            if (states[i].Revision <= revision)
            {
                return states[i].IsDelete ? null : states[i];
            }
        }

        return null;
    }
}
