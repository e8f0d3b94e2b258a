using Perf.Store.Commands;

namespace Perf.Store.Auth;

/// <summary>What a permission allows; the numbers are authpb's.</summary>
public enum PermissionKind
{
    Read = 0,
    Write = 1,
    ReadWrite = 2,
}

/// <summary>A permission on a key or a range, ends as on the wire.</summary>
internal sealed record Permission(PermissionKind Kind, byte[] Key, byte[] RangeEnd)
{
    private const int KindField = 1;
    private const int KeyField = 2;
    private const int RangeEndField = 3;

    public bool IsOn(ReadOnlySpan<byte> key, ReadOnlySpan<byte> rangeEnd) =>
        key.SequenceEqual(Key) && rangeEnd.SequenceEqual(RangeEnd);

    /// <summary>Reads authpb.Permission; null when the bytes are none.</summary>
    public static Permission? TryParse(ReadOnlySpan<byte> source)
    {
        int kind = 0;
        byte[] key = [];
        byte[] rangeEnd = [];
        var reader = new ProtoReader(source);
        while (reader.Next())
        {
            switch (reader.Field)
            {
                case KindField:
                    kind = reader.Int32;
                    break;
                case KeyField:
                    key = reader.Bytes.ToArray();
                    break;
                case RangeEndField:
                    rangeEnd = reader.Bytes.ToArray();
                    break;
            }
        }

        return reader.Failed ? null : new Permission((PermissionKind)kind, key, rangeEnd);
    }

    public void Write(ProtoBuffer target, int field)
    {
        int start = target.BeginMessage(field);
        target.Int64(KindField, (int)Kind);
        target.Bytes(KeyField, Key);
        target.Bytes(RangeEndField, RangeEnd);
        target.EndMessage(start);
    }
}

/// <summary>A role: permissions sorted by key, equal keys in the order they were granted. Immutable.</summary>
internal sealed record AuthRole(byte[] Name, IReadOnlyList<Permission> Permissions)
{
    private const int NameField = 1;
    private const int PermissionField = 2;

    /// <summary>Reads authpb.Role. Throws <see cref="InvalidDataException"/>.</summary>
    public static AuthRole Parse(ReadOnlySpan<byte> source)
    {
        byte[] name = [];
        var permissions = new List<Permission>();
        var reader = new ProtoReader(source);
        bool bad = false;
        while (reader.Next())
        {
            switch (reader.Field)
            {
                case NameField:
                    name = reader.Bytes.ToArray();
                    break;
                case PermissionField:
                    var permission = Permission.TryParse(reader.Bytes);
                    bad |= permission is null;
                    permissions.Add(permission!);
                    break;
            }
        }

        return reader.Failed || bad
            ? throw new InvalidDataException("bucket authRoles: a record is no Role")
            : new AuthRole(name, permissions);
    }

    public byte[] Encode()
    {
        var target = new ProtoBuffer();
        target.Bytes(NameField, Name);
        foreach (var permission in Permissions)
        {
            permission.Write(target, PermissionField);
        }

        return target.Written.ToArray();
    }
}

/// <summary>
/// A user with the roles it resolves to. Immutable; made anew when the user or one of its roles changes, so the
/// compiled permissions are good for its life.
/// </summary>
internal sealed class AuthUser
{
    private const int NameField = 1;
    private const int PasswordField = 2;
    private const int RolesField = 3;
    private const int OptionsField = 4;
    private const int NoPasswordField = 1;

    private Compiled? _compiled;

    public required byte[] Name { get; init; }

    /// <summary>A bcrypt string; empty for a user without a password.</summary>
    public byte[] Password { get; init; } = [];

    /// <summary>Names of roles, bytewise sorted.</summary>
    public IReadOnlyList<byte[]> Roles
    {
        get;
        init
        {
            field = value;
            IsRoot = Holds(AuthStore.RootName);
        }
    } = [];

    /// <summary>Holds the role "root", which may do everything.</summary>
    public bool IsRoot { get; private init; }

    /// <summary>False for records from before users had options: those stay without the field.</summary>
    public bool HasOptions { get; init; }

    public bool NoPassword { get; init; }

