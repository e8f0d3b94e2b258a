using System.Buffers.Binary;
using System.Security.Cryptography;
using System.Text;
using Perf.Store.Apply;
using Perf.Store.Backend;

namespace Perf.Store.Auth;

/// <summary>
/// Users, roles and permissions: changed by applied entries alone, kept in buckets auth, authUsers and authRoles in
/// the same commit as the entry. Changes come from the apply thread; <see cref="View"/> may be taken anywhere.
/// Every change but switching auth on counts the revision up by one, identically on all members.
/// </summary>
public sealed class AuthStore
{
    private const int SaltBytes = 16;

    private readonly Lock _gate = new();
    private readonly IStateBuckets _buckets;
    private readonly ITokenProvider _tokens;
    private readonly IPasswordHasher _hasher;
    private readonly int _bcryptCost;
    private readonly AuthRules _rules;
    private Dictionary<byte[], AuthUser> _users = new(BytesComparer.Instance);
    private Dictionary<byte[], AuthRole> _roles = new(BytesComparer.Instance);

    /// <summary>Written by the apply thread under the lock; every door reads it, so it must not be cached.</summary>
    private volatile bool _enabled;

    /// <summary>Written as _enabled is, by Volatile.Write; pairs with the Volatile.Read of <see cref="Revision"/>.</summary>
    private ulong _revision;
    private volatile AuthView? _view;

    // Of the last entry. Apply thread.
    private AuthUser? _lastAsker;
    private ulong _lastAskedAt;

    /// <summary>Call <see cref="Restore"/> before anything else.</summary>
    public AuthStore(
        IStateBuckets buckets,
        ITokenProvider tokens,
        IPasswordHasher hasher,
        int bcryptCost = BcryptCost.Default,
        AuthRules rules = AuthRules.Whole)
    {
        _rules = rules;
        _buckets = buckets;
        _tokens = tokens;
        _hasher = hasher;
        _bcryptCost = BcryptCost.Checked(bcryptCost);
    }

    /// <summary>Name of the user that must exist before auth is on, and of the role that may do everything.</summary>
    public static ReadOnlySpan<byte> RootName => "root"u8;

    /// <summary>Users and roles as of the last applied change. Any thread.</summary>
    public AuthView View => _view ?? MakeView();

    /// <summary>
    /// Auth is on. Any thread: a look without a lock. Whoever needs it together with the revision or the users takes
    /// one <see cref="View"/>.
    /// </summary>
    public bool Enabled => _enabled;

    /// <summary>
    /// Revision of the last change. Any thread. A change is seen here before anything applied after it is published,
    /// so who reads data and then finds the revision unmoved has read under the permissions it checked.
    /// </summary>
    public ulong Revision => Volatile.Read(ref _revision);

    /// <summary>
    /// Reads everything from the buckets. A store without a revision gets its first, 1. Throws
    /// <see cref="InvalidDataException"/> when a record is damaged.
    /// </summary>
    public void Restore()
    {
        var roles = new Dictionary<byte[], AuthRole>(BytesComparer.Instance);
        foreach (var (name, record) in _buckets.List(Buckets.AuthRoles))
        {
            roles[name] = AuthRole.Parse(record);
        }

        var users = new Dictionary<byte[], AuthUser>(BytesComparer.Instance);
        foreach (var (name, record) in _buckets.List(Buckets.AuthUsers))
        {
            var user = AuthUser.Parse(record);
            users[name] = user.With(user.Roles, Resolve(user.Roles, roles));
        }

        byte[]? revision = _buckets.Get(Buckets.Auth, "authRevision"u8);
        if (revision is not null && revision.Length != sizeof(ulong))
        {
            throw new InvalidDataException($"bucket auth: authRevision has {revision.Length} bytes, expected 8");
        }

        lock (_gate)
        {
            _roles = roles;
            _users = users;
            _lastAsker = null;
            Volatile.Write(ref _revision, revision is null ? 0 : BinaryPrimitives.ReadUInt64BigEndian(revision));
            _enabled = _buckets.Get(Buckets.Auth, "authEnabled"u8) is [1];
            _view = null;
            if (_revision == 0)
            {
                CommitRevisionLocked();
            }
        }

        if (_enabled)
        {
            _tokens.Enable();
        }
        else
        {
            _tokens.Disable();
        }
    }

