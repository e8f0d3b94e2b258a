using Perf.Client;
using Perf.Etcdctl.CommandLine;
using Perf.Etcdctl.Text;

namespace Perf.Etcdctl.Printing;

/// <summary>JSON with etcd's field names, one document for each answer.</summary>
internal class JsonPrinter : Printer
{
    private readonly bool _hex;
    private readonly bool _decode;

    public JsonPrinter(Terminal terminal, bool hex, bool decode)
        : base(terminal)
    {
        _hex = hex;
        _decode = decode;
    }

    public override string Name => "json";

    public override bool Supports(Answer answer) => true;

    public override void Get(GetResponse r) => Print(json => Get(json, r));

    public override void Put(PutResponse r) => Print(json => Put(json, r));

    public override void Delete(DeleteResponse r) => Print(json => Delete(json, r));

    public override void Txn(TxnResponse r) => Print(json => Txn(json, r));

    public override void Watch(WatchResponse r, long compactRevision, bool canceled) => Print(json =>
    {
        json.Name("Header").Open('{');
        HeaderFields(json, r.Header);
        json.Close('}').Name("Events");
        if (r.Events.Count == 0 && canceled)
        {
            json.Raw("null");
        }
        else
        {
            json.List(r.Events, Event);
        }

        json.Field("CompactRevision", compactRevision, always: true)
            .Field("Canceled", canceled, always: true)
            .Field("Created", false, always: true);
    });

    public override void LeaseGrant(LeaseGrantResponse r) => Print(json =>
    {
        HeaderFields(json, r.Header);
        json.Field("ID", r.Id, always: true).Field("TTL", r.Ttl, always: true).Field("Error", r.Error, always: true);
    });

    public override void LeaseRevoke(long id, EtcdResponse r) => Print(json => Header(json, r));

    public override void LeaseKeepAlive(LeaseKeepAliveResponse r) => Print(json =>
    {
        HeaderFields(json, r.Header);
        json.Field("ID", r.Id, always: true).Field("TTL", r.Ttl, always: true);
    });

    public override void LeaseTimeToLive(LeaseTimeToLiveResponse r, bool keys) => Print(json =>
    {
        HeaderFields(json, r.Header);
        json.Field("id", r.Id, always: true)
            .Field("ttl", r.Ttl, always: true)
            .Field("granted-ttl", r.GrantedTtl, always: true)
            .Name("keys");
        if (r.Keys.Count == 0)
        {
            json.Raw("null");
        }
        else
        {
            json.List(r.Keys, (j, key) => j.Bytes(key));
        }
    });

    public override void LeaseList(LeaseLeasesResponse r) => Print(json =>
    {
        HeaderFields(json, r.Header);
        json.Name("leases").List(r.Leases, (j, id) => j.Open('{').Field("id", id, always: true).Close('}'));
    });

    public override void MemberAdd(MembersResponse r) => Print(json =>
    {
        Header(json, r);
        if (r.Member is not null)
        {
            json.Name("member");
            Member(json, r.Member);
        }

        Members(json, r);
    });

    public override void MemberChange(string done, ulong id, MembersResponse r) => Print(json =>
    {
        Header(json, r);
        Members(json, r);
    });

    public override void MemberList(MembersResponse r)
    {
        if (_hex)
        {
            MemberListInHex(r);
            return;
        }

        Print(json =>
        {
            Header(json, r);
            Members(json, r);
        });
    }

    public override void Health(IReadOnlyList<EndpointHealth> all) => PrintList(all, (json, h) => json
        .Open('{')
        .Field("endpoint", h.Endpoint, always: true)
        .Field("health", h.Healthy, always: true)
        .Field("took", h.Took, always: true)
        .Field("error", h.Error)
        .Close('}'));

    public override void Status(IReadOnlyList<EndpointStatus> all) => PrintList(all, (json, s) =>
    {
        json.Open('{').Field("Endpoint", s.Endpoint, always: true).Name("Status").Open('{');
        Header(json, s.Status);
        json.Field("version", s.Status.Version)
            .Field("dbSize", s.Status.DbSize)
            .Field("leader", s.Status.Leader)
            .Field("raftIndex", s.Status.RaftIndex)
            .Field("raftTerm", s.Status.RaftTerm)
            .Field("raftAppliedIndex", s.Status.RaftAppliedIndex)
            .Field("errors", s.Status.Errors)
            .Field("dbSizeInUse", s.Status.DbSizeInUse)
            .Field("isLearner", s.Status.IsLearner)
            .Close('}').Close('}');
    });

