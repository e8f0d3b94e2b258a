using Perf.Client;
using Perf.Etcdctl.CommandLine;
using Perf.Etcdctl.Text;

namespace Perf.Etcdctl.Printing;

/// <summary>One <c>"Name" : value</c> line for each field.</summary>
internal sealed class FieldsPrinter : Printer
{
    public FieldsPrinter(Terminal terminal)
        : base(terminal)
    {
    }

    public override string Name => "fields";

    public override bool Supports(Answer answer) => answer is not (
        Answer.MemberAdd or Answer.MemberRemove or Answer.MemberUpdate or Answer.MemberPromote or Answer.MoveLeader
        or Answer.Downgrade or Answer.UserGet or Answer.UserList or Answer.AuthStatus);

    public override void Get(GetResponse r)
    {
        Header(r);
        foreach (KeyValue kv in r.Kvs)
        {
            Pair("", kv);
        }

        Line("More", Rows.Bool(r.More));
        Line("Count", r.Count);
    }

    public override void Put(PutResponse r)
    {
        Header(r);
        if (r.PrevKv is not null)
        {
            Pair("Prev", r.PrevKv);
        }
    }

    public override void Delete(DeleteResponse r)
    {
        Header(r);
        Line("Deleted", r.Deleted);
        foreach (KeyValue kv in r.PrevKvs)
        {
            Pair("Prev", kv);
        }
    }

    public override void Txn(TxnResponse r)
    {
        Header(r);
        Line("Succeeded", Rows.Bool(r.Succeeded));
        foreach (EtcdResponse one in r.Responses)
        {
            switch (one)
            {
                case DeleteResponse delete:
                    Delete(delete);
                    break;
                case PutResponse put:
                    Put(put);
                    break;
                case GetResponse get:
                    Get(get);
                    break;
                case TxnResponse txn:
                    Txn(txn);
                    break;
            }
        }
    }

    public override void Watch(WatchResponse r, long compactRevision, bool canceled)
    {
        Header(r);
        foreach (WatchEvent e in r.Events)
        {
            Line("Type", SimplePrinter.TypeName(e.Type));
            if (e.PrevKv is not null)
            {
                Pair("Prev", e.PrevKv);
            }

            Pair("", e.Kv);
        }
    }

    public override void LeaseGrant(LeaseGrantResponse r)
    {
        Header(r);
        Line("ID", r.Id);
        Line("TTL", r.Ttl);
    }

    public override void LeaseRevoke(long id, EtcdResponse r) => Header(r);

    public override void LeaseKeepAlive(LeaseKeepAliveResponse r)
    {
        Header(r);
        Line("ID", r.Id);
        Line("TTL", r.Ttl);
    }

    public override void LeaseTimeToLive(LeaseTimeToLiveResponse r, bool keys)
    {
        Header(r);
        Line("ID", r.Id);
        Line("TTL", r.Ttl);
        Line("GrantedTTL", r.GrantedTtl);
        foreach (Bytes key in r.Keys)
        {
            Line("Key", GoText.Quote(key.Span));
        }
    }

    public override void LeaseList(LeaseLeasesResponse r)
    {
        Header(r);
        foreach (long id in r.Leases)
        {
            Line("ID", id);
        }
    }

    public override void MemberList(MembersResponse r)
    {
        Header(r);
        foreach (Member m in r.Members)
        {
            Line("ID", m.Id);
            Line("Name", GoText.Quote(m.Name));
            foreach (string url in m.PeerUrls)
            {
                Line("PeerURL", GoText.Quote(url));
            }

            foreach (string url in m.ClientUrls)
            {
                Line("ClientURL", GoText.Quote(url));
            }

            Line("IsLearner", Rows.Bool(m.IsLearner));
            Terminal.WriteLine("");
        }
    }

    public override void Health(IReadOnlyList<EndpointHealth> all)
    {
        foreach (EndpointHealth h in all)
        {
            Line("Endpoint", GoText.Quote(h.Endpoint));
            Line("Health", Rows.Bool(h.Healthy));
            Line("Took", h.Took);
            Line("Error", h.Error);
            Terminal.WriteLine("");
        }
    }

    public override void Status(IReadOnlyList<EndpointStatus> all)
    {
        foreach ((string endpoint, StatusResponse s) in all)
        {
            Header(s);
            Line("Version", GoText.Quote(s.Version));
            Line("DBSize", s.DbSize);
            Line("Leader", s.Leader);
            Line("IsLearner", Rows.Bool(s.IsLearner));
            Line("RaftIndex", s.RaftIndex);
            Line("RaftTerm", s.RaftTerm);
            Line("RaftAppliedIndex", s.RaftAppliedIndex);
            Line("Errors", "[" + string.Join(' ', s.Errors) + "]");
            Line("Endpoint", GoText.Quote(endpoint));
            Terminal.WriteLine("");
        }
    }

    public override void Hash(IReadOnlyList<EndpointHash> all)
    {
        foreach ((string endpoint, HashKvResponse hash) in all)
        {
            Header(hash);
            Line("Endpoint", GoText.Quote(endpoint));
            Line("Hash", hash.Hash);
            Terminal.WriteLine("");
        }
    }

    public override void Alarms(AlarmResponse r)
    {
        Header(r);
        foreach (Alarm alarm in r.Alarms)
        {
            Line("MemberID", alarm.MemberId);
            Line("AlarmType", SimplePrinter.AlarmName(alarm.Type));
            Terminal.WriteLine("");
        }
    }

    public override void RoleGet(string role, RoleGetResponse r)
    {
        Header(r);
        foreach (Permission p in r.Permissions)
        {
            Terminal.WriteLine("\"PermType\" :  " + p.Type.ToString().ToUpperInvariant());
            Line("Key", GoText.Quote(p.Key.Span));
            Line("RangeEnd", GoText.Quote(p.RangeEnd.Span));
        }
    }

    public override void Roles(NamesResponse r)
    {
        Header(r);
        Terminal.WriteLine("\"Roles\" :" + string.Concat(r.Names.Select(n => " " + GoText.Quote(n))));
    }

    public override void AuthChange(string sentence, EtcdResponse r) => Header(r);

    private void Header(EtcdResponse r)
    {
        Line("ClusterID", r.Header.ClusterId);
        Line("MemberID", r.Header.MemberId);
        Line("Revision", r.Header.Revision);
        Line("RaftTerm", r.Header.RaftTerm);
    }

    private void Pair(string prefix, KeyValue kv)
    {
        Line(prefix + "Key", GoText.Quote(kv.Key.Span));
        Line(prefix + "CreateRevision", kv.CreateRevision);
        Line(prefix + "ModRevision", kv.ModRevision);
        Line(prefix + "Version", kv.Version);
        Line(prefix + "Value", GoText.Quote(kv.Value.Span));
        Line(prefix + "Lease", kv.Lease);
    }

    private void Line(string name, long value) => Terminal.WriteLine($"\"{name}\" : {value}");

    private void Line(string name, ulong value) => Terminal.WriteLine($"\"{name}\" : {value}");

    private void Line(string name, string value) => Terminal.WriteLine($"\"{name}\" : {value}");
}
