using Perf.Node;

namespace Perf.Rpc;

/// <summary>Tells a stream whose client wants a leader that there has been none for three election timeouts.</summary>
internal sealed class LeaderGuard : IDisposable
{
    private readonly TaskCompletionSource _lost = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly EtcdNode _node;
    private readonly Timer _timer;
    private readonly int _missesMax;
    private int _misses;

    public LeaderGuard(EtcdNode node)
    {
        _node = node;
        TimeSpan look = TimeSpan.FromMilliseconds(node.Config.HeartbeatMs);
        _missesMax = 3 * node.Config.ElectionTicks;
        _timer = new Timer(_ => Look(), null, look, look);
    }

    /// <summary>Completes when the leader is lost for good.</summary>
    public Task Lost => _lost.Task;

    public void Dispose() => _timer.Dispose();

    private void Look()
    {
        _misses = _node.Raft.Leader == 0 ? _misses + 1 : 0;
        if (_misses >= _missesMax)
        {
            _lost.TrySetResult();
        }
    }
}