    /// <summary>The user of an entry's header, for the checks of that entry. Apply thread.</summary>
    public AuthSubject Subject(ReadOnlySpan<byte> username, ulong revision)
    {
        AuthUser? user = null;
        if (_enabled && !username.IsEmpty)
        {
            // Nearly always the same one again. Every change of a user moves the revision.
            user = _lastAsker;
            if (user is null || _lastAskedAt != _revision || !username.SequenceEqual(user.Name))
            {
                _users.GetAlternateLookup<ReadOnlySpan<byte>>().TryGetValue(username, out user);
                _lastAsker = user;
                _lastAskedAt = _revision;
            }
        }

        return new AuthSubject(_enabled, _revision, !username.IsEmpty, user, revision);
    }

    /// <summary>Switches auth on. Needs user root with role root. The revision does not move.</summary>
    public StoreError Enable()
    {
        lock (_gate)
        {
            if (_enabled)
            {
                return StoreError.None;
            }

            if (!TryUser(RootName, out var root))
            {
                return StoreError.RootUserNotExist;
            }

            if (!root.IsRoot)
            {
                return StoreError.RootRoleNotExist;
            }

            _buckets.Put(Buckets.Auth, "authEnabled"u8, [1]);
            _enabled = true;
            _view = null;
        }

        _tokens.Enable();
        return StoreError.None;
    }

    /// <summary>Switches auth off; nothing when it is off.</summary>
    public void Disable()
    {
        lock (_gate)
        {
            if (!_enabled)
            {
                return;
            }

            _buckets.Put(Buckets.Auth, "authEnabled"u8, [0]);
            _enabled = false;
            CommitRevisionLocked();
        }

        _tokens.Disable();
    }

    /// <summary>
    /// Gives a user a token. The password was checked before the entry was proposed. Where nobody waits, a token that
    /// needs no telling is not made: signing one is dear.
    /// </summary>
    public StoreError Authenticate(
        ReadOnlySpan<byte> username, string prefix, ulong index, out string token, bool isAwaited = true)
    {
        token = "";
        if (!_enabled)
        {
            return StoreError.AuthNotEnabled;
        }

        if (!TryUser(username, out var user) || user.NoPassword)
        {
            return StoreError.AuthFailed;
        }

        if (!isAwaited && !_tokens.IsReplicated)
        {
            return StoreError.None;
        }

        token = _tokens.Assign(Encoding.UTF8.GetString(username), _revision, prefix, index) ?? "";
        return token.Length == 0 ? StoreError.AuthFailed : StoreError.None;
    }

    /// <summary>Adds a user. Either form of the password will do: hashed by the proposer, or clear as 3.4 sends it;
    /// then every member hashes, with a salt that follows from the entry.</summary>
    public StoreError UserAdd(
        ReadOnlySpan<byte> name, ReadOnlySpan<byte> password, ReadOnlySpan<byte> hashedPassword, bool noPassword, ulong index)
    {
        if (name.IsEmpty)
        {
            return StoreError.UserEmpty;
        }

        if (TryUser(name, out _))
        {
            return StoreError.UserAlreadyExist;
        }

        byte[]? stored = noPassword ? [] : StoredPassword(name, password, hashedPassword, index);
        if (stored is null)
        {
            return StoreError.NoPasswordUser;
        }

        lock (_gate)
        {
            PutLocked(new AuthUser { Name = name.ToArray(), Password = stored, HasOptions = true, NoPassword = noPassword });
            CommitRevisionLocked();
        }

        return StoreError.None;
    }

    /// <summary>Removes a user and its tokens. The user root stays while auth is on.</summary>
    public StoreError UserDelete(ReadOnlySpan<byte> name)
    {
        if (_enabled && name.SequenceEqual(RootName))
        {
            return StoreError.InvalidAuthMgmt;
        }

        if (!TryUser(name, out var user))
        {
            return StoreError.UserNotFound;
        }

        lock (_gate)
        {
            _users.Remove(user.Name);
            _buckets.Delete(Buckets.AuthUsers, name);
            CommitRevisionLocked();
        }

        _tokens.InvalidateUser(Encoding.UTF8.GetString(name));
        return StoreError.None;
    }

    /// <summary>Sets a user's password; its tokens die.</summary>
    public StoreError UserChangePassword(
        ReadOnlySpan<byte> name, ReadOnlySpan<byte> password, ReadOnlySpan<byte> hashedPassword, ulong index)
    {
        if (!TryUser(name, out var user))
        {
            return StoreError.UserNotFound;
        }

        byte[]? stored = user.NoPassword ? [] : StoredPassword(name, password, hashedPassword, index);
        if (stored is null)
        {
            return StoreError.NoPasswordUser;
        }

        lock (_gate)
        {
            PutLocked(user.With(stored));
            CommitRevisionLocked();
        }

        _tokens.InvalidateUser(Encoding.UTF8.GetString(name));
        return StoreError.None;
    }

