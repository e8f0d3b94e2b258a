using Perf.Client;
using Perf.Etcdctl.CommandLine;
using Perf.Etcdctl.Printing;
using Perf.Etcdctl.Text;

namespace Perf.Etcdctl.Commands;

/// <summary>auth enable, disable, status.</summary>
internal static class AuthCommands
{
    public static Command New() => new Command(
        "auth <enable or disable>", "Enable or disable authentication").Add(
        new Command("enable", "Enables authentication") { Run = EnableAsync },
        new Command("disable", "Disables authentication") { Run = DisableAsync },
        new Command("status", "Returns authentication status") { Run = StatusAsync });

    private static void NoArguments(Invocation run)
    {
        if (run.Args.Count != 0)
        {
            throw Invocation.BadArguments($"auth {run.Command.Name} command does not accept any arguments");
        }
    }

    private static async Task EnableAsync(Invocation run)
    {
        NoArguments(run);
        await using Session session = await Session.OpenAsync(run).ConfigureAwait(false);
        using CancellationTokenSource timeout = session.Timeout();
        Auth auth = session.Client.Auth;
        try
        {
            await auth.EnableAsync(timeout.Token).ConfigureAwait(false);
        }
        catch (EtcdException e) when (e.Detail == EtcdErrors.RootRoleNotExist)
        {
            // The user root is there but has no role root yet: give it one and try again.
            await auth.RoleAddAsync("root", timeout.Token).ConfigureAwait(false);
            await auth.UserGrantRoleAsync("root", "root", timeout.Token).ConfigureAwait(false);
            await auth.EnableAsync(timeout.Token).ConfigureAwait(false);
        }

        run.Terminal.WriteLine("Authentication Enabled");
    }

    private static async Task DisableAsync(Invocation run)
    {
        NoArguments(run);
        await using Session session = await Session.OpenAsync(run).ConfigureAwait(false);
        await session.WithinTimeoutAsync(session.Client.Auth.DisableAsync).ConfigureAwait(false);
        run.Terminal.WriteLine("Authentication Disabled");
    }

    private static async Task StatusAsync(Invocation run)
    {
        NoArguments(run);
        await using Session session = await Session.OpenAsync(run, Answer.AuthStatus).ConfigureAwait(false);
        session.Printer.AuthStatus(await session.WithinTimeoutAsync(session.Client.Auth.StatusAsync)
            .ConfigureAwait(false));
    }
}

/// <summary>user add, delete, get, list, passwd, grant-role, revoke-role.</summary>
internal static class UserCommands
{
    public static Command New() => new Command("user <subcommand>", "User related commands").Add(
        new Command("add <user name or user:password> [options]", "Adds a new user") { Run = AddAsync }.With(flags =>
        {
            flags.Bool("interactive", true, "Read password from stdin instead of interactive terminal");
            flags.String("new-user-password", "", "Supply password from the command line flag");
            flags.Bool("no-password", false, "Create a user without password (CN based auth only)");
        }),
        new Command("delete <user name>", "Deletes a user") { Run = DeleteAsync },
        new Command("get <user name> [options]", "Gets detailed information of a user") { Run = GetAsync }
            .With(flags => flags.Bool("detail", false, "Show permissions of roles granted to the user")),
        new Command("list", "Lists all users") { Run = ListAsync },
        new Command("passwd <user name> [options]", "Changes password of user") { Run = PasswordAsync }.With(
            flags => flags.Bool(
                "interactive", true, "If true, read password from stdin instead of interactive terminal")),
        new Command("grant-role <user name> <role name>", "Grants a role to a user") { Run = GrantAsync },
        new Command("revoke-role <user name> <role name>", "Revokes a role from a user") { Run = RevokeAsync });

    private static async Task AddAsync(Invocation run)
    {
        Need(run, 1, "user add command requires user name as its argument");
        string user = run.Args[0];
        string? password = null;
        if (!run.On("no-password"))
        {
            int colon = user.IndexOf(':', StringComparison.Ordinal);
            if (run.Text("new-user-password").Length > 0)
            {
                password = run.Text("new-user-password");
            }
            else if (colon >= 0)
            {
                password = user[(colon + 1)..];
                user = user[..colon];
                if (user.Length == 0)
                {
                    throw Invocation.BadArguments("empty user name is not allowed");
                }
            }
            else
            {
                password = await NewPasswordAsync(run, user).ConfigureAwait(false);
            }
        }

        await using Session session = await Session.OpenAsync(run, Answer.AuthChange).ConfigureAwait(false);
        EtcdResponse r = await session.WithinTimeoutAsync(c => session.Client.Auth.UserAddAsync(user, password, c))
            .ConfigureAwait(false);
        session.Printer.AuthChange($"User {user} created", r);
    }

    private static async Task<string> NewPasswordAsync(Invocation run, string user) => run.On("interactive")
        ? Passwords.AskNew(run.Terminal, user)
        : await Passwords.FromInputAsync(run.Terminal).ConfigureAwait(false);

