using System.Threading.Tasks.Sources;
using Perf.Store;
using Perf.Store.Apply;

namespace Perf.Node.Consensus;

/// <summary>
/// A proposal on its way through the pipeline and, at the end, its answer. Pooled: the asker awaits it once, reads
/// <see cref="Error"/> and <see cref="Response"/>, then calls <see cref="Dispose"/>, which gives it back.
/// The apply loop fills it; exactly one party wins the right to complete it (see <see cref="PendingTable"/>).
/// </summary>
public sealed class PendingRequest : IValueTaskSource, IThreadPoolWorkItem, IDisposable, ICompletable
{
    private const int ResponseBytesKept = 64 * 1024;
    private readonly PendingTable _owner;
    private ManualResetValueTaskSourceCore<bool> _core;

    internal PendingRequest(PendingTable owner)
    {
        _owner = owner;
        // Completions are already delivered from a pool thread, in batches; see Completions.
        _core.RunContinuationsAsynchronously = false;
    }

    /// <summary>The request's id in the log.</summary>
    public ulong Id { get; internal set; }

    /// <summary>The outcome; <see cref="StoreError.None"/> when applied.</summary>
    public StoreError Error { get; internal set; }

    /// <summary>The whole response message. Good until <see cref="Dispose"/>.</summary>
    public ReadOnlySpan<byte> Response => Buffer.WrittenSpan;

    /// <summary>All that apply said of it, for requests whose answer is not a message (v2, membership).</summary>
    public ApplyOutcome Outcome { get; internal set; }

    /// <summary>True once it was completed.</summary>
    internal bool IsFinished => _core.GetStatus(_core.Version) != ValueTaskSourceStatus.Pending;

    internal ResponseBuffer Buffer { get; } = new();

    internal long DeadlineTicks { get; set; }

    /// <summary>Completes when the request was applied, refused or given up.</summary>
    public ValueTask Completion => new(this, _core.Version);

    /// <summary>Gives the object back; nothing of it may be used afterwards.</summary>
    public void Dispose() => _owner.Return(this);

    /// <summary>Delivers a single completion on a pool thread.</summary>
    void IThreadPoolWorkItem.Execute() => Complete();

    void IValueTaskSource.GetResult(short token) => _core.GetResult(token);

    ValueTaskSourceStatus IValueTaskSource.GetStatus(short token) => _core.GetStatus(token);

    void IValueTaskSource.OnCompleted(
        Action<object?> continuation, object? state, short token, ValueTaskSourceOnCompletedFlags flags) =>
        _core.OnCompleted(continuation, state, token, flags);

    /// <summary>Runs the asker's continuation on this thread.</summary>
    public void Complete() => _core.SetResult(true);

    internal void Reset()
    {
        _core.Reset();
        Error = StoreError.None;
        Outcome = default;
        Buffer.Clear(ResponseBytesKept);
    }
}
