using Perf.Client;
using Perf.Etcdctl.CommandLine;

namespace Perf.Etcdctl.Printing;

/// <summary>The answers as they came, encoded; lease answers are their header alone, as etcdctl has always done.</summary>
internal sealed class ProtobufPrinter : Printer
{
    public ProtobufPrinter(Terminal terminal)
        : base(terminal)
    {
    }

    public override string Name => "protobuf";

    public override bool Supports(Answer answer) =>
        answer is not (Answer.EndpointHealth or Answer.EndpointStatus or Answer.EndpointHash);

    public override void Get(GetResponse r) => Whole(r);

    public override void Put(PutResponse r) => Whole(r);

    public override void Delete(DeleteResponse r) => Whole(r);

    public override void Txn(TxnResponse r) => Whole(r);

    public override void Watch(WatchResponse r, long compactRevision, bool canceled) =>
        Terminal.Write(r.ToProtobuf(compactRevision, canceled));

    public override void LeaseGrant(LeaseGrantResponse r) => HeaderOnly(r);

    public override void LeaseRevoke(long id, EtcdResponse r) => Whole(r);

    public override void LeaseKeepAlive(LeaseKeepAliveResponse r) => HeaderOnly(r);

    public override void LeaseTimeToLive(LeaseTimeToLiveResponse r, bool keys) => HeaderOnly(r);

    public override void LeaseList(LeaseLeasesResponse r) => HeaderOnly(r);

    public override void MemberAdd(MembersResponse r) => Whole(r);

    public override void MemberChange(string done, ulong id, MembersResponse r) => Whole(r);

    public override void MemberList(MembersResponse r) => Whole(r);

    public override void MoveLeader(ulong from, ulong to, EtcdResponse r) => Whole(r);

    public override void Downgrade(string sentence, DowngradeAnswer r) => Whole(r);

    public override void Alarms(AlarmResponse r) => Whole(r);

    public override void RoleGet(string role, RoleGetResponse r) => Whole(r);

    public override void Roles(NamesResponse r) => Whole(r);

    public override void UserGet(string user, NamesResponse r) => Whole(r);

    public override void Users(NamesResponse r) => Whole(r);

    public override void AuthStatus(AuthStatusResponse r) => Whole(r);

    public override void AuthChange(string sentence, EtcdResponse r) => Whole(r);

    private void Whole(EtcdResponse r) => Terminal.Write(r.ToProtobuf());

    private void HeaderOnly(EtcdResponse r) => Terminal.Write(r.Header.ToProtobuf());
}
