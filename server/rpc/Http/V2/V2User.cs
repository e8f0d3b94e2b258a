using System.Text.Json.Serialization;

namespace Perf.Rpc.Http.V2;

/// <summary>A user of the v2 API, as its records and its requests have it.</summary>
internal sealed record V2User
{
    [JsonPropertyName("user")]
    public string User { get; init; } = "";

    /// <summary>In a request the password, in a record its bcrypt hash; never in an answer.</summary>
    [JsonPropertyName("password")]
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public string? Password { get; init; }

    [JsonPropertyName("roles")]
    public string[]? Roles { get; init; }

    [JsonPropertyName("grant")]
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public string[]? Grant { get; init; }

    [JsonPropertyName("revoke")]
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public string[]? Revoke { get; init; }
}

/// <summary>A role of the v2 API.</summary>
internal sealed record V2Role
{
    [JsonPropertyName("role")]
    public string Name { get; init; } = "";

    [JsonPropertyName("permissions")]
    public V2Permissions Permissions { get; init; } = new();

    [JsonPropertyName("grant")]
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public V2Permissions? Grant { get; init; }

    [JsonPropertyName("revoke")]
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public V2Permissions? Revoke { get; init; }

    /// <summary>A pattern ends in a star or names one key; only one with a star covers what is below a key.</summary>
    public bool Allows(string key, bool recursive, bool isWrite)
    {
        if (Name == V2Auth.RootName)
        {
            return true;
        }

        return ((isWrite ? Permissions.Keys.Write : Permissions.Keys.Read) ?? []).Any(pattern =>
            pattern.EndsWith('*') ? key.StartsWith(pattern[..^1], StringComparison.Ordinal) : !recursive && key == pattern);
    }
}

/// <summary>What a role may do.</summary>
internal sealed record V2Permissions
{
    [JsonPropertyName("kv")]
    public V2KeyPermissions Keys { get; init; } = new();

    public bool IsNothing() => (Keys.Read?.Length ?? 0) == 0 && (Keys.Write?.Length ?? 0) == 0;
}

/// <summary>Patterns of keys to read and to write.</summary>
internal sealed record V2KeyPermissions
{
    [JsonPropertyName("read")]
    public string[]? Read { get; init; }

    [JsonPropertyName("write")]
    public string[]? Write { get; init; }
}