    private static async Task DeleteAsync(Invocation run)
    {
        Need(run, 1, "user delete command requires user name as its argument");
        await using Session session = await Session.OpenAsync(run, Answer.AuthChange).ConfigureAwait(false);
        EtcdResponse r = await session.WithinTimeoutAsync(c => session.Client.Auth.UserDeleteAsync(run.Args[0], c))
            .ConfigureAwait(false);
        session.Printer.AuthChange($"User {run.Args[0]} deleted", r);
    }

    private static async Task GetAsync(Invocation run)
    {
        Need(run, 1, "user get command requires user name as its argument");
        bool detail = run.On("detail");
        await using Session session = await Session.OpenAsync(run, detail ? Answer.RoleGet : Answer.UserGet)
            .ConfigureAwait(false);
        string user = run.Args[0];
        NamesResponse roles = await session.WithinTimeoutAsync(c => session.Client.Auth.UserGetAsync(user, c))
            .ConfigureAwait(false);
        if (!detail)
        {
            session.Printer.UserGet(user, roles);
            return;
        }

        run.Terminal.WriteLine("User: " + user);
        foreach (string role in roles.Names)
        {
            run.Terminal.WriteLine("");
            session.Printer.RoleGet(role, await session.WithinTimeoutAsync(
                c => session.Client.Auth.RoleGetAsync(role, c)).ConfigureAwait(false));
        }
    }

    private static async Task ListAsync(Invocation run)
    {
        Need(run, 0, "user list command requires no arguments");
        await using Session session = await Session.OpenAsync(run, Answer.UserList).ConfigureAwait(false);
        session.Printer.Users(await session.WithinTimeoutAsync(session.Client.Auth.UserListAsync)
            .ConfigureAwait(false));
    }

    private static async Task PasswordAsync(Invocation run)
    {
        Need(run, 1, "user passwd command requires user name as its argument");
        string password = await NewPasswordAsync(run, run.Args[0]).ConfigureAwait(false);
        await using Session session = await Session.OpenAsync(run, Answer.AuthChange).ConfigureAwait(false);
        EtcdResponse r = await session.WithinTimeoutAsync(
            c => session.Client.Auth.UserChangePasswordAsync(run.Args[0], password, c)).ConfigureAwait(false);
        session.Printer.AuthChange("Password updated", r);
    }

    private static async Task GrantAsync(Invocation run)
    {
        Need(run, 2, "user grant command requires user name and role name as its argument");
        (string user, string role) = (run.Args[0], run.Args[1]);
        await using Session session = await Session.OpenAsync(run, Answer.AuthChange).ConfigureAwait(false);
        EtcdResponse r = await session.WithinTimeoutAsync(
            c => session.Client.Auth.UserGrantRoleAsync(user, role, c)).ConfigureAwait(false);
        session.Printer.AuthChange($"Role {role} is granted to user {user}", r);
    }

    private static async Task RevokeAsync(Invocation run)
    {
        Need(run, 2, "user revoke-role requires user name and role name as its argument");
        (string user, string role) = (run.Args[0], run.Args[1]);
        await using Session session = await Session.OpenAsync(run, Answer.AuthChange).ConfigureAwait(false);
        EtcdResponse r = await session.WithinTimeoutAsync(
            c => session.Client.Auth.UserRevokeRoleAsync(user, role, c)).ConfigureAwait(false);
        session.Printer.AuthChange($"Role {role} is revoked from user {user}", r);
    }

    internal static void Need(Invocation run, int count, string message)
    {
        if (run.Args.Count != count)
        {
            throw Invocation.BadArguments(message);
        }
    }
}

/// <summary>role add, delete, get, list, grant-permission, revoke-permission.</summary>
internal static class RoleCommands
{
    private const string Exclusive = "--from-key and --prefix flags are mutually exclusive";

    public static Command New() => new Command("role <subcommand>", "Role related commands").Add(
        new Command("add <role name>", "Adds a new role") { Run = AddAsync },
        new Command("delete <role name>", "Deletes a role") { Run = DeleteAsync },
        new Command("get <role name>", "Gets detailed information of a role") { Run = GetAsync },
        new Command("list", "Lists all roles") { Run = ListAsync },
        new Command(
            "grant-permission [options] <role name> <permission type> <key> [endkey]", "Grants a key to a role")
        {
            Run = GrantAsync,
        }.With(flags => RangeFlags(flags, "grant")),
        new Command("revoke-permission <role name> <key> [endkey]", "Revokes a key from a role")
        {
            Run = RevokeAsync,
        }.With(flags => RangeFlags(flags, "revoke")));

    private static void RangeFlags(FlagSet flags, string verb)
    {
        flags.Bool("prefix", false, verb + " a prefix permission");
        flags.Bool(
            "from-key",
            false,
            verb + " a permission of keys that are greater than or equal to the given key using byte compare");
    }

