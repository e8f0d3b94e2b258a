using System.Buffers;
using System.Text;
using Etcdserverpb;
using Google.Protobuf;
using Perf.Grpc;
using Perf.Node;
using Perf.Node.Consensus;
using Perf.Store;
using Perf.Store.Auth;
using Perf.Store.Commands;
using Perf.Store.Membership;

namespace Perf.Rpc;

/// <summary>
/// etcdserverpb.Auth. Whatever changes or reads users and roles goes through the log and is decided where it is
/// applied; only passwords are worked on here, before the log, which never sees one in the clear (SURFACE AUT-03).
/// </summary>
internal sealed class AuthService(EtcdNode node, Admission admission, Proposals proposals)
{
    private const int SaltBytes = 16;
    private const string PasswordTooLong = "bcrypt: password length exceeds 72 bytes";

    /// <summary>bcrypt is slow on purpose: half of the processors at most are given to it.</summary>
    private readonly SemaphoreSlim _hashing = new(Math.Max(1, Environment.ProcessorCount / 2));
    private readonly BcryptHasher _hasher = new();

    public void Map(GrpcRouter router)
    {
        Through("AuthEnable", InternalField.AuthEnable, AuthEnableRequest.Parser);
        Through("AuthDisable", InternalField.AuthDisable, AuthDisableRequest.Parser);
        Through("UserGet", InternalField.AuthUserGet, AuthUserGetRequest.Parser);
        Through("UserList", InternalField.AuthUserList, AuthUserListRequest.Parser);
        Through("UserDelete", InternalField.AuthUserDelete, AuthUserDeleteRequest.Parser);
        Through("UserGrantRole", InternalField.AuthUserGrantRole, AuthUserGrantRoleRequest.Parser);
        Through("UserRevokeRole", InternalField.AuthUserRevokeRole, AuthUserRevokeRoleRequest.Parser);
        Through("RoleAdd", InternalField.AuthRoleAdd, AuthRoleAddRequest.Parser);
        Through("RoleGet", InternalField.AuthRoleGet, AuthRoleGetRequest.Parser);
        Through("RoleList", InternalField.AuthRoleList, AuthRoleListRequest.Parser);
        Through("RoleDelete", InternalField.AuthRoleDelete, AuthRoleDeleteRequest.Parser);
        Through("RoleRevokePermission", InternalField.AuthRoleRevokePermission, AuthRoleRevokePermissionRequest.Parser);
        Own("AuthStatus", AuthStatus);
        Own("Authenticate", Authenticate);
        Own("UserAdd", UserAdd);
        Own("RoleGrantPermission", RoleGrantPermission);
        Own("UserChangePassword", UserChangePassword);

        // What does not parse must not get into the log: an etcd among the members would die of it.
        void Through<T>(string name, int field, MessageParser<T> parser)
            where T : IMessage<T> => Own(name, call =>
            {
                Messages.Parse(parser, call);
                return proposals.Through(call, field);
            });
        void Own(string name, GrpcHandler handler) => router.Map("/etcdserverpb.Auth/" + name, MethodKind.Unary, handler);
    }

    private RequestDialect Dialect => new(node.Config.SpeakAs, node.ClusterVersion);

    private async ValueTask AuthStatus(ServerCall call)
    {
        // Members of 3.4 do not know such an entry, so while any may be there the answer is this member's own.
        Messages.Parse(AuthStatusRequest.Parser, call);
        if (Dialect.ProposesAuthStatus)
        {
            await proposals.Through(call, InternalField.AuthStatus).ConfigureAwait(false);
            return;
        }

        StoreError error = admission.Admit(call);
        if (error == StoreError.None)
        {
            error = admission.RequireRoot(call);
        }

        if (error != StoreError.None)
        {
            StatusMapping.Fail(call, error);
            return;
        }

        AuthView view = node.State.Machine.Auth.View;
        Messages.Write(call, new AuthStatusResponse
        {
            Header = Messages.Header(node.Header()),
            Enabled = view.Enabled,
            AuthRevision = view.Revision,
        });
    }

    private async ValueTask Authenticate(ServerCall call)
    {
        AuthenticateRequest request = Messages.Parse(AuthenticateRequest.Parser, call);
        StoreError error = admission.Admit(call);
        if (error == StoreError.None)
        {
            error = await node.LinearizableAsync().ConfigureAwait(false);
        }

        while (error == StoreError.None)
        {
            (error, ulong revision) = await CheckPasswordAsync(request.Name, request.Password, call.Cancelled)
                .ConfigureAwait(false);
            if (error != StoreError.None)
            {
                if (error != StoreError.AuthNotEnabled)
                {
                    node.Log.Warn("invalid authentication was requested", ("user", request.Name));
                }

                break;
            }

            using PendingRequest pending = Propose(InternalField.Authenticate, new InternalAuthenticateRequest
            {
                Name = request.Name,
                SimpleToken = node.Tokens.NewPrefix(),
            });
            await pending.Completion.ConfigureAwait(false);

            // Users changed between the check and the entry: the password may be another by now.
            if (pending.Error != StoreError.None || node.State.Machine.Auth.View.Revision == revision)
            {
                Proposals.Answer(call, pending);
                return;
            }
        }

        StatusMapping.Fail(call, error);
    }

