using System.Diagnostics.CodeAnalysis;
using System.Security.Cryptography;
using System.Text;
using System.Text.Encodings.Web;
using System.Text.Json;
using Perf.Node;
using Perf.Store.Auth;
using Perf.Store.V2;

namespace Perf.Rpc.Http.V2;

/// <summary>Why something on users or roles was refused: HTTP status and text.</summary>
internal sealed record V2AuthError(int Status, string Message)
{
    public static V2AuthError Of(int status, string text) => new(status, "auth: " + text);

    public static V2AuthError Of(V2Error error) => new(error.HttpStatus, error.ToJson()) { IsKeyError = true };

    /// <summary>The message is a whole answer already.</summary>
    public bool IsKeyError { get; private init; }
}

/// <summary>
/// Users and roles of the v2 API: records below /2 of the v2 tree, replicated like keys. They have nothing to do with
/// those of v3.
/// </summary>
internal sealed class V2Auth(EtcdNode node, IV2Server server)
{
    public const string RootName = "root";
    public const string GuestName = "guest";
    private const string Place = "/2";
    private const int BcryptCostUsual = 10;

    /// <summary>As Go writes JSON, as far as names of users and keys go.</summary>
    public static readonly JsonSerializerOptions Json = new()
    {
        PropertyNameCaseInsensitive = true,
        Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping,
    };

    private static readonly V2Role Everything = new()
    {
        Name = RootName,
        Permissions = new V2Permissions { Keys = new V2KeyPermissions { Read = ["/*"], Write = ["/*"] } },
    };

    private readonly BcryptHasher _hasher = new();
    private bool _isReady;

    public async Task<bool> IsEnabledAsync()
    {
        V2Result result = await server.DoAsync(new V2Request { Method = "GET", Path = Place + "/enabled" }).ConfigureAwait(false);
        return result.Event?.Node.Value == "true";
    }

    /// <summary>The user, or why there is none.</summary>
    public async Task<(V2User? User, V2AuthError? Error)> UserAsync(string name, bool quorum = false)
    {
        (V2User? user, V2AuthError? error) = await ReadAsync<V2User>(
            $"/users/{name}", quorum, $"User {name} does not exist.").ConfigureAwait(false);
        return (user?.User == RootName ? AsRoot(user) : user, error);
    }

    public async Task<(V2Role? Role, V2AuthError? Error)> RoleAsync(string name, bool quorum = false) => name == RootName
        ? (Everything, null)
        : await ReadAsync<V2Role>($"/roles/{name}", quorum, $"Role {name} does not exist.").ConfigureAwait(false);

    public Task<IReadOnlyList<string>> UserNamesAsync() => NamesAsync("/users", []);

    public Task<IReadOnlyList<string>> RoleNamesAsync() => NamesAsync("/roles", [RootName]);

    /// <summary>Checked beside the log and off the connection's thread: it takes tens of milliseconds.</summary>
    public Task<bool> IsPasswordAsync(V2User user, string password) => Task.Run(() => _hasher.Verify(
        Encoding.ASCII.GetBytes(user.Password ?? ""), Encoding.UTF8.GetBytes(password)));

    public async Task<(V2User? User, V2AuthError? Error)> CreateUserAsync(V2User user)
    {
        if (user.User == RootName)
        {
            user = AsRoot(user);
        }

        if (string.IsNullOrEmpty(user.Password))
        {
            return (null, V2AuthError.Of(400, $"Cannot create user {user.User} with an empty password"));
        }

        user = user with { Password = await HashAsync(user.Password).ConfigureAwait(false) };
        V2Error? error = await WriteAsync($"/users/{user.User}", user, exists: false).ConfigureAwait(false);
        return error is null ? (user, null)
            : (null, error.Code == V2ErrorCode.NodeExist
                ? V2AuthError.Of(409, $"User {user.User} already exists.")
                : V2AuthError.Of(error));
    }

    /// <summary>A request with a password and no roles: of one that is there, or of a new one.</summary>
    public async Task<(V2User? User, bool Created, V2AuthError? Error)> CreateOrUpdateUserAsync(V2User user)
    {
        bool isThere = (await UserAsync(user.User, quorum: true).ConfigureAwait(false)).User is not null;
        (V2User? done, V2AuthError? error) = isThere
            ? await UpdateUserAsync(user).ConfigureAwait(false)
            : await CreateUserAsync(user).ConfigureAwait(false);
        return (done, !isThere, error);
    }

