namespace Perf.Client;

/// <summary>Answer to a grant.</summary>
public sealed class LeaseGrantResponse : EtcdResponse
{
    /// <summary>The lease's id.</summary>
    public long Id { get; init; }

    /// <summary>Seconds the server grants; at least what was asked for.</summary>
    public long Ttl { get; init; }

    /// <summary>etcd's own error text; always empty in practice.</summary>
    public string Error { get; init; } = "";

    internal static LeaseGrantResponse From(Etcdserverpb.LeaseGrantResponse m) => new()
    {
        HasHeader = m.Header is not null,
        Header = ResponseHeader.From(m.Header),
        Id = m.ID,
        Ttl = m.TTL,
        Error = m.Error,
        Message = m,
    };
}

/// <summary>Answer to a keep-alive.</summary>
public sealed class LeaseKeepAliveResponse : EtcdResponse
{
    /// <summary>The lease's id.</summary>
    public long Id { get; init; }

    /// <summary>Seconds from now until it runs out; 0 when the lease is gone.</summary>
    public long Ttl { get; init; }

    internal static LeaseKeepAliveResponse From(Etcdserverpb.LeaseKeepAliveResponse m) => new()
    {
        HasHeader = m.Header is not null,
        Header = ResponseHeader.From(m.Header),
        Id = m.ID,
        Ttl = m.TTL,
        Message = m,
    };
}

/// <summary>Answer to a time-to-live question.</summary>
public sealed class LeaseTimeToLiveResponse : EtcdResponse
{
    /// <summary>The lease's id.</summary>
    public long Id { get; init; }

    /// <summary>Seconds left; -1 when there is no such lease.</summary>
    public long Ttl { get; init; }

    /// <summary>Seconds granted at the beginning.</summary>
    public long GrantedTtl { get; init; }

    /// <summary>Keys attached to the lease, when asked for; in no particular order.</summary>
    public IReadOnlyList<Bytes> Keys { get; init; } = [];

    internal static LeaseTimeToLiveResponse From(Etcdserverpb.LeaseTimeToLiveResponse m) => new()
    {
        HasHeader = m.Header is not null,
        Header = ResponseHeader.From(m.Header),
        Id = m.ID,
        Ttl = m.TTL,
        GrantedTtl = m.GrantedTTL,
        Keys = m.Keys.Select(k => new Bytes(k.Memory)).ToArray(),
        Message = m,
    };
}

/// <summary>All leases of the cluster.</summary>
public sealed class LeaseLeasesResponse : EtcdResponse
{
    /// <summary>Their ids.</summary>
    public IReadOnlyList<long> Leases { get; init; } = [];

    internal static LeaseLeasesResponse From(Etcdserverpb.LeaseLeasesResponse m) => new()
    {
        HasHeader = m.Header is not null,
        Header = ResponseHeader.From(m.Header),
        Leases = m.Leases.Select(l => l.ID).ToArray(),
        Message = m,
    };
}