    /// <summary>3.4 stores ranges that cannot be, and dies of a permission that is missing: neither gets in by us.</summary>
    private ValueTask RoleGrantPermission(ServerCall call)
    {
        AuthRoleGrantPermissionRequest request = Messages.Parse(AuthRoleGrantPermissionRequest.Parser, call);
        if (node.Config.SpeakAs == SpeakAs.V34)
        {
            StoreError error = request.Perm is null ? StoreError.PermissionNotGiven
                : KeyRanges.IsValidPermission(request.Perm.Key.Span, request.Perm.RangeEnd.Span) ? StoreError.None
                : StoreError.InvalidAuthMgmt;
            if (error != StoreError.None)
            {
                StatusMapping.Fail(call, error);
                return default;
            }
        }

        return proposals.Through(call, InternalField.AuthRoleGrantPermission);
    }

    private async ValueTask UserAdd(ServerCall call)
    {
        AuthUserAddRequest request = Messages.Parse(AuthUserAddRequest.Parser, call);
        if (!Dialect.HashesPasswords)
        {
            await proposals.Through(call, InternalField.AuthUserAdd).ConfigureAwait(false);
            return;
        }

        if (request.Options is not { NoPassword: true } && (request.Password.Length > 0 || request.HashedPassword.Length == 0))
        {
            string? hash = await HashAsync(request.Password, call.Cancelled).ConfigureAwait(false);
            if (hash is null)
            {
                call.Fail(StatusCode.Unknown, PasswordTooLong);
                return;
            }

            request.HashedPassword = hash;
        }

        request.Password = "";
        await ProposeAsync(call, InternalField.AuthUserAdd, request).ConfigureAwait(false);
    }

    private async ValueTask UserChangePassword(ServerCall call)
    {
        AuthUserChangePasswordRequest request = Messages.Parse(AuthUserChangePasswordRequest.Parser, call);
        if (!Dialect.HashesPasswords)
        {
            await proposals.Through(call, InternalField.AuthUserChangePassword).ConfigureAwait(false);
            return;
        }

        if (request.Password.Length > 0)
        {
            string? hash = await HashAsync(request.Password, call.Cancelled).ConfigureAwait(false);
            if (hash is null)
            {
                call.Fail(StatusCode.Unknown, PasswordTooLong);
                return;
            }

            request.HashedPassword = hash;
            request.Password = "";
        }

        await ProposeAsync(call, InternalField.AuthUserChangePassword, request).ConfigureAwait(false);
    }

    private async Task<(StoreError Error, ulong Revision)> CheckPasswordAsync(
        string name, string password, CancellationToken cancelled)
    {
        await _hashing.WaitAsync(cancelled).ConfigureAwait(false);
        try
        {
            return await Task.Run(
                () => (node.State.Passwords.Check(node.State.Machine.Auth.View, name, password, out ulong revision), revision),
                CancellationToken.None).ConfigureAwait(false);
        }
        finally
        {
            _hashing.Release();
        }
    }

    /// <summary>The form that is replicated: base64 of the bcrypt string; null for a password it does not take.</summary>
    private async Task<string?> HashAsync(string password, CancellationToken cancelled)
    {
        await _hashing.WaitAsync(cancelled).ConfigureAwait(false);
        try
        {
            byte[]? hash = await Task.Run(
                () =>
                {
                    byte[] salt = new byte[SaltBytes];
                    MemberState.FillRandom(salt);
                    return _hasher.Hash(
                        Encoding.UTF8.GetBytes(password), BcryptCost.Checked(node.Config.BcryptCost), salt);
                },
                CancellationToken.None).ConfigureAwait(false);
            return hash is null ? null : Convert.ToBase64String(hash);
        }
        finally
        {
            _hashing.Release();
        }
    }

    private async ValueTask ProposeAsync(ServerCall call, int field, IMessage message)
    {
        StoreError error = admission.Admit(call);
        if (error == StoreError.None)
        {
            error = admission.Identify(call, out RequestIdentity who);
            if (error == StoreError.None)
            {
                using PendingRequest pending = node.Propose(field, new ReadOnlySequence<byte>(message.ToByteArray()), who);
                await pending.Completion.ConfigureAwait(false);
                Proposals.Answer(call, pending);
                return;
            }
        }

        StatusMapping.Fail(call, error);
    }

    private PendingRequest Propose(int field, IMessage message) =>
        node.Propose(field, new ReadOnlySequence<byte>(message.ToByteArray()), RequestIdentity.None);
}
