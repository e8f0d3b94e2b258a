using Perf.Store.Commands;

namespace Perf.Node.Metrics;

/// <summary>How long entries took to apply, by what they ask for and whether it was granted. Any thread reads.</summary>
public sealed class ApplyTimes
{
    /// <summary>The requests by etcd's names.</summary>
    private static readonly (int Field, string Name)[] Operations =
    [
        (InternalField.Put, "Put"),
        (InternalField.Range, "Range"),
        (InternalField.DeleteRange, "DeleteRange"),
        (InternalField.Txn, "Txn"),
        (InternalField.Compaction, "Compaction"),
        (InternalField.LeaseGrant, "LeaseGrant"),
        (InternalField.LeaseRevoke, "LeaseRevoke"),
        (InternalField.LeaseCheckpoint, "LeaseCheckpoint"),
        (InternalField.Alarm, "Alarm"),
        (InternalField.Authenticate, "Authenticate"),
    ];

    private static readonly IReadOnlyList<double> Bounds = Histogram.Powers(0.0001, 20);

    private readonly Histogram?[] _granted = new Histogram?[16];
    private readonly Histogram?[] _refused = new Histogram?[16];
    private readonly Histogram _authenticated = new(Bounds);
    private readonly Histogram _unauthenticated = new(Bounds);

    public ApplyTimes()
    {
        foreach ((int field, _) in Operations)
        {
            if (field < _granted.Length)
            {
                _granted[field] = new Histogram(Bounds);
                _refused[field] = new Histogram(Bounds);
            }
        }
    }

    /// <summary>All of them, with etcd's names.</summary>
    public IEnumerable<(string Operation, bool Success, Histogram Times)> All => Operations.SelectMany(
        operation => new[] { (operation.Name, true, Of(operation.Field, true)!), (operation.Name, false, Of(operation.Field, false)!) });

    /// <summary>Counts an entry; requests that are not told apart are left out. Apply thread.</summary>
    internal void Observe(int field, bool success, long ticks) => Of(field, success)?.Observe(ticks);

    private Histogram? Of(int field, bool success) =>
        (uint)field < (uint)_granted.Length ? (success ? _granted : _refused)[field]
        : field == InternalField.Authenticate ? (success ? _authenticated : _unauthenticated)
        : null;
}
