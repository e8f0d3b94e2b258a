namespace Perf.Store.Auth;

/// <summary>What became of a token.</summary>
public enum TokenOutcome
{
    Valid,
    Invalid,

    /// <summary>The token names an entry this member has not applied yet: wait for it, then ask again.</summary>
    NotYetApplied,
}

/// <summary>
/// Makes and recognises tokens. <see cref="Assign"/>, <see cref="Enable"/>, <see cref="Disable"/> and
/// <see cref="InvalidateUser"/> come from the apply thread, the others from any.
/// </summary>
public interface ITokenProvider
{
    /// <summary>True when every member must be told of a token, so that any of them knows it.</summary>
    bool IsReplicated { get; }

    /// <summary>
    /// For how long <see cref="TokenOutcome.Valid"/> may be believed without asking again, as long as users, roles and
    /// permissions stay what they are. Zero: it may not.
    /// </summary>
    TimeSpan BelievedFor => TimeSpan.Zero;

    /// <summary>Auth has been switched on.</summary>
    void Enable();

    /// <summary>Auth has been switched off: all tokens die that this provider can kill.</summary>
    void Disable();

    /// <summary>The user is gone or has another password: its tokens die.</summary>
    void InvalidateUser(string username);

    /// <summary>What the member that proposes an authentication puts into the entry; empty for self-contained tokens.</summary>
    string NewPrefix();

    /// <summary>The token for an authentication applied at <paramref name="index"/>; null when this provider only verifies.</summary>
    string? Assign(string username, ulong authRevision, string prefix, ulong index);

    /// <summary>
    /// Whose token it is. <paramref name="authRevision"/> is the store's present one, <paramref name="awaitIndex"/>
    /// the entry to wait for when the outcome says so.
    /// </summary>
    TokenOutcome Resolve(string token, ulong authRevision, ulong appliedIndex, out AuthInfo info, out ulong awaitIndex);
}
