using System.Buffers;
using System.Diagnostics;
using Perf.Engine;
using Perf.Engine.Transactions;
using Perf.Node.Consensus;
using Perf.Node.Metrics;
using Perf.Store;
using Perf.Store.Commands;
using Perf.Store.Maintenance;

namespace Perf.Node;

/// <summary>A pinned image of the data file, as snapshots carry it. Dispose it soon: it holds freed pages.</summary>
public sealed class NodeImage : IDisposable
{
    private readonly DataImage _image;
    private readonly Histogram _times;
    private readonly long _since = Stopwatch.GetTimestamp();

    internal NodeImage(DataImage image, Histogram times)
    {
        _image = image;
        _times = times;
    }

    /// <summary>Bytes of the image.</summary>
    public long Length => _image.Length;

    /// <summary>Reads from an offset; fewer bytes only at the end.</summary>
    public int Read(Span<byte> target, long offset) => _image.Read(target, offset);

    /// <inheritdoc/>
    public void Dispose()
    {
        _image.Dispose();
        _times.ObserveSince(_since);
    }
}

/// <summary>Looking after the data file.</summary>
public sealed partial class EtcdNode
{
    /// <summary>Pages that a commit moves while a defragmentation runs: about a millisecond of writing.</summary>
    private const int RelocatedPagesPerCommit = 256;

    private readonly SemaphoreSlim _defragment = new(1, 1);
    private int _raisingNoSpace;

    /// <summary>
    /// The data file as of a moment when it holds exactly what was applied. The caller disposes it.
    /// </summary>
    public Task<NodeImage> OpenImageAsync()
    {
        var image = new TaskCompletionSource<NodeImage>(TaskCreationOptions.RunContinuationsAsynchronously);
        Pipeline.Capture(() => { }, () => image.SetResult(new NodeImage(State.Backend.File.OpenImage(), SnapshotTimes)));
        return image.Task;
    }

    /// <summary>CRC over all buckets as of now (Maintenance.Hash).</summary>
    public Task<uint> HashAsync()
    {
        var hash = new TaskCompletionSource<uint>(TaskCreationOptions.RunContinuationsAsynchronously);
        long start = Stopwatch.GetTimestamp();
        Pipeline.Capture(
            () => { },
            () =>
            {
                hash.SetResult(State.Backend.HashCommitted());
                HashTimes.ObserveSince(start);
            });
        return hash.Task;
    }

    /// <summary>
    /// Refuses a request that does not fit into the quota any more, and has the alarm raised that tells the others.
    /// </summary>
    public StoreError CheckQuota(long cost)
    {
        if (State.Backend.SizeBytes + cost < Config.EffectiveQuotaBytes)
        {
            return StoreError.None;
        }

        if (Interlocked.Exchange(ref _raisingNoSpace, 1) == 0)
        {
            _ = RaiseNoSpaceAsync();
        }

        return StoreError.NoSpace;
    }

    /// <summary>Completes when everything below the revision has left the file.</summary>
    public async Task CompactedPhysicallyAsync(long revision)
    {
        while (State.Machine.Kv.FinishedCompactRevision < revision && _stopping == 0)
        {
            await Task.Delay(5).ConfigureAwait(false);
        }

        await CommittedAsync().ConfigureAwait(false);
    }

    /// <summary>
    /// Makes the data file small: commits move its tail into holes until nothing more moves. Reads and writes go on.
    /// </summary>
    public async Task DefragmentAsync()
    {
        await _defragment.WaitAsync().ConfigureAwait(false);
        long start = Stopwatch.GetTimestamp();
        try
        {
            int still = 0;
            long size = long.MaxValue;
            while (still < 3 && _stopping == 0)
            {
                await RelocatedAsync().ConfigureAwait(false);
                long now = State.Backend.SizeBytes;
                still = now < size ? 0 : still + 1;
                size = now;
            }
        }
        catch (DiskFullException)
        {
            // Moving needs room for what is moved; the file stays as it is.
            Log.Warn("defragmentation stopped: the disk is full");
        }
        finally
        {
            DefragmentTimes.ObserveSince(start);
            _defragment.Release();
        }
    }

    /// <summary>At a start: makes the data file small when enough would be freed. The member serves meanwhile.</summary>
    private void DefragmentIfWorthwhile()
    {
        long threshold = Config.BootstrapDefragThresholdMegabytes;
        if (threshold == 0)
        {
            return;
        }

        const int Megabyte = 1 << 20;
        long freeable = State.Backend.SizeBytes - State.Backend.SizeInUseBytes;
        bool isWorthwhile = freeable >= threshold * Megabyte;
        Log.Info(
            isWorthwhile ? "starting defragmentation" : "Skipping defragmentation",
            ("current-db-size-bytes", State.Backend.SizeBytes),
            ("current-db-size-in-use-bytes", State.Backend.SizeInUseBytes),
            ("experimental-bootstrap-defrag-threshold-bytes", threshold * Megabyte));
        if (isWorthwhile)
        {
            _ = DefragmentAsync();
        }
    }

    /// <summary>Completes after a commit that has moved a piece of the file's tail, even where nothing else is to be committed.</summary>
    private Task RelocatedAsync()
    {
        var done = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        Pipeline.Capture(() => { }, () =>
        {
            try
            {
                State.Backend.Relocate(RelocatedPagesPerCommit);
                done.SetResult();
            }
            catch (DiskFullException e)
            {
                done.SetException(e);
            }
        });
        return done.Task;
    }

    /// <summary>Completes after a commit that contains everything applied before the call.</summary>
    private Task CommittedAsync()
    {
        var done = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        Pipeline.Capture(() => { }, done.SetResult);
        return done.Task;
    }

    private async Task RaiseNoSpaceAsync()
    {
        Log.Warn("raising NOSPACE alarm", ("db-size", State.Backend.SizeBytes), ("quota", Config.EffectiveQuotaBytes));
        byte[] body = new AlarmRequest(AlarmAction.Activate, MemberId, AlarmKind.NoSpace).Encode();
        using PendingRequest request = Propose(
            InternalField.Alarm, new ReadOnlySequence<byte>(body), RequestIdentity.None);
        await request.Completion.ConfigureAwait(false);
        Volatile.Write(ref _raisingNoSpace, 0);
    }
}
