using Perf.Grpc;
using Perf.Node;
using Perf.Rpc.Http.Metrics;
using Perf.Rpc.Tracing;
using Perf.Store;
using Perf.Store.Auth;

namespace Perf.Rpc.Access;

/// <summary>
/// Stands before every handler. While auth is off that is one look at a field; while it is on, the token is known
/// here (waited for if its entry is not applied yet) and the row of <see cref="AccessTable"/> is enforced.
/// </summary>
internal sealed class AccessGuard(EtcdNode node, Admission admission, ClientVersions clients, CallTracing? tracing)
{
    private const string BarePrefix = "auth: ";

    private readonly AuthStore _auth = node.State.Machine.Auth;

    /// <summary>The same methods, each behind its row. A method without a row is a mistake that must not serve.</summary>
    public GrpcRouter Around(GrpcRouter services)
    {
        var guarded = new GrpcRouter();
        foreach (GrpcMethod method in services.Methods)
        {
            if (!AccessTable.TryFind(method.Path, out AccessRule rule))
            {
                throw new InvalidOperationException($"{method.Path} has no row in the access table");
            }

            guarded.Map(method.Path, method.Kind, Around(method, rule), method.ReceiveBytesMax);
        }

        return guarded;
    }

    private GrpcHandler Around(GrpcMethod method, AccessRule rule)
    {
        GrpcHandler handler = tracing?.Around(method, method.Handler) ?? method.Handler;
        MethodKind kind = method.Kind;
        return call =>
        {
            clients.Count(kind, call);

            // One call of the handler for both, with auth and without: so both have what the runtime makes of it.
            return rule == AccessRule.Open || !_auth.Enabled || (rule == AccessRule.Keys && admission.IsKnown(call))
                ? handler(call)
                : Checked(call, handler, rule);
        };
    }

    private ValueTask Checked(ServerCall call, GrpcHandler handler, AccessRule rule)
    {
        if (admission.IsKnown(call))
        {
            return Enter(call, handler, rule, StoreError.None);
        }

        ValueTask<StoreError> known = admission.KnowAsync(call);
        return known.IsCompletedSuccessfully
            ? Enter(call, handler, rule, known.Result)
            : EnterWhenKnownAsync(call, handler, rule, known);
    }

    /// <summary>The token's entry is not applied here yet: rare, right after it was given out by another member.</summary>
    private async ValueTask EnterWhenKnownAsync(
        ServerCall call, GrpcHandler handler, AccessRule rule, ValueTask<StoreError> known) =>
        await Enter(call, handler, rule, await known.ConfigureAwait(false)).ConfigureAwait(false);

    private ValueTask Enter(ServerCall call, GrpcHandler handler, AccessRule rule, StoreError error)
    {
        if (error == StoreError.None)
        {
            error = rule switch
            {
                AccessRule.User or AccessRule.UserAndKeys => admission.RequireUser(call),
                AccessRule.Root or AccessRule.RootBare => admission.RequireRoot(call),
                _ => StoreError.None,
            };
        }

        if (error == StoreError.None)
        {
            return handler(call);
        }

        bool bare = rule == AccessRule.RootBare
            && node.Config.SpeakAs < Store.Membership.SpeakAs.V36
            && error is StoreError.PermissionDenied or StoreError.UserEmpty or StoreError.UserNotFound;
        StatusMapping.Fail(call, error, bare ? BarePrefix + BareText(error) : null);
        return default;
    }

    private static string BareText(StoreError error) => error switch
    {
        StoreError.PermissionDenied => "permission denied",
        StoreError.UserEmpty => "user name is empty",
        _ => "user not found",
    };
}