    public async Task<(V2User? User, V2AuthError? Error)> UpdateUserAsync(V2User change)
    {
        (V2User? old, V2AuthError? error) = await UserAsync(change.User, quorum: true).ConfigureAwait(false);
        if (old is null)
        {
            return (null, error);
        }

        var roles = new SortedSet<string>(old.Roles ?? [], StringComparer.Ordinal);
        foreach (string role in change.Grant ?? [])
        {
            if (!roles.Add(role))
            {
                return (null, V2AuthError.Of(409, $"Granting duplicate role {role} for user {change.User}"));
            }
        }

        foreach (string role in change.Revoke ?? [])
        {
            if (!roles.Remove(role))
            {
                return (null, V2AuthError.Of(409, $"Revoking ungranted role {role} for user {change.User}"));
            }
        }

        bool isPasswordNew = !string.IsNullOrEmpty(change.Password);
        if (!isPasswordNew && old.Roles is not null && roles.SequenceEqual(old.Roles))
        {
            return (null, V2AuthError.Of(400, "User not updated. Use grant/revoke/password to update the user."));
        }

        V2User user = new()
        {
            User = old.User,
            Password = isPasswordNew ? await HashAsync(change.Password!).ConfigureAwait(false) : old.Password,
            Roles = [.. roles],
        };
        V2Error? fault = await WriteAsync($"/users/{user.User}", user, exists: true).ConfigureAwait(false);
        return fault is null ? (user, null) : (null, V2AuthError.Of(fault));
    }

    public async Task<V2AuthError?> DeleteUserAsync(string name)
    {
        if (name == RootName && await IsEnabledAsync().ConfigureAwait(false))
        {
            return V2AuthError.Of(403, "Cannot delete root user while auth is enabled.");
        }

        return await DeleteAsync($"/users/{name}", $"User {name} does not exist").ConfigureAwait(false);
    }

    public async Task<V2AuthError?> CreateRoleAsync(V2Role role)
    {
        if (role.Name == RootName)
        {
            return RootIsFixed(role.Name);
        }

        V2Error? error = await WriteAsync($"/roles/{role.Name}", role, exists: false).ConfigureAwait(false);
        return error is null ? null
            : error.Code == V2ErrorCode.NodeExist ? V2AuthError.Of(409, $"Role {role.Name} already exists.")
            : V2AuthError.Of(error);
    }

    public async Task<(V2Role? Role, V2AuthError? Error)> UpdateRoleAsync(V2Role change)
    {
        if (change.Name == RootName)
        {
            return (null, RootIsFixed(change.Name));
        }

        (V2Role? old, V2AuthError? error) = await RoleAsync(change.Name, quorum: true).ConfigureAwait(false);
        if (old is null)
        {
            return (null, error);
        }

        if (!TryMerge(old.Permissions.Keys.Read, change.Grant?.Keys.Read, change.Revoke?.Keys.Read, out string[]? read, out string? twice))
        {
            return (null, V2AuthError.Of(409, $"Granting duplicate read permission {twice}"));
        }

        if (!TryMerge(old.Permissions.Keys.Write, change.Grant?.Keys.Write, change.Revoke?.Keys.Write, out string[]? write, out twice))
        {
            return (null, V2AuthError.Of(409, $"Granting duplicate write permission {twice}"));
        }

        if (Same(read, old.Permissions.Keys.Read) && Same(write, old.Permissions.Keys.Write))
        {
            return (null, V2AuthError.Of(400, "Role not updated. Use grant/revoke to update the role."));
        }

        var role = new V2Role
        {
            Name = old.Name,
            Permissions = new V2Permissions { Keys = new V2KeyPermissions { Read = read, Write = write } },
        };
        V2Error? fault = await WriteAsync($"/roles/{role.Name}", role, exists: true).ConfigureAwait(false);
        return fault is null ? (role, null) : (null, V2AuthError.Of(fault));
    }

    public async Task<V2AuthError?> DeleteRoleAsync(string name) => name == RootName
        ? RootIsFixed(name)
        : await DeleteAsync($"/roles/{name}", $"Role {name} doesn't exist.").ConfigureAwait(false);

    public async Task<V2AuthError?> EnableAsync()
    {
        if (await IsEnabledAsync().ConfigureAwait(false))
        {
            return V2AuthError.Of(409, "already enabled");
        }

        if ((await UserAsync(RootName, quorum: true).ConfigureAwait(false)).User is null)
        {
            return V2AuthError.Of(409, "No root user available, please create one");
        }

        if ((await RoleAsync(GuestName, quorum: true).ConfigureAwait(false)).Role is null
            && await CreateRoleAsync(Everything with { Name = GuestName }).ConfigureAwait(false) is { } error)
        {
            return error;
        }

        return await SwitchAsync("true").ConfigureAwait(false);
    }

    public async Task<V2AuthError?> DisableAsync() => await IsEnabledAsync().ConfigureAwait(false)
        ? await SwitchAsync("false").ConfigureAwait(false)
        : V2AuthError.Of(409, "already disabled");

    private static V2AuthError RootIsFixed(string name) => V2AuthError.Of(403, $"Cannot modify role {name}: is root role.");

