using Etcdserverpb;

namespace Perf.Client;

/// <summary>Leases: keys attached to one vanish when nobody renews it. Thread-safe.</summary>
public sealed class Leases
{
    private readonly Caller _caller;
    private readonly LeaseStream _stream;

    internal Leases(Caller caller)
    {
        _caller = caller;
        _stream = new LeaseStream(caller);
    }

    /// <summary>Grants a lease of at least <paramref name="ttlSeconds"/>; the server chooses the id when it is 0.</summary>
    public async Task<LeaseGrantResponse> GrantAsync(
        long ttlSeconds, long id = 0, CancellationToken cancellation = default) =>
        LeaseGrantResponse.From(await _caller.UnaryAsync(
            "/etcdserverpb.Lease/LeaseGrant",
            new LeaseGrantRequest { TTL = ttlSeconds, ID = id },
            Etcdserverpb.LeaseGrantResponse.Parser,
            Repeat.WhenUnavailable,
            cancellation).ConfigureAwait(false));

    /// <summary>Ends a lease and deletes its keys.</summary>
    public async Task<EtcdResponse> RevokeAsync(long id, CancellationToken cancellation = default)
    {
        LeaseRevokeResponse m = await _caller.UnaryAsync(
            "/etcdserverpb.Lease/LeaseRevoke",
            new LeaseRevokeRequest { ID = id },
            LeaseRevokeResponse.Parser,
            Repeat.WhenUnavailable,
            cancellation).ConfigureAwait(false);
        return EtcdResponse.From(m.Header, m);
    }

    /// <summary>How long a lease has left; <see cref="LeaseTimeToLiveResponse.Ttl"/> is -1 when it is gone.</summary>
    public async Task<LeaseTimeToLiveResponse> TimeToLiveAsync(
        long id, bool keys = false, CancellationToken cancellation = default) =>
        LeaseTimeToLiveResponse.From(await _caller.UnaryAsync(
            "/etcdserverpb.Lease/LeaseTimeToLive",
            new LeaseTimeToLiveRequest { ID = id, Keys = keys },
            Etcdserverpb.LeaseTimeToLiveResponse.Parser,
            Repeat.WhenUnavailable,
            cancellation).ConfigureAwait(false));

    /// <summary>All leases.</summary>
    public async Task<LeaseLeasesResponse> ListAsync(CancellationToken cancellation = default) =>
        LeaseLeasesResponse.From(await _caller.UnaryAsync(
            "/etcdserverpb.Lease/LeaseLeases",
            new LeaseLeasesRequest(),
            Etcdserverpb.LeaseLeasesResponse.Parser,
            Repeat.WhenUnavailable,
            cancellation).ConfigureAwait(false));

    /// <summary>Renews a lease once; throws with <see cref="EtcdErrors.LeaseNotFound"/> when it is gone.</summary>
    public async Task<LeaseKeepAliveResponse> KeepAliveOnceAsync(long id, CancellationToken cancellation = default)
    {
        for (int attempt = 1; ; attempt++)
        {
            try
            {
                await using Duplex<LeaseKeepAliveRequest, Etcdserverpb.LeaseKeepAliveResponse> call =
                    await LeaseStream.OpenAsync(_caller, requireLeader: false, cancellation).ConfigureAwait(false);
                await call.SendAsync(new LeaseKeepAliveRequest { ID = id }, cancellation).ConfigureAwait(false);
                Etcdserverpb.LeaseKeepAliveResponse? answer =
                    await call.ReceiveAsync().ConfigureAwait(false)
                    ?? throw new EtcdException(RpcCode.Unavailable, "the stream ended without an answer");
                return answer.TTL > 0
                    ? LeaseKeepAliveResponse.From(answer)
                    : throw new EtcdException(RpcCode.NotFound, EtcdErrors.LeaseNotFound);
            }
            catch (EtcdException e) when (e.Code == RpcCode.Unavailable && attempt < _caller.AttemptsMax)
            {
                await Task.Delay(LeaseStream.ReconnectDelay, cancellation).ConfigureAwait(false);
            }
        }
    }

    /// <summary>
    /// Renews a lease in the background, at a third of its time to live, until the keeper is disposed or the lease
    /// is lost. All keepers of a client share one stream, which is reopened on any member that answers.
    /// </summary>
    public LeaseKeeper KeepAlive(long id) => _stream.Add(id);
}
