using System.Threading.Channels;

namespace Perf.Client;

/// <summary>
/// A lease being renewed. It is lost when the server says so, or when no renewal was confirmed for as long as the
/// last one granted: from then on the lease must be taken as gone, even if the server has not noticed yet.
/// </summary>
public sealed class LeaseKeeper : IDisposable
{
    private readonly LeaseStream _stream;
    private readonly CancellationTokenSource _lost = new();
    private readonly Channel<LeaseKeepAliveResponse> _responses = Channel.CreateBounded<LeaseKeepAliveResponse>(
        new BoundedChannelOptions(16) { FullMode = BoundedChannelFullMode.DropOldest });

    internal LeaseKeeper(LeaseStream stream, long id, long now)
    {
        _stream = stream;
        Id = id;
        NextSendMillis = now;
        DeadlineMillis = now + (long)LeaseStream.FirstAnswerWithin.TotalMilliseconds;
    }

    /// <summary>The lease.</summary>
    public long Id { get; }

    /// <summary>Cancelled when the lease is lost. Not cancelled by <see cref="Dispose"/>.</summary>
    public CancellationToken Lost => _lost.Token;

    /// <summary>Raised once, from the keeper's thread, when the lease is lost.</summary>
    public event Action? OnLost;

    internal long NextSendMillis { get; set; }

    internal long DeadlineMillis { get; set; }

    /// <summary>
    /// The confirmations as they come; ends when the lease is lost or the keeper disposed. Only the newest 16 are kept
    /// for a reader that lags. For one reader.
    /// </summary>
    public IAsyncEnumerable<LeaseKeepAliveResponse> ReadAllAsync(CancellationToken cancellation = default) =>
        _responses.Reader.ReadAllAsync(cancellation);

    /// <summary>Stops renewing. The lease itself lives on until it runs out.</summary>
    public void Dispose()
    {
        _stream.Remove(this);
        _responses.Writer.TryComplete();
    }

    internal void Confirm(LeaseKeepAliveResponse response) => _responses.Writer.TryWrite(response);

    internal void Lose()
    {
        _responses.Writer.TryComplete();
        _lost.Cancel();
        OnLost?.Invoke();
    }
}