    public override void Hash(IReadOnlyList<EndpointHash> all) => PrintList(all, (json, h) =>
    {
        json.Open('{').Field("Endpoint", h.Endpoint, always: true).Name("HashKV").Open('{');
        Header(json, h.Hash);
        json.Field("hash", (ulong)h.Hash.Hash)
            .Field("compact_revision", h.Hash.CompactRevision)
            .Close('}').Close('}');
    });

    public override void MoveLeader(ulong from, ulong to, EtcdResponse r) => Print(json => Header(json, r));

    public override void Downgrade(string sentence, DowngradeAnswer r) => Print(json =>
    {
        Header(json, r);
        json.Field("version", r.Version);
    });

    public override void Alarms(AlarmResponse r) => Print(json =>
    {
        Header(json, r);
        if (r.Alarms.Count > 0)
        {
            json.Name("alarms").List(r.Alarms, (j, alarm) => j
                .Open('{').Field("memberID", alarm.MemberId).Field("alarm", (long)alarm.Type).Close('}'));
        }
    });

    public override void RoleGet(string role, RoleGetResponse r) => Print(json =>
    {
        Header(json, r);
        if (r.Permissions.Count > 0)
        {
            json.Name("perm").List(r.Permissions, (j, p) => j
                .Open('{')
                .Field("permType", (long)p.Type)
                .Field("key", p.Key)
                .Field("range_end", p.RangeEnd)
                .Close('}'));
        }
    });

    public override void Roles(NamesResponse r) => Names("roles", r);

    public override void UserGet(string user, NamesResponse r) => Names("roles", r);

    public override void Users(NamesResponse r) => Names("users", r);

    public override void AuthStatus(AuthStatusResponse r) => Print(json =>
    {
        Header(json, r);
        json.Field("enabled", r.Enabled).Field("authRevision", r.AuthRevision);
    });

    public override void AuthChange(string sentence, EtcdResponse r) => Print(json => Header(json, r));

    protected static void Pair(JsonText json, KeyValue kv) => json
        .Open('{')
        .Field("key", kv.Key)
        .Field("create_revision", kv.CreateRevision)
        .Field("mod_revision", kv.ModRevision)
        .Field("version", kv.Version)
        .Field("value", kv.Value)
        .Field("lease", kv.Lease)
        .Close('}');

    protected static void Event(JsonText json, WatchEvent e)
    {
        json.Open('{').Field("type", (long)e.Type).Name("kv");
        Pair(json, e.Kv);
        if (e.PrevKv is not null)
        {
            json.Name("prev_kv");
            Pair(json, e.PrevKv);
        }

        json.Close('}');
    }

    protected void Print(Action<JsonText> write)
    {
        var json = new JsonText(_decode);
        json.Open('{');
        write(json);
        Terminal.WriteLine(json.Close('}').ToString());
    }

    protected void PrintOne(Action<JsonText> write)
    {
        var json = new JsonText(_decode);
        write(json);
        Terminal.WriteLine(json.ToString());
    }

    protected virtual void PrintList<T>(IReadOnlyList<T> items, Action<JsonText, T> write) =>
        PrintOne(json => json.List(items, write));

    private static void HeaderFields(JsonText json, ResponseHeader header) => json
        .Field("cluster_id", header.ClusterId)
        .Field("member_id", header.MemberId)
        .Field("revision", header.Revision)
        .Field("raft_term", header.RaftTerm);

    private static void Header(JsonText json, EtcdResponse r)
    {
        if (r.HasHeader)
        {
            json.Name("header").Open('{');
            HeaderFields(json, r.Header);
            json.Close('}');
        }
    }

    private static void Get(JsonText json, GetResponse r)
    {
        Header(json, r);
        if (r.Kvs.Count > 0)
        {
            json.Name("kvs").List(r.Kvs, Pair);
        }

        json.Field("more", r.More).Field("count", r.Count);
    }