    private static V2User AsRoot(V2User user) => user.Roles?.Contains(RootName) ?? false
        ? user
        : user with { Roles = [.. user.Roles ?? [], RootName] };

    private static bool Same(string[]? left, string[]? right) =>
        left is null == right is null && (left ?? []).SequenceEqual(right ?? []);

    /// <summary>False: something is granted that is granted already. Nothing to do leaves what there was, null too.</summary>
    private static bool TryMerge(
        string[]? old, string[]? grant, string[]? revoke, out string[]? merged, [NotNullWhen(false)] out string? twice)
    {
        merged = old;
        twice = null;
        if (grant is null && revoke is null)
        {
            return true;
        }

        var set = new SortedSet<string>(old ?? [], StringComparer.Ordinal);
        foreach (string pattern in grant ?? [])
        {
            if (!set.Add(pattern))
            {
                twice = pattern;
                return false;
            }
        }

        set.ExceptWith(revoke ?? []);
        merged = [.. set];
        return true;
    }

    private async Task<V2AuthError?> SwitchAsync(string value)
    {
        V2Error? error = await WriteTextAsync("/enabled", value, exists: true).ConfigureAwait(false);
        return error is null ? null : V2AuthError.Of(error);
    }

    private Task<string> HashAsync(string password) => Task.Run(() =>
    {
        byte[] hash = _hasher.Hash(Encoding.UTF8.GetBytes(password), BcryptCostUsual, RandomNumberGenerator.GetBytes(16))
            ?? throw new InvalidDataException("bcrypt: a password of more than 72 bytes");
        return Encoding.ASCII.GetString(hash);
    });

    private async Task<IReadOnlyList<string>> NamesAsync(string place, IEnumerable<string> always)
    {
        V2Result result = await server.DoAsync(new V2Request { Method = "GET", Path = Place + place }).ConfigureAwait(false);
        return
        [
            .. (result.Event?.Node.Nodes ?? []).Select(n => n.Key[(n.Key.LastIndexOf('/') + 1)..])
                .Concat(always).Order(StringComparer.Ordinal),
        ];
    }

    private async Task<(T? Found, V2AuthError? Error)> ReadAsync<T>(string place, bool quorum, string missing)
        where T : class
    {
        V2Result result = await server.DoAsync(new V2Request
        {
            Method = "GET",
            Path = Place + place,
            Quorum = quorum,
        }).ConfigureAwait(false);
        if (result.Event is null)
        {
            return (null, result.Error!.Code == V2ErrorCode.KeyNotFound
                ? V2AuthError.Of(404, missing)
                : V2AuthError.Of(result.Error));
        }

        try
        {
            return (JsonSerializer.Deserialize<T>(result.Event.Node.Value ?? "", Json), null);
        }
        catch (JsonException)
        {
            node.Log.Warn("a record of the v2 users is not JSON", ("path", Place + place));
            return (null, new V2AuthError(500, "Internal Server Error"));
        }
    }

    private async Task<V2AuthError?> DeleteAsync(string place, string missing)
    {
        await EnsureAsync().ConfigureAwait(false);
        V2Result result = await server.DoAsync(new V2Request
        {
            Method = "DELETE",
            Path = Place + place,
            PrevExist = true,
        }).ConfigureAwait(false);
        return result.Error is null ? null
            : result.Error.Code == V2ErrorCode.KeyNotFound ? V2AuthError.Of(404, missing)
            : V2AuthError.Of(result.Error);
    }

    private Task<V2Error?> WriteAsync<T>(string place, T record, bool exists) =>
        WriteTextAsync(place, JsonSerializer.Serialize(record, Json), exists);

    private async Task<V2Error?> WriteTextAsync(string place, string value, bool exists)
    {
        await EnsureAsync().ConfigureAwait(false);
        V2Result result = await server.DoAsync(new V2Request
        {
            Method = "PUT",
            Path = Place + place,
            Value = value,
            PrevExist = exists,
        }).ConfigureAwait(false);
        return result.Error;
    }

    /// <summary>The directories and the switch, where nobody has made them yet.</summary>
    private async Task EnsureAsync()
    {
        if (_isReady)
        {
            return;
        }

        foreach (string place in (string[])["", "/users", "/roles"])
        {
            await MakeAsync(new V2Request { Method = "PUT", Path = Place + place, Directory = true, PrevExist = false })
                .ConfigureAwait(false);
        }

        _isReady = await MakeAsync(
            new V2Request { Method = "PUT", Path = Place + "/enabled", Value = "false", PrevExist = false }).ConfigureAwait(false);
    }

    private async Task<bool> MakeAsync(V2Request request)
    {
        V2Result result = await server.DoAsync(request).ConfigureAwait(false);
        return result.Error is null or { Code: V2ErrorCode.NodeExist };
    }
}
