using System.Text.Json;
using Microsoft.AspNetCore.Http;
using Perf.Node;
using Perf.Store.Membership;

namespace Perf.Rpc.Http.V2;

/// <summary>/v2/auth: users, roles and the switch.</summary>
internal sealed class V2AuthHttp(EtcdNode node, V2Auth auth, V2Access access)
{
    private const int BodyBytesMax = 1 << 20;

    /// <summary>A body no larger than that; throws <see cref="InvalidDataException"/>.</summary>
    public static async Task<byte[]> BodyAsync(HttpRequest request, int bytesMax)
    {
        using var body = new MemoryStream();
        byte[] buffer = new byte[8 * 1024];
        int read;
        while ((read = await request.Body.ReadAsync(buffer).ConfigureAwait(false)) > 0)
        {
            body.Write(buffer, 0, read);
            if (body.Length > bytesMax)
            {
                throw new InvalidDataException("http: request body too large");
            }
        }

        return body.ToArray();
    }

    public async Task ServeAsync(HttpContext context, string path)
    {
        string[] pieces = path.TrimEnd('/').Split('/');
        Task serving = pieces switch
        {
            ["enable"] => SwitchAsync(context),
            ["users"] => UsersAsync(context),
            ["roles"] => RolesAsync(context),
            ["users", var name] => UserAsync(context, name),
            ["roles", var name] => RoleAsync(context, name),
            ["users" or "roles", ..] => V2Answers.MessageAsync(context, 400, "Invalid path"),
            _ => PlainText.WriteAsync(context, 404, "404 page not found\n"),
        };
        await serving.ConfigureAwait(false);
    }

    private async Task SwitchAsync(HttpContext context)
    {
        if (!await MayAsync(context, readsAreFree: true, "GET", "PUT", "DELETE").ConfigureAwait(false))
        {
            return;
        }

        if (context.Request.Method == "GET")
        {
            bool isOn = await auth.IsEnabledAsync().ConfigureAwait(false);
            await AnswerAsync(context, 200, $"{{\"enabled\":{(isOn ? "true" : "false")}}}\n").ConfigureAwait(false);
            return;
        }

        V2AuthError? error = await (context.Request.Method == "PUT" ? auth.EnableAsync() : auth.DisableAsync()).ConfigureAwait(false);
        await (error is null ? AnswerAsync(context, 200, "") : FailAsync(context, error)).ConfigureAwait(false);
    }

    private async Task UsersAsync(HttpContext context)
    {
        if (!await MayAsync(context, readsAreFree: false, "GET").ConfigureAwait(false))
        {
            return;
        }

        var users = new List<object>();
        foreach (string name in await auth.UserNamesAsync().ConfigureAwait(false))
        {
            if ((await auth.UserAsync(name).ConfigureAwait(false)).User is { } user)
            {
                users.Add(await WithRolesAsync(user).ConfigureAwait(false));
            }
        }

        await AnswerAsync(context, 200, new { users = users.Count == 0 ? null : users }).ConfigureAwait(false);
    }

    private async Task RolesAsync(HttpContext context)
    {
        if (!await MayAsync(context, readsAreFree: false, "GET").ConfigureAwait(false))
        {
            return;
        }

        var roles = new List<V2Role>();
        foreach (string name in await auth.RoleNamesAsync().ConfigureAwait(false))
        {
            if ((await auth.RoleAsync(name).ConfigureAwait(false)).Role is { } role)
            {
                roles.Add(role);
            }
        }

        await AnswerAsync(context, 200, new { roles }).ConfigureAwait(false);
    }

    private async Task UserAsync(HttpContext context, string name)
    {
        if (!await MayAsync(context, readsAreFree: false, "GET", "PUT", "DELETE").ConfigureAwait(false))
        {
            return;
        }

        switch (context.Request.Method)
        {
            case "GET":
                (V2User? found, V2AuthError? missing) = await auth.UserAsync(name).ConfigureAwait(false);
                await (found is null
                    ? FailAsync(context, missing!)
                    : AnswerAsync(context, 200, await WithRolesAsync(found).ConfigureAwait(false))).ConfigureAwait(false);
                break;

            case "PUT":
                await PutUserAsync(context, name).ConfigureAwait(false);
                break;

            default:
                V2AuthError? error = await auth.DeleteUserAsync(name).ConfigureAwait(false);
                await (error is null ? AnswerAsync(context, 200, "") : FailAsync(context, error)).ConfigureAwait(false);
                break;
        }
    }