    /// <summary>The roles that exist, in the order of their names.</summary>
    public IReadOnlyList<AuthRole> Resolved { get; init; } = [];

    public bool Holds(ReadOnlySpan<byte> role)
    {
        foreach (byte[] held in Roles)
        {
            if (role.SequenceEqual(held))
            {
                return true;
            }
        }

        return false;
    }

    /// <summary>What the user's roles allow to read and to write. Any thread.</summary>
    public (KeyRangeSet Readable, KeyRangeSet Writable) Allowed
    {
        get
        {
            // Two threads may compile at once; both get the same.
            var compiled = Volatile.Read(ref _compiled);
            if (compiled is null)
            {
                compiled = Compile();
                Volatile.Write(ref _compiled, compiled);
            }

            return (compiled.Read, compiled.Write);
        }
    }

    public AuthUser With(byte[] password) => Copy(password, Roles, Resolved);

    public AuthUser With(IReadOnlyList<byte[]> roles, IReadOnlyList<AuthRole> resolved) => Copy(Password, roles, resolved);

    /// <summary>Reads authpb.User, roles unresolved. Throws <see cref="InvalidDataException"/>.</summary>
    public static AuthUser Parse(ReadOnlySpan<byte> source)
    {
        byte[] name = [];
        byte[] password = [];
        var roles = new List<byte[]>();
        bool hasOptions = false;
        bool noPassword = false;
        var reader = new ProtoReader(source);
        while (reader.Next())
        {
            switch (reader.Field)
            {
                case NameField:
                    name = reader.Bytes.ToArray();
                    break;
                case PasswordField:
                    password = reader.Bytes.ToArray();
                    break;
                case RolesField:
                    roles.Add(reader.Bytes.ToArray());
                    break;
                case OptionsField:
                    hasOptions = true;
                    noPassword = ReadNoPassword(reader.Bytes);
                    break;
            }
        }

        if (reader.Failed)
        {
            throw new InvalidDataException("bucket authUsers: a record is no User");
        }

        return new AuthUser
        {
            Name = name,
            Password = password,
            Roles = roles,
            HasOptions = hasOptions,
            NoPassword = noPassword,
        };
    }

    /// <summary>Reads authpb.UserAddOptions.</summary>
    public static bool ReadNoPassword(ReadOnlySpan<byte> options)
    {
        bool noPassword = false;
        var reader = new ProtoReader(options);
        while (reader.Next())
        {
            if (reader.Field == NoPasswordField)
            {
                noPassword = reader.Bool;
            }
        }

        return noPassword;
    }

    public byte[] Encode()
    {
        var target = new ProtoBuffer();
        target.Bytes(NameField, Name);
        target.Bytes(PasswordField, Password);
        foreach (byte[] role in Roles)
        {
            target.Message(RolesField, role);
        }

        if (HasOptions)
        {
            int start = target.BeginMessage(OptionsField);
            target.Bool(NoPasswordField, NoPassword);
            target.EndMessage(start);
        }

        return target.Written.ToArray();
    }

    private AuthUser Copy(byte[] password, IReadOnlyList<byte[]> roles, IReadOnlyList<AuthRole> resolved) => new()
    {
        Name = Name,
        Password = password,
        Roles = roles,
        HasOptions = HasOptions,
        NoPassword = NoPassword,
        Resolved = resolved,
    };

    private Compiled Compile()
    {
        return new Compiled(Of(PermissionKind.Read), Of(PermissionKind.Write));

        KeyRangeSet Of(PermissionKind wanted) => KeyRangeSet.Compile(
            from role in Resolved
            from permission in role.Permissions
            where permission.Kind == wanted || permission.Kind == PermissionKind.ReadWrite
            where permission.Key.Length > 0
            select (permission.Key, EndOf(permission)));

        static byte[]? EndOf(Permission permission) =>
            permission.RangeEnd.Length == 0 ? [.. permission.Key, 0]
            : KeyRanges.IsOpenEnd(permission.RangeEnd) ? null
            : permission.RangeEnd;
    }

    private sealed record Compiled(KeyRangeSet Read, KeyRangeSet Write);
}
