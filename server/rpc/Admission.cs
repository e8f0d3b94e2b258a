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

    /// <summary>Counts the changes of users, roles and permissions.</summary>
    public ulong AuthRevision => Auth.Revision;

    private AuthStore Auth => node.State.Machine.Auth;

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

    /// <summary>
    /// Waits until a token is known here that another member has given out (SURFACE AUT-13), and refuses a bad one.
    /// </summary>
    public ValueTask<StoreError> KnowAsync(ServerCall call) =>
        TryToken(call, out string token) ? KnowAsync(token) : new ValueTask<StoreError>(StoreError.None);

    /// <summary>The client asked to be refused rather than served by a member that knows no leader.</summary>
    public static bool WantsLeader(ServerCall call) => call.TryGetHeader(HasLeaderHeader, out string value) && value == "true";

    /// <summary>Who asks; nobody while auth is off.</summary>
    public StoreError Identify(ServerCall call, out RequestIdentity who)
    {
        who = default;
        if (!Auth.Enabled || Auth.View is not { Enabled: true } view)
        {
            return StoreError.None;
        }

        StoreError error = Resolve(call, view, out AuthInfo info);
        if (error == StoreError.None && info.Username is { Length: > 0 })
        {
            who = new RequestIdentity(view.NameBytes(info.Username), info.Revision);
        }

        return error;
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
        StoreError error = Resolve(call, view, out AuthInfo info);
        if (error == StoreError.None)
        {
            subject = view.Subject(info.Username is null ? null : info);
        }

        return error;
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

    private StoreError Resolve(ServerCall call, AuthView view, out AuthInfo info)
    {
        if (!TryToken(call, out string token))
        {
            info = ByCertificate(call, view);
            return StoreError.None;
        }

        return Resolve(token, view.Revision, out info) == TokenOutcome.Valid ? StoreError.None : StoreError.InvalidAuthToken;
    }

    /// <summary>The user whom the client's certificate names (SURFACE AUT-15); nobody when a gateway stands between.</summary>
    private AuthInfo ByCertificate(ServerCall call, AuthView view) =>
        node.ClientTls.NamesUsers && call.ClientCertificate is { } certificate && !call.TryGetHeader(GatewayHeader, out _)
            ? new AuthInfo(CertificateNames.CommonName(certificate), view.Revision)
            : default;

    private TokenOutcome Resolve(string token, ulong revision, out AuthInfo info) =>
        node.Tokens.Resolve(token, revision, node.Pipeline.AppliedIndex, out info, out _);

    private ValueTask<StoreError> KnowAsync(string token) => Resolve(token, Auth.Revision, out _) switch
    {
        TokenOutcome.Valid => new(StoreError.None),
        TokenOutcome.NotYetApplied => KnowLaterAsync(token),
        _ => new(StoreError.InvalidAuthToken),
    };

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
}