    private async Task PutUserAsync(HttpContext context, string name)
    {
        if (await ReadAsync<V2User>(context).ConfigureAwait(false) is not { } given)
        {
            return;
        }

        if (given.User != name)
        {
            await V2Answers.MessageAsync(
                context, 400, "User JSON name does not match the name in the URL").ConfigureAwait(false);
            return;
        }

        bool isChange = given.Grant is { Length: > 0 } || given.Revoke is { Length: > 0 };
        if (isChange && given.Roles is { Length: > 0 })
        {
            await V2Answers.MessageAsync(
                context, 400, "User JSON contains both roles and grant/revoke").ConfigureAwait(false);
            return;
        }

        V2User? user;
        V2AuthError? error;
        bool created = false;
        if (isChange)
        {
            (user, error) = await auth.UpdateUserAsync(given).ConfigureAwait(false);
        }
        else if (given.Roles is { Length: > 0 })
        {
            (user, error) = await auth.CreateUserAsync(given).ConfigureAwait(false);
        }
        else
        {
            (user, created, error) = await auth.CreateOrUpdateUserAsync(given).ConfigureAwait(false);
        }

        await (user is null
            ? FailAsync(context, error!)
            : AnswerAsync(context, created ? 201 : 200, user with { Password = null, Grant = null, Revoke = null })).ConfigureAwait(false);
    }

    private async Task RoleAsync(HttpContext context, string name)
    {
        if (!await MayAsync(context, readsAreFree: false, "GET", "PUT", "DELETE").ConfigureAwait(false))
        {
            return;
        }

        switch (context.Request.Method)
        {
            case "GET":
                (V2Role? found, V2AuthError? missing) = await auth.RoleAsync(name).ConfigureAwait(false);
                await (found is null ? FailAsync(context, missing!) : AnswerAsync(context, 200, found)).ConfigureAwait(false);
                break;

            case "PUT":
                await PutRoleAsync(context, name).ConfigureAwait(false);
                break;

            default:
                V2AuthError? error = await auth.DeleteRoleAsync(name).ConfigureAwait(false);
                await (error is null ? AnswerAsync(context, 200, "") : FailAsync(context, error)).ConfigureAwait(false);
                break;
        }
    }

    private async Task PutRoleAsync(HttpContext context, string name)
    {
        if (await ReadAsync<V2Role>(context).ConfigureAwait(false) is not { } given)
        {
            return;
        }

        if (given.Name != name)
        {
            await V2Answers.MessageAsync(
                context, 400, "Role JSON name does not match the name in the URL").ConfigureAwait(false);
            return;
        }

        if ((given.Grant?.IsNothing() ?? true) && (given.Revoke?.IsNothing() ?? true))
        {
            V2AuthError? refused = await auth.CreateRoleAsync(given).ConfigureAwait(false);
            await (refused is null ? AnswerAsync(context, 201, given) : FailAsync(context, refused)).ConfigureAwait(false);
            return;
        }

        if (!given.Permissions.IsNothing())
        {
            await V2Answers.MessageAsync(
                context, 400, "Role JSON contains both permissions and grant/revoke").ConfigureAwait(false);
            return;
        }

        (V2Role? role, V2AuthError? error) = await auth.UpdateRoleAsync(given).ConfigureAwait(false);
        await (role is null ? FailAsync(context, error!) : AnswerAsync(context, 200, role)).ConfigureAwait(false);
    }

    private async Task<object> WithRolesAsync(V2User user)
    {
        var roles = new List<V2Role>();
        foreach (string name in user.Roles ?? [])
        {
            if ((await auth.RoleAsync(name).ConfigureAwait(false)).Role is { } role)
            {
                roles.Add(role);
            }
        }

        return roles.Count == 0 ? new { user = user.User } : new { user = user.User, roles };
    }

    /// <summary>True when the request goes on; else it has been answered.</summary>
    private async Task<bool> MayAsync(HttpContext context, bool readsAreFree, params string[] methods)
    {
        if (!V2Answers.Allows(context, out Task answered, methods))
        {
            await answered.ConfigureAwait(false);
            return false;
        }

        bool may = await (readsAreFree ? access.MayWriteAsRootAsync(context) : access.IsRootAsync(context)).ConfigureAwait(false);
        if (!may)
        {
            await V2Answers.MessageAsync(context, 401, "Insufficient credentials").ConfigureAwait(false);
            return false;
        }

        context.Response.Headers["X-Etcd-Cluster-Id"] = MemberIds.Hex(node.ClusterId);
        return true;
    }

    private static async Task<T?> ReadAsync<T>(HttpContext context)
        where T : class
    {
        try
        {
            byte[] body = await BodyAsync(context.Request, BodyBytesMax).ConfigureAwait(false);
            if (JsonSerializer.Deserialize<T>(body, V2Auth.Json) is { } read)
            {
                return read;
            }
        }
        catch (Exception e) when (e is JsonException or InvalidDataException)
        {
            // Answered below.
        }

        await V2Answers.MessageAsync(context, 400, "Invalid JSON in request body.").ConfigureAwait(false);
        return null;
    }

    private static Task FailAsync(HttpContext context, V2AuthError error) => error.IsKeyError
        ? V2Answers.JsonAsync(context, error.Status, error.Message + "\n")
        : V2Answers.MessageAsync(context, error.Status, error.Message);

    private static Task AnswerAsync<T>(HttpContext context, int status, T answer)
        where T : class =>
        V2Answers.JsonAsync(context, status, JsonSerializer.Serialize<object>(answer, V2Auth.Json) + "\n");

    private static Task AnswerAsync(HttpContext context, int status, string json) =>
        V2Answers.JsonAsync(context, status, json);
}
