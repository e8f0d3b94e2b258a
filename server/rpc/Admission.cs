using System.Diagnostics;
using System.Runtime.CompilerServices;
using Perf.Grpc;
using Perf.Node;
using Perf.Node.Consensus;
using Perf.Node.Security;
using Perf.Store;
using Perf.Store.Auth;

namespace Perf.Rpc;

/// <summary>What every call meets at the door: leader wanted, learner, who asks.</summary>
internal sealed class Admission(EtcdNode node)
{
    private const string TokenHeader = "token";
    private const string AuthorizationHeader = "authorization";
    private const string HasLeaderHeader = "hasleader";

    /// <summary>etcd's gateway sets it; its certificate is not the client's.</summary>
    private const string GatewayHeader = "grpcgateway-accept";

    /// <summary>Users are told apart.</summary>
    public bool IsOn => Auth.Enabled;

    /// <summary>Counts the changes of users, roles and permissions.</summary>
    public ulong AuthRevision => Auth.Revision;

    /// <summary>Kept at hand: every request looks into it, and the way through the node is five steps long.</summary>
    private AuthStore Auth { get; } = node.State.Machine.Auth;

    private long BelievedTicks { get; } = (long)(node.Tokens.BelievedFor.TotalSeconds * Stopwatch.Frequency);

    /// <summary>
    /// Refuses what may not come in. <paramref name="learnerServes"/>: a member without a vote answers this call too.
    /// </summary>
    public StoreError Admit(ServerCall call, bool learnerServes = false)
    {
        if (!learnerServes && node.IsLearner)
        {
            return StoreError.NotSupportedForLearner;
        }

        return node.Raft.Leader == 0 && WantsLeader(call) ? StoreError.NoLeader : StoreError.None;
    }

    /// <summary>Who asks was known a moment ago and still is; false says nothing.</summary>
    public bool IsKnown(ServerCall call) => Recall(call, Auth.View, call.StartedAt) is not null;

    /// <summary>
    /// Waits until a token is known here that another member has given out (SURFACE AUT-13), and refuses a bad one.
    /// </summary>
    public ValueTask<StoreError> KnowAsync(ServerCall call)
    {
        AuthView view = Auth.View;
        if (!TryToken(call, out string token))
        {
            return new(StoreError.None);
        }

        switch (Resolve(token, view.Revision, out AuthInfo info))
        {
            case TokenOutcome.Valid:
                Remember(call, info, view);
                return new(StoreError.None);
            case TokenOutcome.NotYetApplied:
                return KnowLaterAsync(token);
            default:
                return new(StoreError.InvalidAuthToken);
        }
    }

    /// <summary>The client asked to be refused rather than served by a member that knows no leader.</summary>
    public static bool WantsLeader(ServerCall call) => call.TryGetHeader(HasLeaderHeader, out string value) && value == "true";

    /// <summary>Who asks by a call that has just begun; nobody while auth is off.</summary>
    public StoreError Identify(ServerCall call, out RequestIdentity who)
    {
        who = default;
        if (!Auth.Enabled || Auth.View is not { Enabled: true } view)
        {
            return StoreError.None;
        }

        if (Recall(call, view, call.StartedAt) is { } known)
        {
            who = known.Identity;
            return StoreError.None;
        }

        return IdentifyAnew(call, view, out who);
    }

    /// <summary>The subject that permissions of reads on this member are checked against.</summary>
    public StoreError Subject(ServerCall call, out AuthSubject subject)
    {
        subject = default;
        if (!Auth.Enabled || Auth.View is not { Enabled: true } view)
        {
            return StoreError.None;
        }

        // One view from the token to the last permission: what another moment says does not mix in.
        // The call may be a stream of long ago.
        StoreError error = Resolve(call, view, Stopwatch.GetTimestamp(), out Caller? caller);
        if (caller is not null)
        {
            subject = caller.Subject;
        }

        return error;
    }

    /// <summary>
    /// May whoever asks read these keys? Not part of its callers' code: where auth is off they are to be small.
    /// </summary>
    [MethodImpl(MethodImplOptions.NoInlining)]
    public StoreError CheckRead(ServerCall call, ReadOnlySpan<byte> key, ReadOnlySpan<byte> rangeEnd)
    {
        if (Auth.View is not { Enabled: true } view)
        {
            return StoreError.None;
        }

        // The guard before this call has looked at the token's age.
        if (call.Memo is Caller known && ReferenceEquals(known.View, view))
        {
            return known.Subject.Check(PermissionKind.Read, key, rangeEnd);
        }

        StoreError error = Resolve(call, view, call.StartedAt, out Caller? caller);
        return error == StoreError.None ? caller!.Subject.Check(PermissionKind.Read, key, rangeEnd) : error;
    }

