namespace Perf.Raft;

/// <summary>
/// raftpb.ConfState without joint consensus: who votes, who learns. Ids ascending, nobody in both lists.
/// </summary>
public sealed class ConfState
{
    public static readonly ConfState Empty = new([], []);

    private readonly ulong[] _voters;
    private readonly ulong[] _learners;

    public ConfState(ReadOnlySpan<ulong> voters, ReadOnlySpan<ulong> learners)
    {
        _voters = voters.ToArray();
        _learners = learners.ToArray();
        Array.Sort(_voters);
        Array.Sort(_learners);
    }

    public ReadOnlySpan<ulong> Voters => _voters;

    public ReadOnlySpan<ulong> Learners => _learners;

    public bool IsVoter(ulong id) => Array.BinarySearch(_voters, id) >= 0;

    public bool IsLearner(ulong id) => Array.BinarySearch(_learners, id) >= 0;

    public bool Contains(ulong id) => IsVoter(id) || IsLearner(id);

    /// <summary>False for id 0, an id twice, an id in both lists. An empty one is valid: a member that knows nobody yet.</summary>
    public bool IsValid
    {
        get
        {
            for (int i = 0; i < _voters.Length; i++)
            {
                if (_voters[i] == 0 || (i > 0 && _voters[i] == _voters[i - 1]) || IsLearner(_voters[i]))
                {
                    return false;
                }
            }

            for (int i = 0; i < _learners.Length; i++)
            {
                if (_learners[i] == 0 || (i > 0 && _learners[i] == _learners[i - 1]))
                {
                    return false;
                }
            }

            return true;
        }
    }

    public bool SameAs(ConfState other) =>
        Voters.SequenceEqual(other.Voters) && Learners.SequenceEqual(other.Learners);

    /// <inheritdoc/>
    public override string ToString() =>
        $"voters=[{string.Join(' ', _voters.Select(v => v.ToString("x")))}] learners=[{string.Join(' ', _learners.Select(v => v.ToString("x")))}]";
}
