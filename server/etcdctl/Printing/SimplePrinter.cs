using System.Globalization;
using System.Text;
using Perf.Client;
using Perf.Etcdctl.CommandLine;
using Perf.Etcdctl.Text;

namespace Perf.Etcdctl.Printing;

/// <summary>The default format: keys and values as they are, and one sentence for everything else.</summary>
internal sealed class SimplePrinter : Printer
{
    private readonly bool _hex;

    public SimplePrinter(Terminal terminal, bool hex)
        : base(terminal) => _hex = hex;

    public override string Name => "simple";

    /// <summary>True to leave keys out.</summary>
    public bool ValueOnly { get; set; }

    public override bool Supports(Answer answer) => true;

    public override void Get(GetResponse r)
    {
        foreach (KeyValue kv in r.Kvs)
        {
            Print(kv);
        }
    }

    public override void Put(PutResponse r)
    {
        Terminal.WriteLine("OK");
        if (r.PrevKv is not null)
        {
            Print(r.PrevKv);
        }
    }

    public override void Delete(DeleteResponse r)
    {
        Terminal.WriteLine(r.Deleted.ToString(CultureInfo.InvariantCulture));
        foreach (KeyValue kv in r.PrevKvs)
        {
            Print(kv);
        }
    }

    public override void Txn(TxnResponse r)
    {
        Terminal.WriteLine(r.Succeeded ? "SUCCESS" : "FAILURE");
        foreach (EtcdResponse one in r.Responses)
        {
            Terminal.WriteLine("");
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
        foreach (WatchEvent e in r.Events)
        {
            Terminal.WriteLine(TypeName(e.Type));
            if (e.PrevKv is not null)
            {
                Print(e.PrevKv);
            }

            Print(e.Kv);
        }
    }

    public override void LeaseGrant(LeaseGrantResponse r) =>
        Terminal.WriteLine($"lease {GoText.Hex16(r.Id)} granted with TTL({r.Ttl}s)");

    public override void LeaseRevoke(long id, EtcdResponse r) =>
        Terminal.WriteLine($"lease {GoText.Hex16(id)} revoked");

    public override void LeaseKeepAlive(LeaseKeepAliveResponse r) =>
        Terminal.WriteLine($"lease {GoText.Hex16(r.Id)} keepalived with TTL({r.Ttl})");

    public override void LeaseTimeToLive(LeaseTimeToLiveResponse r, bool keys)
    {
        if (r.GrantedTtl == 0 && r.Ttl == -1)
        {
            Terminal.WriteLine($"lease {GoText.Hex16(r.Id)} already expired");
            return;
        }

        Terminal.Write($"lease {GoText.Hex16(r.Id)} granted with TTL({r.GrantedTtl}s), remaining({r.Ttl}s)");
        if (keys)
        {
            Terminal.Write(", attached keys([");
            for (int i = 0; i < r.Keys.Count; i++)
            {
                Terminal.Write(i > 0 ? " " : "");
                Terminal.Write(r.Keys[i].Span);
            }

            Terminal.Write("])");
        }

        Terminal.WriteLine("");
    }

    public override void LeaseList(LeaseLeasesResponse r)
    {
        Terminal.WriteLine($"found {r.Leases.Count} leases");
        foreach (long id in r.Leases)
        {
            Terminal.WriteLine(GoText.Hex16(id));
        }
    }

    public override void MemberAdd(MembersResponse r) => Terminal.WriteLine(
        $"Member {GoText.Hex(r.Member!.Id),16} added to cluster {GoText.Hex(r.Header.ClusterId),16}");

    public override void MemberChange(string done, ulong id, MembersResponse r) => Terminal.WriteLine(
        $"Member {GoText.Hex(id),16} {done} cluster {GoText.Hex(r.Header.ClusterId),16}");

    public override void MemberList(MembersResponse r) => Lines(Rows.Members(r));

    public override void Health(IReadOnlyList<EndpointHealth> all)
    {
        foreach (EndpointHealth h in all)
        {
            if (h.Error.Length == 0)
            {
                Terminal.WriteLine(
                    $"{h.Endpoint} is healthy: successfully committed proposal: took = {h.Took}");
            }
            else
            {
                Terminal.ErrorLine($"{h.Endpoint} is unhealthy: failed to commit proposal: {h.Error}");
            }
        }
    }

    public override void Status(IReadOnlyList<EndpointStatus> all) => Lines(Rows.Status(all));

    public override void Hash(IReadOnlyList<EndpointHash> all) => Lines(Rows.Hashes(all));

    public override void MoveLeader(ulong from, ulong to, EtcdResponse r) =>
        Terminal.WriteLine($"Leadership transferred from {GoText.Hex(from)} to {GoText.Hex(to)}");

    public override void Downgrade(string sentence, DowngradeAnswer r) => Terminal.WriteLine(sentence);

    public override void Alarms(AlarmResponse r)
    {
        foreach (Alarm alarm in r.Alarms)
        {
            // The text form of the protobuf message: zero fields left out, a blank after each.
            string member = alarm.MemberId == 0 ? "" : $"memberID:{alarm.MemberId} ";
            string type = alarm.Type == AlarmType.None ? "" : $"alarm:{AlarmName(alarm.Type)} ";
            Terminal.WriteLine(member + type);
        }
    }

    public override void RoleGet(string role, RoleGetResponse r)
    {
        Terminal.WriteLine("Role " + role);
        Terminal.WriteLine("KV Read:");
        Permissions(r.Permissions.Where(p => p.Type is PermissionType.Read or PermissionType.ReadWrite));
        Terminal.WriteLine("KV Write:");
        Permissions(r.Permissions.Where(p => p.Type is PermissionType.Write or PermissionType.ReadWrite));
    }

    public override void Roles(NamesResponse r) => Names(r);

    public override void UserGet(string user, NamesResponse r) =>
        Terminal.WriteLine($"User: {user}\nRoles:{string.Concat(r.Names.Select(n => " " + n))}");

    public override void Users(NamesResponse r) => Names(r);

    public override void AuthStatus(AuthStatusResponse r) => Terminal.WriteLine(
        $"Authentication Status: {Rows.Bool(r.Enabled)}\nAuthRevision: {r.AuthRevision}");

    public override void AuthChange(string sentence, EtcdResponse r) => Terminal.WriteLine(sentence);

    internal static string TypeName(WatchEventType type) => type == WatchEventType.Delete ? "DELETE" : "PUT";

    internal static string AlarmName(AlarmType type) => type switch
    {
        AlarmType.None => "NONE",
        AlarmType.NoSpace => "NOSPACE",
        AlarmType.Corrupt => "CORRUPT",
        _ => ((int)type).ToString(CultureInfo.InvariantCulture),
    };

    private static string Hexadecimal(Bytes bytes)
    {
        var text = new StringBuilder(bytes.Length * 4);
        foreach (byte b in bytes.Span)
        {
            text.Append("\\x").Append(b.ToString("x2", CultureInfo.InvariantCulture));
        }

        return text.ToString();
    }

    private void Print(KeyValue kv)
    {
        if (!ValueOnly)
        {
            Line(kv.Key);
        }

        Line(kv.Value);
    }

    private void Line(Bytes bytes)
    {
        if (_hex)
        {
            Terminal.WriteLine(Hexadecimal(bytes));
        }
        else
        {
            Terminal.WriteLine(bytes);
        }
    }

    private void Lines(string[][] rows)
    {
        foreach (string[] row in rows)
        {
            Terminal.WriteLine(string.Join(", ", row));
        }
    }

    private void Names(NamesResponse r)
    {
        foreach (string name in r.Names)
        {
            Terminal.WriteLine(name);
        }
    }

    private void Permissions(IEnumerable<Permission> permissions)
    {
        foreach (Permission p in permissions)
        {
            string key = GoText.FromBytes(p.Key.Span);
            if (p.RangeEnd.IsEmpty)
            {
                Terminal.WriteLine("\t" + key);
                continue;
            }

            string end = p.RangeEnd == Bytes.Zero ? "<open ended>" : GoText.FromBytes(p.RangeEnd.Span) + ")";
            string prefix = p.Key.PrefixEnd() == p.RangeEnd ? $" (prefix {key})" : "";
            Terminal.WriteLine($"\t[{key}, {end}{prefix}");
        }
    }
}
