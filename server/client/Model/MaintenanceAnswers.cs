namespace Perf.Client;

/// <summary>Kind of an alarm.</summary>
public enum AlarmType
{
    /// <summary>All kinds, in a request.</summary>
    None = 0,

    /// <summary>The data file has reached its quota; writes are refused.</summary>
    NoSpace = 1,

    /// <summary>Members disagree about the data.</summary>
    Corrupt = 2,
}

/// <summary>An alarm raised by a member.</summary>
public sealed record Alarm(ulong MemberId, AlarmType Type);

/// <summary>The alarms that are up.</summary>
public sealed class AlarmResponse : EtcdResponse
{
    /// <summary>None when all is well.</summary>
    public IReadOnlyList<Alarm> Alarms { get; init; } = [];

    internal static AlarmResponse From(Etcdserverpb.AlarmResponse m) => new()
    {
        HasHeader = m.Header is not null,
        Header = ResponseHeader.From(m.Header),
        Alarms = m.Alarms.Select(a => new Alarm(a.MemberID, (AlarmType)a.Alarm)).ToArray(),
        Message = m,
    };
}

/// <summary>State of one member.</summary>
public sealed class StatusResponse : EtcdResponse
{
    /// <summary>Its version, "3.5.33".</summary>
    public string Version { get; init; } = "";

    /// <summary>Bytes of its data file.</summary>
    public long DbSize { get; init; }

    /// <summary>Bytes of its data file that hold data.</summary>
    public long DbSizeInUse { get; init; }

    /// <summary>The member it believes to lead, or 0.</summary>
    public ulong Leader { get; init; }

    /// <summary>The last entry it knows to be committed.</summary>
    public ulong RaftIndex { get; init; }

    /// <summary>The term it is in.</summary>
    public ulong RaftTerm { get; init; }

    /// <summary>The last entry whose effect can be read from it.</summary>
    public ulong RaftAppliedIndex { get; init; }

    /// <summary>What is wrong with it, such as an alarm that is up.</summary>
    public IReadOnlyList<string> Errors { get; init; } = [];

    /// <summary>True while it receives the log without a vote.</summary>
    public bool IsLearner { get; init; }

    internal static StatusResponse From(Etcdserverpb.StatusResponse m) => new()
    {
        HasHeader = m.Header is not null,
        Header = ResponseHeader.From(m.Header),
        Version = m.Version,
        DbSize = m.DbSize,
        DbSizeInUse = m.DbSizeInUse,
        Leader = m.Leader,
        RaftIndex = m.RaftIndex,
        RaftTerm = m.RaftTerm,
        RaftAppliedIndex = m.RaftAppliedIndex,
        Errors = m.Errors.ToArray(),
        IsLearner = m.IsLearner,
        Message = m,
    };
}

/// <summary>Hash of a member's key-value history.</summary>
public sealed class HashKvResponse : EtcdResponse
{
    /// <summary>Equal on members that hold the same history.</summary>
    public uint Hash { get; init; }

    /// <summary>The compaction the hash starts from; hashes are comparable only when these are equal.</summary>
    public long CompactRevision { get; init; }

    internal static HashKvResponse From(Etcdserverpb.HashKVResponse m) => new()
    {
        HasHeader = m.Header is not null,
        Header = ResponseHeader.From(m.Header),
        Hash = m.Hash,
        CompactRevision = m.CompactRevision,
        Message = m,
    };
}

/// <summary>What to do about a downgrade.</summary>
public enum DowngradeStep
{
    /// <summary>Only ask.</summary>
    Validate = 0,

    /// <summary>Let members of the older version join from now on.</summary>
    Enable = 1,

    /// <summary>Call it off.</summary>
    Cancel = 2,
}

/// <summary>Answer to a downgrade's step.</summary>
public sealed class DowngradeAnswer : EtcdResponse
{
    /// <summary>The cluster's version.</summary>
    public string Version { get; init; } = "";
}