    private static void Put(JsonText json, PutResponse r)
    {
        Header(json, r);
        if (r.PrevKv is not null)
        {
            json.Name("prev_kv");
            Pair(json, r.PrevKv);
        }
    }

    private static void Delete(JsonText json, DeleteResponse r)
    {
        Header(json, r);
        json.Field("deleted", r.Deleted);
        if (r.PrevKvs.Count > 0)
        {
            json.Name("prev_kvs").List(r.PrevKvs, Pair);
        }
    }

    private static void Txn(JsonText json, TxnResponse r)
    {
        Header(json, r);
        json.Field("succeeded", r.Succeeded);
        if (r.Responses.Count > 0)
        {
            json.Name("responses").List(r.Responses, Operation);
        }
    }

    private static void Operation(JsonText json, EtcdResponse one)
    {
        json.Open('{').Name("Response").Open('{');
        switch (one)
        {
            case GetResponse get:
                json.Name("response_range").Open('{');
                Get(json, get);
                json.Close('}');
                break;
            case PutResponse put:
                json.Name("response_put").Open('{');
                Put(json, put);
                json.Close('}');
                break;
            case DeleteResponse delete:
                json.Name("response_delete_range").Open('{');
                Delete(json, delete);
                json.Close('}');
                break;
            case TxnResponse txn:
                json.Name("response_txn").Open('{');
                Txn(json, txn);
                json.Close('}');
                break;
        }

        json.Close('}').Close('}');
    }

    private static void Member(JsonText json, Member m) => json
        .Open('{')
        .Field("ID", m.Id)
        .Field("name", m.Name)
        .Field("peerURLs", m.PeerUrls)
        .Field("clientURLs", m.ClientUrls)
        .Field("isLearner", m.IsLearner)
        .Close('}');

    private static void Members(JsonText json, MembersResponse r)
    {
        if (r.Members.Count > 0)
        {
            json.Name("members").List(r.Members, Member);
        }
    }

    private void Names(string name, NamesResponse r) => Print(json =>
    {
        Header(json, r);
        json.Field(name, r.Names);
    });

    // etcd's own form for --hex: ids as strings, no revision, and "clientURLS" spelled so.
    private void MemberListInHex(MembersResponse r) => Print(json =>
    {
        json.Name("header").Open('{')
            .Field("cluster_id", GoText.Hex(r.Header.ClusterId), always: true)
            .Field("member_id", GoText.Hex(r.Header.MemberId), always: true)
            .Field("raft_term", r.Header.RaftTerm, always: true)
            .Close('}');
        if (r.Members.Count > 0)
        {
            json.Name("members").List(r.Members, (j, m) =>
            {
                j.Open('{').Field("ID", GoText.Hex(m.Id), always: true).Field("name", m.Name, always: true);
                Urls(j, "peerURLs", m.PeerUrls);
                Urls(j, "clientURLS", m.ClientUrls);
                j.Close('}');
            });
        }
    });

    private static void Urls(JsonText json, string name, IReadOnlyList<string> urls)
    {
        json.Name(name);
        if (urls.Count == 0)
        {
            json.Raw("null");
        }
        else
        {
            json.List(urls, (j, url) => j.String(url));
        }
    }
}

/// <summary>
/// JSON lines: like json, but a list comes as one document for each element (a pair, an event, a member, an
/// endpoint), so that a stream of them can be cut and filtered line by line.
/// </summary>
internal sealed class JsonLinesPrinter : JsonPrinter
{
    public JsonLinesPrinter(Terminal terminal, bool hex, bool decode)
        : base(terminal, hex, decode)
    {
    }

    public override string Name => "jsonl";

    public override void Get(GetResponse r)
    {
        foreach (KeyValue kv in r.Kvs)
        {
            PrintOne(json => Pair(json, kv));
        }
    }

    public override void Watch(WatchResponse r, long compactRevision, bool canceled)
    {
        foreach (WatchEvent e in r.Events)
        {
            PrintOne(json => Event(json, e));
        }
    }

    protected override void PrintList<T>(IReadOnlyList<T> items, Action<JsonText, T> write)
    {
        foreach (T item in items)
        {
            PrintOne(json => write(json, item));
        }
    }
}
