namespace Perf.Client;

/// <summary>
/// Chooses the member for each call: round robin over those not resting. When all rest it waits, so that a call is
/// never sent where it cannot arrive.
/// </summary>
internal sealed class Balancer : IAsyncDisposable
{
    private readonly EtcdClientOptions _options;
    private readonly object _gate = new();
    private readonly List<Endpoint> _retired = [];
    private Endpoint[] _endpoints;
    private uint _next;

    public Balancer(EtcdClientOptions options)
    {
        _options = options;
        _endpoints = options.Endpoints.Select(e => new Endpoint(e, options)).ToArray();
    }

    public IReadOnlyList<string> Names => Volatile.Read(ref _endpoints).Select(e => e.Name).ToArray();

    /// <summary>Replaces the members; channels to those that stay are kept, and calls under way are not disturbed.</summary>
    public void Replace(IReadOnlyList<string> names)
    {
        lock (_gate)
        {
            Endpoint[] old = _endpoints;
            Endpoint[] all = names
                .Select(n => Array.Find(old, e => e.Name == n) ?? new Endpoint(n, _options)).ToArray();
            _retired.AddRange(old.Except(all));
            Volatile.Write(ref _endpoints, all);
        }
    }

    /// <summary>The member with this name: one of the balanced ones, or one made for the purpose.</summary>
    public Endpoint Named(string name)
    {
        lock (_gate)
        {
            Endpoint? known = Array.Find(_endpoints, e => e.Name == name) ?? _retired.Find(e => e.Name == name);
            if (known is null)
            {
                known = new Endpoint(name, _options);
                _retired.Add(known);
            }

            return known;
        }
    }

    /// <summary>Waits for a member that may be tried; with a name, for that one.</summary>
    public async ValueTask<Endpoint> PickAsync(string? name, CancellationToken cancellation)
    {
        while (true)
        {
            cancellation.ThrowIfCancellationRequested();
            Endpoint[] endpoints = name is null ? Volatile.Read(ref _endpoints) : [Named(name)];
            long now = Environment.TickCount64;
            long wait = long.MaxValue;
            uint first = Interlocked.Increment(ref _next) - 1;
            for (uint i = 0; i < endpoints.Length; i++)
            {
                Endpoint candidate = endpoints[(first + i) % (uint)endpoints.Length];
                long rest = candidate.RestUntilMillis - now;
                if (rest <= 0)
                {
                    return candidate;
                }

                wait = Math.Min(wait, rest);
            }

            await Task.Delay(TimeSpan.FromMilliseconds(Math.Min(wait, 1000)), cancellation).ConfigureAwait(false);
        }
    }

    public async ValueTask DisposeAsync()
    {
        Endpoint[] all;
        lock (_gate)
        {
            all = [.. _endpoints, .. _retired];
        }

        foreach (Endpoint endpoint in all)
        {
            await endpoint.DisposeAsync().ConfigureAwait(false);
        }
    }
}
