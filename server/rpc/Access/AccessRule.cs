namespace Perf.Rpc.Access;

/// <summary>What an RPC asks of whoever calls it, while auth is on.</summary>
internal enum AccessRule
{
    /// <summary>Nothing.</summary>
    Open,

    /// <summary>A valid token of any user.</summary>
    User,

    /// <summary>The root role, asked for at the door.</summary>
    Root,

    /// <summary>The root role, refused with the bare text of etcd's auth store (those of its maintenance service up to 3.5).</summary>
    RootBare,

    /// <summary>The root role, asked for when the entry is applied: what counts is the state in the log's order.</summary>
    RootAtApply,

    /// <summary>Root or the user himself; at apply.</summary>
    SelfAtApply,

    /// <summary>Root or a holder of the role; at apply.</summary>
    HolderAtApply,

    /// <summary>Permissions on each key it touches, checked by the service or at apply on the bytes that are executed.</summary>
    Keys,

    /// <summary>A valid token of any user, and permissions on the keys that hang on the lease it is about.</summary>
    UserAndKeys,

    /// <summary>A user for reading alarms, root for setting them; the service looks at the action.</summary>
    AlarmAction,
}
