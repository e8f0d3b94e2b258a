using Perf.Client;
using Perf.Etcdctl.CommandLine;

namespace Perf.Etcdctl.Printing;

/// <summary>An endpoint's health, as asked.</summary>
internal sealed record EndpointHealth(string Endpoint, bool Healthy, string Took, string Error);

/// <summary>An endpoint's state.</summary>
internal sealed record EndpointStatus(string Endpoint, StatusResponse Status);

/// <summary>An endpoint's hash.</summary>
internal sealed record EndpointHash(string Endpoint, HashKvResponse Hash);

/// <summary>Everything that can be printed; named so that a format can say beforehand what it cannot.</summary>
internal enum Answer
{
    Get,
    Put,
    Delete,
    Txn,
    Watch,
    LeaseGrant,
    LeaseRevoke,
    LeaseKeepAlive,
    LeaseTimeToLive,
    LeaseList,
    MemberAdd,
    MemberRemove,
    MemberUpdate,
    MemberPromote,
    MemberList,
    EndpointHealth,
    EndpointStatus,
    EndpointHash,
    MoveLeader,
    Downgrade,
    Alarm,
    RoleGet,
    RoleList,
    UserGet,
    UserList,
    AuthStatus,

    /// <summary>A change of users or roles that answers with a header only.</summary>
    AuthChange,
}

/// <summary>An output format.</summary>
internal abstract class Printer
{
    protected Printer(Terminal terminal) => Terminal = terminal;

    protected Terminal Terminal { get; }

    /// <summary>The format's name as -w takes it.</summary>
    public abstract string Name { get; }

    /// <summary>The format for -w, or null when there is no such.</summary>
    public static Printer? New(string name, bool hex, bool decode, Terminal terminal) => name switch
    {
        "simple" => new SimplePrinter(terminal, hex),
        "json" => new JsonPrinter(terminal, hex, decode),
        "jsonl" => new JsonLinesPrinter(terminal, hex, decode),
        "fields" => new FieldsPrinter(terminal),
        "protobuf" => new ProtobufPrinter(terminal),
        "table" => new TablePrinter(terminal),
        _ => null,
    };

    /// <summary>False for answers the format has no form for. Asked before anything is sent.</summary>
    public abstract bool Supports(Answer answer);

    public virtual void Get(GetResponse r) => throw Unsupported();

    public virtual void Put(PutResponse r) => throw Unsupported();

    public virtual void Delete(DeleteResponse r) => throw Unsupported();

    public virtual void Txn(TxnResponse r) => throw Unsupported();

    /// <summary>Events, progress, or with a compact revision the end of a watch.</summary>
    public virtual void Watch(WatchResponse r, long compactRevision, bool canceled) => throw Unsupported();

    public virtual void LeaseGrant(LeaseGrantResponse r) => throw Unsupported();

    public virtual void LeaseRevoke(long id, EtcdResponse r) => throw Unsupported();

    public virtual void LeaseKeepAlive(LeaseKeepAliveResponse r) => throw Unsupported();

    public virtual void LeaseTimeToLive(LeaseTimeToLiveResponse r, bool keys) => throw Unsupported();

    public virtual void LeaseList(LeaseLeasesResponse r) => throw Unsupported();

    public virtual void MemberAdd(MembersResponse r) => throw Unsupported();

    /// <summary>A change of one member; <paramref name="done"/> is "removed from", "updated in" or "promoted in".</summary>
    public virtual void MemberChange(string done, ulong id, MembersResponse r) => throw Unsupported();

    public virtual void MemberList(MembersResponse r) => throw Unsupported();

    public virtual void Health(IReadOnlyList<EndpointHealth> all) => throw Unsupported();

    public virtual void Status(IReadOnlyList<EndpointStatus> all) => throw Unsupported();

    public virtual void Hash(IReadOnlyList<EndpointHash> all) => throw Unsupported();

    public virtual void MoveLeader(ulong from, ulong to, EtcdResponse r) => throw Unsupported();

    /// <summary>A step of a downgrade; the sentence is what the simple format says.</summary>
    public virtual void Downgrade(string sentence, DowngradeAnswer r) => throw Unsupported();

    public virtual void Alarms(AlarmResponse r) => throw Unsupported();

    public virtual void RoleGet(string role, RoleGetResponse r) => throw Unsupported();

    public virtual void Roles(NamesResponse r) => throw Unsupported();

    public virtual void UserGet(string user, NamesResponse r) => throw Unsupported();

    public virtual void Users(NamesResponse r) => throw Unsupported();

    public virtual void AuthStatus(AuthStatusResponse r) => throw Unsupported();

    /// <summary>A change of users or roles; the sentence is what the simple format says.</summary>
    public virtual void AuthChange(string sentence, EtcdResponse r) => throw Unsupported();

    public ExitException Unsupported() =>
        new(ExitCode.BadFeature, Name + " not supported as output format");
}
