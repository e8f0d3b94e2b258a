namespace Perf.Store.Commands;

/// <summary>Field numbers of InternalRaftRequest (FORMATS A.11).</summary>
public static class InternalField
{
    public const int Id = 1;
    public const int V2 = 2;
    public const int Range = 3;
    public const int Put = 4;
    public const int DeleteRange = 5;
    public const int Txn = 6;
    public const int Compaction = 7;
    public const int LeaseGrant = 8;
    public const int LeaseRevoke = 9;
    public const int Alarm = 10;
    public const int LeaseCheckpoint = 11;
    public const int Header = 100;
    public const int AuthEnable = 1000;
    public const int AuthDisable = 1011;
    public const int Authenticate = 1012;
    public const int AuthStatus = 1013;
    public const int AuthUserAdd = 1100;
    public const int AuthUserDelete = 1101;
    public const int AuthUserGet = 1102;
    public const int AuthUserChangePassword = 1103;
    public const int AuthUserGrantRole = 1104;
    public const int AuthUserRevokeRole = 1105;
    public const int AuthUserList = 1106;
    public const int AuthRoleList = 1107;
    public const int AuthRoleAdd = 1200;
    public const int AuthRoleDelete = 1201;
    public const int AuthRoleGet = 1202;
    public const int AuthRoleGrantPermission = 1203;
    public const int AuthRoleRevokePermission = 1204;
    public const int ClusterVersionSet = 1300;
    public const int ClusterMemberAttrSet = 1301;
    public const int DowngradeInfoSet = 1302;
    public const int DowngradeVersionTest = 9900;
}

/// <summary>
/// etcdserverpb.InternalRaftRequest read in place: what an entry of the log asks the state machine to do.
/// </summary>
public readonly ref struct InternalRequestView
{
    /// <summary>The request's id: field 1 if set, else the header's.</summary>
    public ulong Id { get; private init; }

    /// <summary>User name, UTF-8; empty when the request came without one.</summary>
    public ReadOnlySpan<byte> Username { get; private init; }

    public ulong AuthRevision { get; private init; }

    /// <summary>One of <see cref="InternalField"/>, or an unknown number, or 0 when there is no request.</summary>
    public int Field { get; private init; }

    /// <summary>Bytes of the request.</summary>
    public ReadOnlySpan<byte> Body { get; private init; }

    /// <summary>False when the bytes are not the message.</summary>
    public static bool TryParse(ReadOnlySpan<byte> bytes, out InternalRequestView view)
    {
        ulong id = 0;
        ulong headerId = 0;
        ReadOnlySpan<byte> user = default;
        ulong authRevision = 0;
        int field = 0;
        ReadOnlySpan<byte> body = default;
        bool sound = true;
        var reader = new ProtoReader(bytes);
        while (reader.Next())
        {
            switch (reader.Field)
            {
                case InternalField.Id:
                    id = reader.UInt64;
                    break;
                case InternalField.Header:
                    // A header in two parts is one header: protobuf merges them.
                    sound &= TryHeader(reader.Bytes, ref headerId, ref user, ref authRevision);
                    break;
                default:
                    field = reader.Field;
                    body = reader.Bytes;
                    break;
            }
        }
        view = new InternalRequestView
        {
            Id = id != 0 ? id : headerId,
            Username = user,
            AuthRevision = authRevision,
            Field = field,
            Body = body,
        };
        return sound && !reader.Failed;
    }

    private static bool TryHeader(
        ReadOnlySpan<byte> bytes, ref ulong id, ref ReadOnlySpan<byte> user, ref ulong authRevision)
    {
        var reader = new ProtoReader(bytes);
        while (reader.Next())
        {
            switch (reader.Field)
            {
                case 1:
                    id = reader.UInt64;
                    break;
                case 2:
                    user = reader.Bytes;
                    break;
                case 3:
                    authRevision = reader.UInt64;
                    break;
            }
        }
        return !reader.Failed;
    }
}

/// <summary>
/// Writes an InternalRaftRequest around a client's bytes: prefix, then the client's message verbatim, so that a
/// proposal is encoded without being decoded (ARCHITECTURE D.2). The header goes in front; protobuf does not mind.
/// </summary>
public static class InternalRequestCodec
{
    /// <summary>Bytes in front of the body.</summary>
    public static int PrefixBytes(ulong id, ReadOnlySpan<byte> username, ulong authRevision, int field, int bodyBytes) =>
        ProtoSize.Message(InternalField.Header, HeaderBytes(id, username, authRevision))
        + ProtoSize.Message(field, bodyBytes) - bodyBytes;

    /// <summary>Writes the prefix; the body follows directly. Returns the prefix's bytes.</summary>
    public static int WritePrefix(
        Span<byte> target, ulong id, ReadOnlySpan<byte> username, ulong authRevision, int field, int bodyBytes)
    {
        var writer = new ProtoWriter(target);
        writer.MessageHead(InternalField.Header, HeaderBytes(id, username, authRevision));
        writer.UInt64(1, id);
        writer.Bytes(2, username);
        writer.UInt64(3, authRevision);
        writer.MessageHead(field, bodyBytes);
        return writer.Position;
    }

    private static int HeaderBytes(ulong id, ReadOnlySpan<byte> username, ulong authRevision) =>
        ProtoSize.UInt64(1, id) + ProtoSize.Bytes(2, username.Length) + ProtoSize.UInt64(3, authRevision);
}
