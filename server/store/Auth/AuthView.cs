using System.Collections.Concurrent;
using System.Text;

namespace Perf.Store.Auth;

/// <summary>Who asks, and which auth revision that was known at.</summary>
public readonly record struct AuthInfo(string Username, ulong Revision);

/// <summary>The answer for one user at one moment; checks cost no lookup any more. Good on one thread, shortly.</summary>
public readonly struct AuthSubject
{
    private readonly AuthUser? _user;

    /// <summary>Null, as the other: the answer is the same for all keys.</summary>
    private readonly KeyRangeSet? _readable;
    private readonly KeyRangeSet? _writable;
    private readonly StoreError _answer;
    private readonly bool _enabled;
    private readonly bool _named;

    internal AuthSubject(bool enabled, ulong currentRevision, bool named, AuthUser? user, ulong revision)
    {
        _enabled = enabled;
        _named = named;
        _user = user;
        _answer = !enabled ? StoreError.None
            : revision == 0 ? StoreError.UserEmpty
            : revision < currentRevision ? StoreError.AuthOldRevision
            : user is null ? StoreError.PermissionDenied
            : StoreError.None;
        if (enabled && _answer == StoreError.None && !user!.IsRoot)
        {
            (_readable, _writable) = user.Allowed;
        }
    }

    /// <summary>Auth is on: somebody is looked at here. (The default value is of a time when it is off.)</summary>
    public bool IsChecked => _enabled;

    /// <summary>True when nothing is forbidden, so a walk over a request can be left out.</summary>
    public bool MayDoEverything => _readable is null && _answer == StoreError.None;

    /// <summary>May the user do this to all keys of a range? Ends as on the wire.</summary>
    public StoreError Check(PermissionKind kind, ReadOnlySpan<byte> key, ReadOnlySpan<byte> rangeEnd)
    {
        KeyRangeSet? allowed = kind == PermissionKind.Write ? _writable : _readable;
        return allowed is null ? _answer
            : allowed.Covers(key, rangeEnd) ? StoreError.None
            : StoreError.PermissionDenied;
    }

    /// <summary>Is this an administrator? (The revision does not matter here, as in etcd.)</summary>
    public StoreError CheckAdmin()
    {
        if (!_enabled)
        {
            return StoreError.None;
        }

        if (!_named)
        {
            return StoreError.UserEmpty;
        }

        return _user is null ? StoreError.UserNotFound
            : _user.IsRoot ? StoreError.None
            : StoreError.PermissionDenied;
    }

    /// <summary>Somebody asks, whoever it is.</summary>
    public StoreError CheckNamed() => _enabled && !_named ? StoreError.UserEmpty : StoreError.None;

    /// <summary>True when the user holds the role.</summary>
    public bool Holds(ReadOnlySpan<byte> role) => _user is not null && _user.Holds(role);
}

/// <summary>Users, roles and whether they matter, as of one applied entry. Immutable; any thread.</summary>
public sealed class AuthView
{
    private readonly Dictionary<byte[], AuthUser> _users;

    /// <summary>Users by the text that tokens carry, once asked for; no more than there are users.</summary>
    private readonly ConcurrentDictionary<string, AuthUser> _byText = new(StringComparer.Ordinal);

    internal AuthView(bool enabled, ulong revision, Dictionary<byte[], AuthUser> users)
    {
        Enabled = enabled;
        Revision = revision;
        _users = users;
    }

    public bool Enabled { get; }

    /// <summary>Counts the changes of users, roles and permissions; begins at 1.</summary>
    public ulong Revision { get; }

    /// <summary>Looks the user up once, for any number of checks. Null: nobody said who asks.</summary>
    public AuthSubject Subject(AuthInfo? info)
    {
        if (info is not { } known || known.Username is null)
        {
            return new AuthSubject(Enabled, Revision, named: false, null, 0);
        }

        return new AuthSubject(Enabled, Revision, known.Username.Length > 0, Find(known.Username), known.Revision);
    }

    /// <summary>True when there is such a user.</summary>
    public bool HasUser(string username) => Find(username) is not null;

    /// <summary>A user's name as entries carry it. Allocates only for users that are not there.</summary>
    public ReadOnlyMemory<byte> NameBytes(string username) => Find(username)?.Name ?? Encoding.UTF8.GetBytes(username);

    internal AuthUser? Find(string username)
    {
        if (_byText.TryGetValue(username, out var user))
        {
            return user;
        }

        // Strings that no user is called by stay out: anybody could fill the table with them.
        return _users.TryGetValue(Encoding.UTF8.GetBytes(username), out user) ? _byText.GetOrAdd(username, user) : null;
    }
}
