using System.Globalization;
using System.Text;

namespace Perf.Store.V2;

/// <summary>Why a v2 operation was refused; the numbers are part of the v2 API.</summary>
public enum V2ErrorCode
{
    KeyNotFound = 100,
    TestFailed = 101,
    NotFile = 102,
    NotDir = 104,
    NodeExist = 105,
    RootReadOnly = 107,
    DirNotEmpty = 108,
    Unauthorized = 110,
    PrevValueRequired = 201,
    TtlNaN = 202,
    IndexNaN = 203,
    InvalidField = 209,
    InvalidForm = 210,
    RefreshValue = 211,
    RefreshTtlRequired = 212,
    RaftInternal = 300,
    LeaderElect = 301,
    WatcherCleared = 400,
    EventIndexCleared = 401,
}

/// <summary>A refused v2 operation: the code, what it was about, and the store's index at that moment.</summary>
public sealed record V2Error(V2ErrorCode Code, string Cause, ulong Index)
{
    /// <summary>The fixed text that belongs to <see cref="Code"/>.</summary>
    public string Message => Code switch
    {
        V2ErrorCode.KeyNotFound => "Key not found",
        V2ErrorCode.TestFailed => "Compare failed",
        V2ErrorCode.NotFile => "Not a file",
        V2ErrorCode.NotDir => "Not a directory",
        V2ErrorCode.NodeExist => "Key already exists",
        V2ErrorCode.RootReadOnly => "Root is read only",
        V2ErrorCode.DirNotEmpty => "Directory not empty",
        V2ErrorCode.Unauthorized => "The request requires user authentication",
        V2ErrorCode.PrevValueRequired => "PrevValue is Required in POST form",
        V2ErrorCode.TtlNaN => "The given TTL in POST form is not a number",
        V2ErrorCode.IndexNaN => "The given index in POST form is not a number",
        V2ErrorCode.InvalidField => "Invalid field",
        V2ErrorCode.InvalidForm => "Invalid POST form",
        V2ErrorCode.RefreshValue => "Value provided on refresh",
        V2ErrorCode.RefreshTtlRequired => "A TTL must be provided on refresh",
        V2ErrorCode.RaftInternal => "Raft Internal Error",
        V2ErrorCode.LeaderElect => "During Leader Election",
        V2ErrorCode.WatcherCleared => "watcher is cleared due to etcd recovery",
        V2ErrorCode.EventIndexCleared => "The event in requested index is outdated and cleared",
        _ => "",
    };

    /// <summary>The HTTP status the v2 API answers with.</summary>
    public int HttpStatus => Code switch
    {
        V2ErrorCode.KeyNotFound => 404,
        V2ErrorCode.NotFile or V2ErrorCode.DirNotEmpty => 403,
        V2ErrorCode.Unauthorized => 401,
        V2ErrorCode.TestFailed or V2ErrorCode.NodeExist => 412,
        V2ErrorCode.RaftInternal or V2ErrorCode.LeaderElect => 500,
        _ => 400,
    };

    /// <summary>The body of the answer, without the line feed that follows it.</summary>
    public string ToJson()
    {
        var text = new StringBuilder();
        text.Append("{\"errorCode\":").Append(((int)Code).ToString(CultureInfo.InvariantCulture));
        text.Append(",\"message\":");
        GoJson.AppendString(text, Message);
        if (Cause.Length > 0)
        {
            text.Append(",\"cause\":");
            GoJson.AppendString(text, Cause);
        }

        text.Append(",\"index\":").Append(Index.ToString(CultureInfo.InvariantCulture));
        return text.Append('}').ToString();
    }
}
