using Etcdserverpb;

namespace Perf.Client;

/// <summary>Care of the members. Thread-safe. Calls that take an endpoint go to that one alone.</summary>
public sealed class Maintenance
{
    private readonly Caller _caller;

    internal Maintenance(Caller caller) => _caller = caller;

    /// <summary>The alarms that are up.</summary>
    public Task<AlarmResponse> AlarmListAsync(CancellationToken cancellation = default) =>
        AlarmAsync(new AlarmRequest { Action = AlarmRequest.Types.AlarmAction.Get }, cancellation);

    /// <summary>
    /// Takes alarms down: all of them, or the one given. Answers with the alarms taken down.
    /// </summary>
    public async Task<AlarmResponse> AlarmDisarmAsync(Alarm? alarm = null, CancellationToken cancellation = default)
    {
        if (alarm is not null)
        {
            return await AlarmAsync(Disarm(alarm), cancellation).ConfigureAwait(false);
        }

        AlarmResponse up = await AlarmListAsync(cancellation).ConfigureAwait(false);
        var down = new List<Alarm>();
        var wire = new Etcdserverpb.AlarmResponse();
        foreach (Alarm one in up.Alarms)
        {
            AlarmResponse answer = await AlarmAsync(Disarm(one), cancellation).ConfigureAwait(false);
            down.AddRange(answer.Alarms);
            wire.Alarms.AddRange(((Etcdserverpb.AlarmResponse)answer.Message!).Alarms);
        }

        return new AlarmResponse { HasHeader = false, Alarms = down, Message = wire };
    }

    /// <summary>State of one member.</summary>
    public async Task<StatusResponse> StatusAsync(string endpoint, CancellationToken cancellation = default) =>
        StatusResponse.From(await _caller.UnaryAsync(
            "/etcdserverpb.Maintenance/Status",
            new StatusRequest(),
            Etcdserverpb.StatusResponse.Parser,
            Repeat.WhenUnavailable,
            cancellation,
            endpoint).ConfigureAwait(false));

    /// <summary>Gives free space of one member's file back to the file system.</summary>
    public async Task<EtcdResponse> DefragmentAsync(string endpoint, CancellationToken cancellation = default)
    {
        DefragmentResponse m = await _caller.UnaryAsync(
            "/etcdserverpb.Maintenance/Defragment",
            new DefragmentRequest(),
            DefragmentResponse.Parser,
            Repeat.WhenNotSent,
            cancellation,
            endpoint).ConfigureAwait(false);
        return EtcdResponse.From(m.Header, m);
    }

    /// <summary>Hash of one member's history up to a revision; 0 for the newest.</summary>
    public async Task<HashKvResponse> HashKvAsync(
        string endpoint, long revision, CancellationToken cancellation = default) =>
        HashKvResponse.From(await _caller.UnaryAsync(
            "/etcdserverpb.Maintenance/HashKV",
            new HashKVRequest { Revision = revision },
            HashKVResponse.Parser,
            Repeat.WhenUnavailable,
            cancellation,
            endpoint).ConfigureAwait(false));

    /// <summary>
    /// Hash of one member's whole data file, for tests of etcd itself: it differs between members that hold the same
    /// keys. <see cref="HashKvAsync"/> is what members are compared by.
    /// </summary>
    public async Task<HashKvResponse> HashAsync(string endpoint, CancellationToken cancellation = default)
    {
        HashResponse m = await _caller.UnaryAsync(
            "/etcdserverpb.Maintenance/Hash",
            new HashRequest(),
            HashResponse.Parser,
            Repeat.WhenUnavailable,
            cancellation,
            endpoint).ConfigureAwait(false);
        return HashKvResponse.From(new HashKVResponse { Header = m.Header, Hash = m.Hash });
    }

    /// <summary>
    /// Asks whether the cluster could be downgraded to a minor version ("3.5"), begins it, or calls it off (with an
    /// empty version). Answers with the cluster's version.
    /// </summary>
    public async Task<DowngradeAnswer> DowngradeAsync(
        DowngradeStep step, string version, CancellationToken cancellation = default)
    {
        DowngradeResponse m = await _caller.UnaryAsync(
            "/etcdserverpb.Maintenance/Downgrade",
            new DowngradeRequest { Action = (DowngradeRequest.Types.DowngradeAction)step, Version = version },
            DowngradeResponse.Parser,
            Repeat.WhenNotSent,
            cancellation).ConfigureAwait(false);
        return new DowngradeAnswer
        {
            HasHeader = m.Header is not null,
            Header = ResponseHeader.From(m.Header),
            Version = m.Version,
            Message = m,
        };
    }

    /// <summary>Hands leadership to another member. Must reach the leader.</summary>
    public async Task<EtcdResponse> MoveLeaderAsync(
        ulong target, string? endpoint = null, CancellationToken cancellation = default)
    {
        MoveLeaderResponse m = await _caller.UnaryAsync(
            "/etcdserverpb.Maintenance/MoveLeader",
            new MoveLeaderRequest { TargetID = target },
            MoveLeaderResponse.Parser,
            Repeat.WhenNotSent,
            cancellation,
            endpoint).ConfigureAwait(false);
        return EtcdResponse.From(m.Header, m);
    }

    /// <summary>
    /// Copies a member's data file, followed by its SHA-256, into a stream. Returns the number of bytes written.
    /// A snapshot cut short by a failure throws; what was written is then worthless.
    /// </summary>
    public async Task<long> SnapshotAsync(Stream target, CancellationToken cancellation = default)
    {
        await using Duplex<SnapshotRequest, SnapshotResponse> call =
            await _caller.OpenAsync<SnapshotRequest, SnapshotResponse>(
                "/etcdserverpb.Maintenance/Snapshot",
                SnapshotResponse.Parser,
                requireLeader: false,
                endpoint: null,
                cancellation).ConfigureAwait(false);
        await call.SendAsync(new SnapshotRequest(), cancellation).ConfigureAwait(false);
        await call.CompleteAsync().ConfigureAwait(false);
        long written = 0;
        while (await call.ReceiveAsync().ConfigureAwait(false) is { } part)
        {
            await target.WriteAsync(part.Blob.Memory, cancellation).ConfigureAwait(false);
            written += part.Blob.Length;
        }

        return written;
    }

    private static AlarmRequest Disarm(Alarm alarm) => new()
    {
        Action = AlarmRequest.Types.AlarmAction.Deactivate,
        MemberID = alarm.MemberId,
        Alarm = (Etcdserverpb.AlarmType)alarm.Type,
    };

    private async Task<AlarmResponse> AlarmAsync(AlarmRequest request, CancellationToken cancellation) =>
        AlarmResponse.From(await _caller.UnaryAsync(
            "/etcdserverpb.Maintenance/Alarm",
            request,
            Etcdserverpb.AlarmResponse.Parser,
            Repeat.WhenUnavailable,
            cancellation).ConfigureAwait(false));
}
