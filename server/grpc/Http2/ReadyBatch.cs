using System.Diagnostics;

namespace Perf.Grpc;

/// <summary>
/// What the frames of one read have brought about, to be run once the next read is under way: nothing of it runs under the gate, and
/// a handler that takes its time keeps nobody from reading on.
/// </summary>
internal sealed class ReadyBatch
{
    private readonly List<Item> _items = new(16);
    private long _readAt;

    /// <summary>When that read was, for all calls that it opened (<see cref="Stopwatch.GetTimestamp"/>).</summary>
    public long ReadAt => _readAt != 0 ? _readAt : _readAt = Stopwatch.GetTimestamp();

    public int Count => _items.Count;

    public void Add(IReady target, int what = 0) => _items.Add(new Item(target, what));

    public void Cancel(CancellationTokenSource source) => _items.Add(new Item(source, 0));

    /// <summary>Runs all of it on this thread, and is empty again. What it writes leaves at the end.</summary>
    public void Run()
    {
        OutputBatch.Begin();
        try
        {
            bool isAlone = _items.Count == 1;
            foreach (Item item in _items)
            {
                if (item.Target is IReady ready)
                {
                    ready.Go(item.What, isAlone);
                }
                else
                {
                    Cancellation.Fire((CancellationTokenSource)item.Target);
                }
            }
        }
        finally
        {
            _items.Clear();
            _readAt = 0;
            OutputBatch.End();
        }
    }

    private readonly record struct Item(object Target, int What);
}

/// <summary>Something a batch runs.</summary>
internal interface IReady
{
    /// <summary>Never throws.</summary>
    void Go(int what, bool isAlone);
}

/// <summary>Cancelling runs what others have registered.</summary>
internal static class Cancellation
{
    public static void Fire(CancellationTokenSource source)
    {
        try
        {
            source.Cancel();
        }
        catch (Exception e) when (e is ObjectDisposedException or AggregateException)
        {
            // The call has ended meanwhile, or a listener of its token is broken.
        }
    }

    /// <summary>The same on the pool.</summary>
    public static void FireSoon(CancellationTokenSource source) =>
        ThreadPool.UnsafeQueueUserWorkItem(static source => Fire(source), source, preferLocal: false);
}
