namespace Perf.Store.Auth;

/// <summary>
/// Whose checks are made where entries are applied. All members must decide alike, so among members of an older
/// release what counts is what those decide; the whole rule is then applied at the door, before proposing.
/// </summary>
public enum AuthRules
{
    /// <summary>3.5.33: every leaf, whatever its depth, with leases and previous values.</summary>
    Whole,

    /// <summary>
    /// 3.4.23: nested transactions are not looked into, nor leases and previous values of puts in a transaction;
    /// permissions on ranges that cannot be are stored.
    /// </summary>
    V34,
}
