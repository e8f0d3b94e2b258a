using System.Text;
using Perf.Store;
using Perf.Store.Commands;

namespace Perf.Simulation;

/// <summary>Who asks, as the users are at one entry.</summary>
internal readonly record struct ModelSubject(ModelAuth Auth, string User, ulong Revision)
{
    public bool IsRoot => !Auth.IsEnabled || Auth.Holds(User, "root");

    public StoreError Check(bool isWrite, string key, string end)
    {
        if (!Auth.IsEnabled)
        {
            return StoreError.None;
        }

        if (Revision == 0)
        {
            return StoreError.UserEmpty;
        }

        if (Revision < Auth.Revision)
        {
            return StoreError.AuthOldRevision;
        }

        return Auth.Holds(User, "root") || Auth.Allows(User, isWrite, key, end)
            ? StoreError.None
            : StoreError.PermissionDenied;
    }
}

/// <summary>Users, roles and permissions the naive way.</summary>
internal sealed class ModelAuth
{
    private readonly Dictionary<string, HashSet<string>> _users = new(StringComparer.Ordinal);
    private readonly Dictionary<string, List<Grant>> _roles = new(StringComparer.Ordinal);

    public bool IsEnabled { get; private set; }

    public ulong Revision { get; private set; } = 1;

    /// <summary>An end of one zero byte: no end.</summary>
    public static bool IsIn(string key, string from, string end) => end.Length == 0
        ? key == from
        : string.CompareOrdinal(key, from) >= 0 && (end == "\0" || string.CompareOrdinal(key, end) < 0);

    public ModelSubject Subject(string user, ulong revision) => new(this, user, revision);

    public bool Holds(string user, string role) =>
        _users.TryGetValue(user, out HashSet<string>? roles) && roles.Contains(role);

    /// <summary>
    /// Ends of permissions and requests are whole keys of this workload, so that a range is covered when its first key
    /// and everything up to its end are: checked at every border there is.
    /// </summary>
    public bool Allows(string user, bool isWrite, string key, string end)
    {
        if (!_users.TryGetValue(user, out HashSet<string>? roles))
        {
            return false;
        }

        List<Grant> grants = [.. roles.Where(_roles.ContainsKey).SelectMany(r => _roles[r])
            .Where(g => g.Kind == 2 || g.Kind == (isWrite ? 1 : 0))];
        if (end.Length == 0)
        {
            return grants.Exists(g => IsIn(key, g.From, g.End));
        }

        // Walk from border to border.
        string at = key;
        while (end == "\0" || string.CompareOrdinal(at, end) < 0)
        {
            Grant? next = null;
            foreach (Grant g in grants)
            {
                string grantEnd = g.End.Length == 0 ? g.From + "\0" : g.End;
                if (string.CompareOrdinal(g.From, at) <= 0 && (g.End == "\0" || string.CompareOrdinal(at, grantEnd) < 0)
                    && (next is null || g.End == "\0" || (next.End != "\0" && string.CompareOrdinal(grantEnd, next.End) > 0)))
                {
                    next = g with { End = grantEnd };
                }
            }

            if (next is null)
            {
                return false;
            }

            if (next.End == "\0")
            {
                return true;
            }

            at = next.End;
        }

        return true;
    }

    public StoreError Apply(ModelSubject who, in InternalRequestView request)
    {
        if (IsEnabled)
        {
            if (who.User.Length == 0)
            {
                return StoreError.UserEmpty;
            }

            if (!_users.ContainsKey(who.User))
            {
                return StoreError.UserNotFound;
            }

            if (!Holds(who.User, "root"))
            {
                return StoreError.PermissionDenied;
            }
        }

        string first = Field(request.Body, 1);
        string second = Field(request.Body, 2);
        StoreError error = Change(request.Field, first, second, request.Body);
        return error;
    }

    private static string Field(ReadOnlySpan<byte> body, int field)
    {
        var reader = new ProtoReader(body);
        while (reader.Next())
        {
            if (reader.Field == field && !reader.IsVarint)
            {
                return Encoding.UTF8.GetString(reader.Bytes);
            }
        }

        return "";
    }

    private StoreError Change(int field, string first, string second, ReadOnlySpan<byte> body)
    {
        switch (field)
        {
            case InternalField.AuthEnable:
                if (IsEnabled)
                {
                    return StoreError.None;
                }

                if (!_users.ContainsKey("root"))
                {
                    return StoreError.RootUserNotExist;
                }

                if (!Holds("root", "root"))
                {
                    return StoreError.RootRoleNotExist;
                }

                IsEnabled = true;
                return StoreError.None;

            case InternalField.AuthDisable:
                Revision += IsEnabled ? 1UL : 0;
                IsEnabled = false;
                return StoreError.None;

            case InternalField.AuthUserAdd:
                return Done(_users.TryAdd(first, new HashSet<string>(StringComparer.Ordinal)), StoreError.UserAlreadyExist);

            case InternalField.AuthRoleAdd:
                return Done(_roles.TryAdd(first, []), StoreError.RoleAlreadyExist);

            case InternalField.AuthUserGrantRole:
                if (!_users.TryGetValue(first, out HashSet<string>? held))
                {
                    return StoreError.UserNotFound;
                }

                if (second != "root" && !_roles.ContainsKey(second))
                {
                    return StoreError.RoleNotFound;
                }

                return held.Contains(second) ? StoreError.None : Done(held.Add(second), StoreError.None);

            case InternalField.AuthUserRevokeRole:
                if (IsEnabled && first == "root" && second == "root")
                {
                    return StoreError.InvalidAuthMgmt;
                }

                return !_users.TryGetValue(first, out held)
                    ? StoreError.UserNotFound
                    : Done(held.Remove(second), StoreError.RoleNotGranted);

            case InternalField.AuthRoleDelete:
                if (IsEnabled && first == "root")
                {
                    return StoreError.InvalidAuthMgmt;
                }

                if (!_roles.Remove(first))
                {
                    return StoreError.RoleNotFound;
                }

                foreach (HashSet<string> roles in _users.Values)
                {
                    roles.Remove(first);
                }

                return Done(true, StoreError.None);

            case InternalField.AuthRoleGrantPermission:
                return GrantPermission(first, body);

            default:
                return StoreError.UnknownRequest;
        }
    }

    private StoreError GrantPermission(string role, ReadOnlySpan<byte> body)
    {
        long kind = 0;
        string from = "";
        string end = "";
        var reader = new ProtoReader(body);
        while (reader.Next())
        {
            if (reader.Field != 2)
            {
                continue;
            }

            var inner = new ProtoReader(reader.Bytes);
            while (inner.Next())
            {
                switch (inner.Field)
                {
                    case 1:
                        kind = inner.Int64;
                        break;
                    case 2:
                        from = Encoding.UTF8.GetString(inner.Bytes);
                        break;
                    case 3:
                        end = Encoding.UTF8.GetString(inner.Bytes);
                        break;
                }
            }
        }

        if (!_roles.TryGetValue(role, out List<Grant>? grants))
        {
            return StoreError.RoleNotFound;
        }

        grants.RemoveAll(g => g.From == from && g.End == end);
        grants.Add(new Grant(kind, from, end));
        return Done(true, StoreError.None);
    }

    private StoreError Done(bool changed, StoreError otherwise)
    {
        Revision += changed ? 1UL : 0;
        return changed ? StoreError.None : otherwise;
    }

    private sealed record Grant(long Kind, string From, string End);
}
