using System.Diagnostics.CodeAnalysis;
using System.Runtime.CompilerServices;

namespace Perf.Simulation;

/// <summary>What a run is judged wrong for.</summary>
internal sealed class SimulationFailure(string message) : Exception(message);

/// <summary>One key's state from a revision on.</summary>
internal readonly record struct KeyState(
    long Revision, string Key, bool IsDelete, string Value, long Create, long Version, long Lease = 0);

/// <summary>
/// The model and its law. Revisions order everything, so linearizability is checked as it happens, without a search:
/// the first member that applies a revision writes it into the one history; everybody else has to agree with it;
/// every answer has to be what the history says at the answer's revision; and an answer's revision may not lie before
/// anything that had happened when the question was put. What clients of real servers saw is judged by it as well.
/// </summary>
internal sealed class Judge
{
    private readonly List<KeyState[]> _history = [[], []];
    private readonly Dictionary<string, List<KeyState>> _keys = new(StringComparer.Ordinal);
    private readonly Dictionary<string, Put> _puts = new(StringComparer.Ordinal);
    private readonly HashSet<long> _claimed = [];
    private readonly Dictionary<ulong, ulong> _leaders = [];
    private readonly List<ulong> _terms = [0];
    private readonly Dictionary<ulong, string> _digests = [];
    private readonly Dictionary<ulong, long> _revisionsAt = [];

    /// <summary>What the log says that a revision has to bring; null where nobody knows the log.</summary>
    public Func<long, KeyState[]>? Expected { get; init; }

    /// <summary>Called with each new revision, and how many changes it brought.</summary>
    public Action<long, int>? Noted { get; init; }

    /// <summary>Answers that were checked.</summary>
    public long Checked { get; private set; }

    public long DigestsCompared { get; private set; }

    public long Acknowledged { get; private set; }

    /// <summary>The newest revision that any member has applied.</summary>
    public long LastRevision => _history.Count - 1;

    /// <summary>What a revision brought.</summary>
    public KeyState[] Transaction(long revision) => _history[(int)revision];

    /// <summary>No compaction was ever asked for beyond this.</summary>
    public long CompactionAsked { get; private set; }

    public static void Require([DoesNotReturnIf(false)] bool holds, string what)
    {
        if (!holds)
        {
            throw new SimulationFailure(what);
        }
    }

    /// <summary>The same with a text that is only put together when it is needed.</summary>
    public static void Require(
        [DoesNotReturnIf(false)] bool holds, [InterpolatedStringHandlerArgument(nameof(holds))] ref Why what)
    {
        if (!holds)
        {
            throw new SimulationFailure(what.Text);
        }
    }

    public void AskedCompaction(long revision) => CompactionAsked = Math.Max(CompactionAsked, revision);

    /// <summary>A client is about to put a value nobody put before.</summary>
    public void Submitted(string key, string value) => _puts.Add(value, new Put(key));

    /// <summary>The member said that it has not proposed it.</summary>
    public void Refused(string value)
    {
        Put put = _puts[value];
        Require(put.Revision == 0, $"{value} was refused, and is there at {put.Revision}");
        put.IsRefused = true;
    }

    /// <summary>A member has applied, or tells, what a revision brought.</summary>
    public void OnTransaction(int member, long revision, KeyState[] states)
    {
        if (revision <= LastRevision)
        {
            Require(
                states.AsSpan().SequenceEqual(_history[(int)revision]),
                $"member {member} has {Show(states)} at revision {revision}, others {Show(_history[(int)revision])}");
            return;
        }

        Require(revision == LastRevision + 1, $"member {member} is at revision {revision}, the newest was {LastRevision}");
        if (Expected is not null)
        {
            KeyState[] expected = Expected(revision);
            Require(
                states.AsSpan().SequenceEqual(expected),
                $"member {member} has {Show(states)} at revision {revision}, the log says {Show(expected)}");
        }

        _history.Add(states);
        foreach (KeyState state in states)
        {
            Add(state, revision);
        }

        Noted?.Invoke(revision, states.Length);
    }

    public void OnLeader(ulong term, ulong id)
    {
        if (!_leaders.TryAdd(term, id))
        {
            Require(_leaders[term] == id, $"term {term} has two leaders: {_leaders[term]:x} and {id:x}");
        }
    }

    /// <summary>A member knows that its entry is committed.</summary>
    public void OnCommitted(int member, ulong index, ulong term)
    {
        if (index == (ulong)_terms.Count)
        {
            _terms.Add(term);
        }
        else if (index < (ulong)_terms.Count)
        {
            if (_terms[(int)index] == 0)
            {
                _terms[(int)index] = term;
            }

            Require(
                _terms[(int)index] == term,
                $"member {member} committed {term}/{index}, others {_terms[(int)index]}/{index}");
        }
        else
        {
            while ((ulong)_terms.Count < index)
            {
                // Known only to those who had it in a snapshot.
                _terms.Add(0);
            }

            _terms.Add(term);
        }
    }

    /// <summary>What the state comes to at an index, on a member.</summary>
    public void OnState(int member, ulong index, long revision, Func<string> digest, bool isSampled)
    {
        if (!_revisionsAt.TryAdd(index, revision))
        {
            Require(
                _revisionsAt[index] == revision,
                $"member {member} has revision {revision} at index {index}, others {_revisionsAt[index]}");
        }

        if (!isSampled)
        {
            return;
        }

        string state = digest();
        if (!_digests.TryAdd(index, state))
        {
            DigestsCompared++;
            Require(_digests[index] == state, $"member {member} differs from others at index {index}");
        }
    }

    /// <summary>An answer was held against the model elsewhere.</summary>
    public void CheckedOne()
    {
        Checked++;
        Acknowledged++;
    }