    private static async Task AddAsync(Invocation run)
    {
        UserCommands.Need(run, 1, "role add command requires role name as its argument");
        await using Session session = await Session.OpenAsync(run, Answer.AuthChange).ConfigureAwait(false);
        EtcdResponse r = await session.WithinTimeoutAsync(c => session.Client.Auth.RoleAddAsync(run.Args[0], c))
            .ConfigureAwait(false);
        session.Printer.AuthChange($"Role {run.Args[0]} created", r);
    }

    private static async Task DeleteAsync(Invocation run)
    {
        UserCommands.Need(run, 1, "role delete command requires role name as its argument");
        await using Session session = await Session.OpenAsync(run, Answer.AuthChange).ConfigureAwait(false);
        EtcdResponse r = await session.WithinTimeoutAsync(c => session.Client.Auth.RoleDeleteAsync(run.Args[0], c))
            .ConfigureAwait(false);
        session.Printer.AuthChange($"Role {run.Args[0]} deleted", r);
    }

    private static async Task GetAsync(Invocation run)
    {
        UserCommands.Need(run, 1, "role get command requires role name as its argument");
        await using Session session = await Session.OpenAsync(run, Answer.RoleGet).ConfigureAwait(false);
        session.Printer.RoleGet(run.Args[0], await session.WithinTimeoutAsync(
            c => session.Client.Auth.RoleGetAsync(run.Args[0], c)).ConfigureAwait(false));
    }

    private static async Task ListAsync(Invocation run)
    {
        UserCommands.Need(run, 0, "role list command requires no arguments");
        await using Session session = await Session.OpenAsync(run, Answer.RoleList).ConfigureAwait(false);
        session.Printer.Roles(await session.WithinTimeoutAsync(session.Client.Auth.RoleListAsync)
            .ConfigureAwait(false));
    }

    private static async Task GrantAsync(Invocation run)
    {
        if (run.Args.Count < 3)
        {
            throw Invocation.BadArguments(
                "role grant command requires role name, permission type, and key [endkey] as its argument");
        }

        PermissionType type = run.Args[1].ToUpperInvariant() switch
        {
            "READ" => PermissionType.Read,
            "WRITE" => PermissionType.Write,
            "READWRITE" => PermissionType.ReadWrite,
            _ => throw Invocation.BadArguments("invalid permission type: " + run.Args[1]),
        };
        (Bytes key, Bytes end) = PermissionRange(run, 2);
        await using Session session = await Session.OpenAsync(run, Answer.AuthChange).ConfigureAwait(false);
        var permission = new Permission { Type = type, Key = key, RangeEnd = end };
        EtcdResponse r = await session.WithinTimeoutAsync(
            c => session.Client.Auth.RoleGrantPermissionAsync(run.Args[0], permission, c)).ConfigureAwait(false);
        session.Printer.AuthChange($"Role {run.Args[0]} updated", r);
    }

    private static async Task RevokeAsync(Invocation run)
    {
        if (run.Args.Count < 2)
        {
            throw Invocation.BadArguments(
                "role revoke-permission command requires role name and key [endkey] as its argument");
        }

        (Bytes key, Bytes end) = PermissionRange(run, 1);
        await using Session session = await Session.OpenAsync(run, Answer.AuthChange).ConfigureAwait(false);
        EtcdResponse r = await session.WithinTimeoutAsync(
            c => session.Client.Auth.RoleRevokePermissionAsync(run.Args[0], key, end, c)).ConfigureAwait(false);
        string shown = run.Args[1];
        string what = end.IsEmpty
            ? "key " + shown
            : end == Bytes.Zero
                ? $"range [{shown}, <open ended>"
                : $"range [{shown}, {GoText.FromBytes(end.Span)})";
        session.Printer.AuthChange($"Permission of {what} is revoked from role {run.Args[0]}", r);
    }

    /// <summary>The key and range end of a permission, from the arguments at and behind a position.</summary>
    private static (Bytes Key, Bytes End) PermissionRange(Invocation run, int at)
    {
        Bytes key = GoText.ToBytes(run.Args[at]);
        bool prefix = run.On("prefix");
        bool fromKey = run.On("from-key");
        if (prefix && fromKey && (key.IsEmpty || run.Args.Count == at + 1))
        {
            throw Invocation.BadArguments(Exclusive);
        }

        if (key.IsEmpty)
        {
            return (Bytes.Zero, prefix || fromKey ? Bytes.Zero : Bytes.Empty);
        }

        if (run.Args.Count == at + 1)
        {
            return (key, prefix ? key.PrefixEnd() : fromKey ? Bytes.Zero : Bytes.Empty);
        }

        if (prefix || fromKey)
        {
            throw Invocation.BadArguments(
                $"unexpected endkey argument with --{(prefix ? "prefix" : "from-key")} flag");
        }

        return (key, GoText.ToBytes(run.Args[at + 1]));
    }
}