    /// <summary>Gives a user a role; nothing when it has it. The role root need not exist.</summary>
    public StoreError UserGrantRole(ReadOnlySpan<byte> name, ReadOnlySpan<byte> role)
    {
        if (!TryUser(name, out var user))
        {
            return StoreError.UserNotFound;
        }

        if (!role.SequenceEqual(RootName) && !TryRole(role, out _))
        {
            return StoreError.RoleNotFound;
        }

        if (user.Holds(role))
        {
            return StoreError.None;
        }

        byte[][] roles = [.. user.Roles, role.ToArray()];
        Array.Sort(roles, BytesComparer.Instance);
        lock (_gate)
        {
            PutLocked(user.With(roles, Resolve(roles, _roles)));
            CommitRevisionLocked();
        }

        return StoreError.None;
    }

    /// <summary>Takes a role from a user. root keeps root while auth is on.</summary>
    public StoreError UserRevokeRole(ReadOnlySpan<byte> name, ReadOnlySpan<byte> role)
    {
        if (_enabled && name.SequenceEqual(RootName) && role.SequenceEqual(RootName))
        {
            return StoreError.InvalidAuthMgmt;
        }

        if (!TryUser(name, out var user))
        {
            return StoreError.UserNotFound;
        }

        if (!user.Holds(role))
        {
            return StoreError.RoleNotGranted;
        }

        lock (_gate)
        {
            RevokeLocked(user, role.ToArray());
            CommitRevisionLocked();
        }

        return StoreError.None;
    }

    /// <summary>A user's roles, bytewise sorted.</summary>
    internal StoreError UserGet(ReadOnlySpan<byte> name, out IReadOnlyList<byte[]> roles)
    {
        roles = TryUser(name, out var user) ? user.Roles : [];
        return user is null ? StoreError.UserNotFound : StoreError.None;
    }

    /// <summary>All user names, bytewise sorted.</summary>
    internal IReadOnlyList<byte[]> UserList() => [.. _users.Keys.Order(BytesComparer.Instance)];

    /// <summary>Adds a role without permissions.</summary>
    public StoreError RoleAdd(ReadOnlySpan<byte> name)
    {
        if (name.IsEmpty)
        {
            return StoreError.RoleEmpty;
        }

        if (TryRole(name, out _))
        {
            return StoreError.RoleAlreadyExist;
        }

        lock (_gate)
        {
            PutLocked(new AuthRole(name.ToArray(), []));
            CommitRevisionLocked();
        }

        return StoreError.None;
    }

    /// <summary>Removes a role, also from all users. The role root stays while auth is on.</summary>
    public StoreError RoleDelete(ReadOnlySpan<byte> name)
    {
        if (_enabled && name.SequenceEqual(RootName))
        {
            return StoreError.InvalidAuthMgmt;
        }

        if (!TryRole(name, out var role))
        {
            return StoreError.RoleNotFound;
        }

        lock (_gate)
        {
            _roles.Remove(role.Name);
            _buckets.Delete(Buckets.AuthRoles, name);
            foreach (var user in HoldersLocked(role.Name))
            {
                RevokeLocked(user, role.Name);
            }

            CommitRevisionLocked();
        }

        return StoreError.None;
    }

    /// <summary>A role's permissions in stored order.</summary>
    internal StoreError RoleGet(ReadOnlySpan<byte> name, out IReadOnlyList<Permission> permissions)
    {
        permissions = TryRole(name, out var role) ? role.Permissions : [];
        return role is null ? StoreError.RoleNotFound : StoreError.None;
    }

    /// <summary>All role names, bytewise sorted.</summary>
    internal IReadOnlyList<byte[]> RoleList() => [.. _roles.Keys.Order(BytesComparer.Instance)];

    /// <summary>Grants a permission, or changes the kind of the one on the same range.</summary>
    internal StoreError RoleGrantPermission(ReadOnlySpan<byte> name, Permission? permission)
    {
        if (permission is null)
        {
            return StoreError.PermissionNotGiven;
        }

        if (_rules == AuthRules.Whole && !KeyRanges.IsValidPermission(permission.Key, permission.RangeEnd))
        {
            return StoreError.InvalidAuthMgmt;
        }

        if (!TryRole(name, out var role))
        {
            return StoreError.RoleNotFound;
        }

        // Only the first permission on the key is looked at for a change, as in etcd; the records must be the same.
        var permissions = role.Permissions.ToList();
        int first = permissions.FindIndex(held => held.Key.AsSpan().SequenceCompareTo(permission.Key) >= 0);
        if (first >= 0 && permissions[first].IsOn(permission.Key, permission.RangeEnd))
        {
            permissions[first] = permission;
        }
        else
        {
            int behind = permissions.FindIndex(held => held.Key.AsSpan().SequenceCompareTo(permission.Key) > 0);
            permissions.Insert(behind < 0 ? permissions.Count : behind, permission);
        }

        Change(role with { Permissions = permissions });
        return StoreError.None;
    }

