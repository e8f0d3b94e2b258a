namespace Perf.Client;

/// <summary>
/// Reads that never go back in time. A serializable read is answered by any member from what it has, so two of them may
/// show a newer state first and an older one next; through this, an answer older than one already seen is asked for
/// again, of the other members, and never returned. One instance is one timeline: share it among those that must agree.
/// Thread-safe.
/// </summary>
public sealed class OrderedReads
{
    private const int RoundsMax = 5;
    private static readonly TimeSpan Pause = TimeSpan.FromMilliseconds(25);

    private readonly EtcdClient _client;
    private readonly Kv _kv;
    private long _seen;

    /// <summary>Begins a timeline of a client, or with <paramref name="kv"/> of one of its namespaces.</summary>
    public OrderedReads(EtcdClient client, Kv? kv = null)
    {
        _client = client;
        _kv = kv ?? client.Kv;
    }

    /// <summary>The newest revision seen. Nothing older is returned.</summary>
    public long Revision => Volatile.Read(ref _seen);

    /// <summary>Counts a revision learned elsewhere, such as that of a write, as seen.</summary>
    public void Saw(long revision)
    {
        long seen = Revision;
        while (revision > seen)
        {
            long before = Interlocked.CompareExchange(ref _seen, revision, seen);
            if (before == seen)
            {
                return;
            }

            seen = before;
        }
    }

    /// <summary>
    /// Reads like <see cref="Kv.GetAsync"/>. Throws <see cref="EtcdException"/> with <see cref="RpcCode.Unavailable"/>
    /// when no member that answers has caught up with what was seen.
    /// </summary>
    public async Task<GetResponse> GetAsync(
        Bytes key, GetOptions? options = null, CancellationToken cancellation = default)
    {
        long floor = Revision;
        int attempts = RoundsMax * _client.Endpoints.Count;
        for (int attempt = 1; ; attempt++)
        {
            GetResponse answer = await _kv.GetAsync(key, options, cancellation).ConfigureAwait(false);
            if (answer.Header.Revision >= floor)
            {
                Saw(answer.Header.Revision);
                return answer;
            }

            if (attempt == attempts)
            {
                throw new EtcdException(
                    RpcCode.Unavailable,
                    "etcdclient: no cluster members have a revision higher than the previously received revision");
            }

            if (attempt % _client.Endpoints.Count == 0)
            {
                await Task.Delay(Pause, cancellation).ConfigureAwait(false);
            }
        }
    }
}