    /// <summary>Refuses everybody but root while auth is on.</summary>
    public StoreError RequireRoot(ServerCall call)
    {
        if (!Auth.Enabled)
        {
            return StoreError.None;
        }

        StoreError error = Subject(call, out AuthSubject subject);
        return error == StoreError.None ? subject.CheckAdmin() : error;
    }

    /// <summary>Refuses those without a name while auth is on.</summary>
    public StoreError RequireUser(ServerCall call)
    {
        if (!Auth.Enabled)
        {
            return StoreError.None;
        }

        StoreError error = Identify(call, out RequestIdentity who);
        return error == StoreError.None && who.User.IsEmpty ? StoreError.UserEmpty : error;
    }

    private static bool TryToken(ServerCall call, out string token)
    {
        if (!call.TryGetHeader(TokenHeader, out token) && !call.TryGetHeader(AuthorizationHeader, out token))
        {
            return false;
        }

        if (token.StartsWith("Bearer ", StringComparison.Ordinal))
        {
            token = token["Bearer ".Length..];
        }

        return true;
    }

    /// <summary>
    /// Who asks, as this moment's users know him; null with an error. A token that was good a moment ago is not looked up again.
    /// </summary>
    private StoreError Resolve(ServerCall call, AuthView view, long now, out Caller? caller)
    {
        caller = Recall(call, view, now);
        if (caller is not null)
        {
            return StoreError.None;
        }

        if (!TryToken(call, out string token))
        {
            caller = new Caller(ByCertificate(call, view), view, 0);
            return StoreError.None;
        }

        if (Resolve(token, view.Revision, out AuthInfo info) != TokenOutcome.Valid)
        {
            return StoreError.InvalidAuthToken;
        }

        caller = Remember(call, info, view);
        return StoreError.None;
    }

    private Caller Remember(ServerCall call, AuthInfo info, AuthView view)
    {
        var caller = new Caller(info, view, Stopwatch.GetTimestamp() + BelievedTicks);
        call.Memo = caller;
        return caller;
    }

    private StoreError IdentifyAnew(ServerCall call, AuthView view, out RequestIdentity who)
    {
        StoreError error = Resolve(call, view, call.StartedAt, out Caller? caller);
        who = caller is null ? default : caller.Identity;
        return error;
    }

    private static Caller? Recall(ServerCall call, AuthView view, long now) =>
        call.Memo is Caller known && ReferenceEquals(known.View, view) && now < known.Until ? known : null;

    /// <summary>The user whom the client's certificate names (SURFACE AUT-15); nobody when a gateway stands between.</summary>
    private AuthInfo ByCertificate(ServerCall call, AuthView view) =>
        node.ClientTls.NamesUsers && call.ClientCertificate is { } certificate && !call.TryGetHeader(GatewayHeader, out _)
            ? new AuthInfo(CertificateNames.CommonName(certificate), view.Revision)
            : default;

    private TokenOutcome Resolve(string token, ulong revision, out AuthInfo info) =>
        node.Tokens.Resolve(token, revision, node.Pipeline.AppliedIndex, out info, out _);

    private async ValueTask<StoreError> KnowLaterAsync(string token)
    {
        // Whoever holds the token was told of its entry, so it is committed: a linearizable read comes behind it.
        StoreError error = await node.LinearizableAsync().ConfigureAwait(false);
        if (error != StoreError.None)
        {
            return error;
        }

        return Resolve(token, Auth.Revision, out _) == TokenOutcome.Valid ? StoreError.None : StoreError.InvalidAuthToken;
    }

    /// <summary>
    /// Who asks: as entries name him, and as permissions are checked. Holds while users stay what they were, and when a token named
    /// him for a moment only, since tokens die of age.
    /// </summary>
    private sealed class Caller(AuthInfo info, AuthView view, long until)
    {
        public readonly AuthView View = view;
        public readonly long Until = until;
        public readonly AuthSubject Subject = view.Subject(info.Username is null ? null : info);
        public readonly RequestIdentity Identity =
            info.Username is { Length: > 0 } ? new RequestIdentity(view.NameBytes(info.Username), info.Revision) : default;
    }
}
