using System.Buffers;
using System.Text;
using Perf.Store.Commands;

namespace Perf.Store.Auth;

/// <summary>
/// Applies the requests of the auth service (InternalRaftRequest 1000 to 1204) to an <see cref="AuthStore"/> and
/// writes their answers. Apply thread.
/// </summary>
internal static class AuthRequests
{
    /// <summary>Requests that only an administrator may make.</summary>
    public static bool NeedsAdmin(int field) => IsAuth(field)
        && field is not (InternalField.Authenticate or InternalField.AuthUserGet or InternalField.AuthRoleGet);

    /// <summary>True for the requests this class applies.</summary>
    public static bool IsAuth(int field) => field is
        InternalField.AuthEnable or InternalField.AuthDisable or InternalField.Authenticate or InternalField.AuthStatus
        or (>= InternalField.AuthUserAdd and <= InternalField.AuthRoleList)
        or (>= InternalField.AuthRoleAdd and <= InternalField.AuthRoleRevokePermission);

    /// <summary>True for the requests that change nothing: left out when nobody waits for the answer.</summary>
    public static bool IsRead(int field) => field is InternalField.AuthStatus
        or InternalField.AuthUserGet or InternalField.AuthUserList
        or InternalField.AuthRoleGet or InternalField.AuthRoleList;

    /// <summary>Checks, applies and answers one request of entry <paramref name="index"/>.</summary>
    public static StoreError Apply(
        AuthStore store,
        in AuthSubject subject,
        in InternalRequestView request,
        ulong index,
        in ResponseHeader header,
        IBufferWriter<byte>? response)
    {
#if MUTANTS
        if (Mutant.Is("22-request-without-check") && request.Field == InternalField.AuthUserGrantRole)
        {
            // Falls through.
        }
        else
#endif
        if (NeedsAdmin(request.Field))
        {
            var refusal = subject.CheckAdmin();
            if (refusal != StoreError.None)
            {
                return refusal;
            }
        }

        if (response is null && IsRead(request.Field))
        {
            return StoreError.None;
        }

        if (!AuthFields.TryParse(request.Body, out var fields))
        {
            return StoreError.Malformed;
        }

        var answer = new ProtoBuffer(256);
        header.WriteField(answer);
        var error = Change(store, subject, request, fields, index, answer, isAwaited: response is not null);
        if (error == StoreError.None && response is not null)
        {
            response.Write(answer.Written);
        }

        return error;
    }

    private static StoreError Change(
        AuthStore store,
        in AuthSubject subject,
        in InternalRequestView request,
        in AuthFields fields,
        ulong index,
        ProtoBuffer answer,
        bool isAwaited)
    {
        switch (request.Field)
        {
            case InternalField.AuthEnable:
                return store.Enable();

            case InternalField.AuthDisable:
                store.Disable();
                return StoreError.None;

            case InternalField.AuthStatus:
                answer.Bool(2, store.Enabled);
                answer.UInt64(3, store.Revision);
                return StoreError.None;

            case InternalField.Authenticate:
                string prefix = Encoding.UTF8.GetString(fields.Third);
                var error = store.Authenticate(fields.First, prefix, index, out string token, isAwaited);
                answer.Bytes(2, Encoding.UTF8.GetBytes(token));
                return error;

            case InternalField.AuthUserAdd:
                return store.UserAdd(
                    fields.First, fields.Second, fields.Fourth, AuthUser.ReadNoPassword(fields.Third), index);

            case InternalField.AuthUserDelete:
                return store.UserDelete(fields.First);

            case InternalField.AuthUserGet:
                // Everybody may ask for himself.
                return CheckGet(subject, isOwn: request.Username.SequenceEqual(fields.First)) is var refusal and not StoreError.None
                    ? refusal
                    : AnswerNames(answer, store.UserGet(fields.First, out var roles), roles);

            case InternalField.AuthUserChangePassword:
                return store.UserChangePassword(fields.First, fields.Second, fields.Third, index);

            case InternalField.AuthUserGrantRole:
                return store.UserGrantRole(fields.First, fields.Second);

            case InternalField.AuthUserRevokeRole:
                return store.UserRevokeRole(fields.First, fields.Second);

            case InternalField.AuthUserList:
                return AnswerNames(answer, StoreError.None, store.UserList());

            case InternalField.AuthRoleList:
                return AnswerNames(answer, StoreError.None, store.RoleList());

            case InternalField.AuthRoleAdd:
                return store.RoleAdd(fields.First);

            case InternalField.AuthRoleDelete:
                return store.RoleDelete(fields.First);

            case InternalField.AuthRoleGet:
                refusal = CheckGet(subject, isOwn: subject.Holds(fields.First));
                if (refusal != StoreError.None)
                {
                    return refusal;
                }

                error = store.RoleGet(fields.First, out var permissions);
                foreach (var permission in permissions)
                {
                    permission.Write(answer, 2);
                }

                return error;

            case InternalField.AuthRoleGrantPermission:
                return store.RoleGrantPermission(
                    fields.First, fields.HasSecond ? Permission.TryParse(fields.Second) : null);

            default:
                return store.RoleRevokePermission(fields.First, fields.Second, fields.Third);
        }
    }

    private static StoreError CheckGet(in AuthSubject subject, bool isOwn) => isOwn ? StoreError.None : subject.CheckAdmin();

    private static StoreError AnswerNames(ProtoBuffer answer, StoreError error, IReadOnlyList<byte[]> names)
    {
        foreach (byte[] name in names)
        {
            answer.Message(2, name);
        }

        return error;
    }
}