    /// <summary>A put was acknowledged.</summary>
    public void Acked(string key, string value, long revision, long floor)
    {
        Require(
            revision > floor && revision <= LastRevision,
            $"put of {value} acknowledged at {revision}, began after {floor}, newest {LastRevision}");
        Require(
            Array.Exists(_history[(int)revision], s => s.Key == key && s.Value == value && !s.IsDelete),
            $"put of {value} acknowledged at {revision}, which holds {Show(_history[(int)revision])}");
        Acknowledged++;
        Checked++;
    }

    /// <summary>A delete was acknowledged with what it found.</summary>
    public void AckedDelete(string key, long deleted, long revision, long floor)
    {
        Checked++;
        if (deleted == 0)
        {
            Require(revision >= floor && revision <= LastRevision, $"delete at {revision}, began after {floor}");
            Require(At(key, revision) is null, $"delete of {key} found nothing at {revision}, there was {At(key, revision)}");
            return;
        }

        Require(revision > floor && revision <= LastRevision, $"delete at {revision}, began after {floor}");
        Require(
            Array.TrueForAll(_history[(int)revision], s => s.IsDelete) && _history[(int)revision].Length == deleted
                && Array.Exists(_history[(int)revision], s => s.Key == key) && _claimed.Add(revision),
            $"delete of {key} acknowledged at {revision}, which holds {Show(_history[(int)revision])}");
        Acknowledged++;
    }

    /// <summary>A compare-and-set by mod revision was answered.</summary>
    public void Compared(string key, long expectedMod, bool succeeded, long revision, long floor)
    {
        Checked++;
        Require(revision >= floor && revision <= LastRevision, $"txn at {revision}, began after {floor}");
        long before = At(key, succeeded ? revision - 1 : revision)?.Revision ?? 0;
        Require(
            succeeded == (before == expectedMod),
            $"txn on {key} at {revision} compared mod {expectedMod} with {before}: {succeeded}");
    }

    /// <summary>A read was answered.</summary>
    public void Read(
        int member, bool isLinearizable, string from, string? to, long at, in RangeAnswer answer, long floor)
    {
        Checked++;
        Require(
            answer.Revision <= LastRevision && (!isLinearizable || answer.Revision >= floor),
            $"read on member {member} answered at {answer.Revision}, began after {floor}, newest {LastRevision}");
        long revision = at == 0 ? answer.Revision : at;
        int found = 0;
        foreach (string key in _keys.Keys.Order(StringComparer.Ordinal))
        {
            bool isIn = to is null
                ? key == from
                : string.CompareOrdinal(key, from) >= 0 && string.CompareOrdinal(key, to) < 0;
            if (!isIn || At(key, revision) is not { } state)
            {
                continue;
            }

            Require(
                found < answer.Keys.Count && answer.Keys[found] == state,
                $"read on member {member} at {revision}: {key} should be {state},"
                + $" is {(found < answer.Keys.Count ? answer.Keys[found].ToString() : "missing")}");
            found++;
        }

        Require(found == answer.Keys.Count, $"read on member {member} at {revision}: more keys than there are");
    }

    /// <summary>Everything that was acknowledged is there: the keys as a member has them now, against the model.</summary>
    public void ReadAll(int member, in RangeAnswer answer) =>
        Read(member, true, "\0", "\x7f", 0, answer, LastRevision);

    /// <summary>A key as of a revision; null when it is not there.</summary>
    public KeyState? At(string key, long revision)
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

    private void Add(KeyState state, long revision)
    {
        Require(state.Revision == revision, $"mod revision {state.Revision} at {revision}");
        KeyState? before = At(state.Key, revision - 1);
        if (!state.IsDelete)
        {
            Require(_puts.TryGetValue(state.Value, out Put? put), $"a value nobody put: {state.Value} at {revision}");
            Require(put!.Key == state.Key, $"{state.Value} under the wrong key {state.Key}");
            Require(!put.IsRefused, $"{state.Value} was refused, and is there at {revision}");
            Require(put.Revision == 0, $"{state.Value} twice: at {put.Revision} and {revision}");
            put.Revision = revision;
            Require(
                state.Create == (before?.Create ?? revision) && state.Version == (before?.Version ?? 0) + 1,
                $"{state} after {before}");
        }
        else
        {
            Require(before is not null, $"delete of {state.Key} at {revision}, which was not there");
        }

        if (!_keys.TryGetValue(state.Key, out List<KeyState>? states))
        {
            _keys.Add(state.Key, states = []);
        }

        states.Add(state);
    }

    private static string Show(KeyState[] states) => "[" + string.Join("; ", states) + "]";

    private sealed class Put(string key)
    {
        public string Key => key;

        public long Revision { get; set; }

        public bool IsRefused { get; set; }
    }
}

/// <summary>A RangeResponse.</summary>
internal readonly record struct RangeAnswer(long Revision, List<KeyState> Keys);

/// <summary>The text of a failure; empty work where there is none.</summary>
[InterpolatedStringHandler]
internal ref struct Why
{
    private DefaultInterpolatedStringHandler _text;

    public Why(int literalLength, int formattedCount, bool holds, out bool isWanted)
    {
        isWanted = !holds;
        _text = isWanted ? new DefaultInterpolatedStringHandler(literalLength, formattedCount) : default;
    }

    public string Text => _text.ToStringAndClear();

    public void AppendLiteral(string text) => _text.AppendLiteral(text);

    public void AppendFormatted<T>(T value) => _text.AppendFormatted(value);

    public void AppendFormatted<T>(T value, string format) => _text.AppendFormatted(value, format);
}