    /// <summary>Takes back what was granted on exactly this range.</summary>
    public StoreError RoleRevokePermission(ReadOnlySpan<byte> name, ReadOnlySpan<byte> key, ReadOnlySpan<byte> rangeEnd)
    {
        if (!TryRole(name, out var role))
        {
            return StoreError.RoleNotFound;
        }

        var left = new List<Permission>();
        foreach (var permission in role.Permissions)
        {
            if (!permission.IsOn(key, rangeEnd))
            {
                left.Add(permission);
            }
        }

        if (left.Count == role.Permissions.Count)
        {
            return StoreError.PermissionNotGranted;
        }

        Change(role with { Permissions = left });
        return StoreError.None;
    }

    private static AuthRole[] Resolve(IReadOnlyList<byte[]> names, Dictionary<byte[], AuthRole> roles) =>
        [.. names.Where(roles.ContainsKey).Select(name => roles[name])];

    private bool TryUser(ReadOnlySpan<byte> name, [System.Diagnostics.CodeAnalysis.NotNullWhen(true)] out AuthUser? user) =>
        _users.GetAlternateLookup<ReadOnlySpan<byte>>().TryGetValue(name, out user);

    private bool TryRole(ReadOnlySpan<byte> name, [System.Diagnostics.CodeAnalysis.NotNullWhen(true)] out AuthRole? role) =>
        _roles.GetAlternateLookup<ReadOnlySpan<byte>>().TryGetValue(name, out role);

    /// <summary>What is stored for a password; null when it cannot be kept.</summary>
    private byte[]? StoredPassword(
        ReadOnlySpan<byte> name, ReadOnlySpan<byte> password, ReadOnlySpan<byte> hashedPassword, ulong index)
    {
        if (!password.IsEmpty && hashedPassword.IsEmpty)
        {
            // A salt that all members agree on, and that nobody can foresee who does not know the password.
            using var salt = IncrementalHash.CreateHMAC(HashAlgorithmName.SHA256, password);
            Span<byte> indexBytes = stackalloc byte[sizeof(ulong)];
            BinaryPrimitives.WriteUInt64BigEndian(indexBytes, index);
            salt.AppendData(indexBytes);
            salt.AppendData(name);
            return _hasher.Hash(password, _bcryptCost, salt.GetHashAndReset().AsSpan(0, SaltBytes));
        }

        byte[] decoded = new byte[hashedPassword.Length];
        return Convert.TryFromBase64String(Encoding.ASCII.GetString(hashedPassword), decoded, out int length)
            ? decoded[..length]
            : null;
    }

    private void Change(AuthRole role)
    {
        lock (_gate)
        {
            PutLocked(role);
            CommitRevisionLocked();
        }
    }

    private void PutLocked(AuthUser user)
    {
        _users[user.Name] = user;
        _buckets.Put(Buckets.AuthUsers, user.Name, user.Encode());
    }

    private void PutLocked(AuthRole role)
    {
        _roles[role.Name] = role;
        _buckets.Put(Buckets.AuthRoles, role.Name, role.Encode());

        // Whoever holds the role is made anew, so that its compiled permissions are.
        foreach (var user in HoldersLocked(role.Name))
        {
            _users[user.Name] = user.With(user.Roles, Resolve(user.Roles, _roles));
        }
    }

    private AuthUser[] HoldersLocked(byte[] role) => [.. _users.Values.Where(user => user.Holds(role))];

    private void RevokeLocked(AuthUser user, byte[] role)
    {
        byte[][] roles = [.. user.Roles.Where(held => !held.AsSpan().SequenceEqual(role))];
        PutLocked(user.With(roles, Resolve(roles, _roles)));
    }

    /// <summary>Made only when somebody looks: a thousand new users in a row cost one copy, not a thousand.</summary>
    private AuthView MakeView()
    {
        lock (_gate)
        {
            return _view ??= new AuthView(
                _enabled, _revision, new Dictionary<byte[], AuthUser>(_users, BytesComparer.Instance));
        }
    }

    private void CommitRevisionLocked()
    {
        Volatile.Write(ref _revision, _revision + 1);
        _view = null;
        Span<byte> bytes = stackalloc byte[sizeof(ulong)];
        BinaryPrimitives.WriteUInt64BigEndian(bytes, _revision);
        _buckets.Put(Buckets.Auth, "authRevision"u8, bytes);
    }
}
