namespace Perf.Grpc;

/// <summary>
/// A call that did not end well. The client side throws it with what the server said; a server handler may throw it
/// instead of calling <see cref="ServerCall.Fail"/>, at the price of an exception.
/// </summary>
public sealed class RpcException : Exception
{
    public RpcException(StatusCode code, string message, Metadata? trailers = null, Exception? inner = null)
        : base(message, inner)
    {
        Code = code;
        Trailers = trailers ?? Metadata.Empty;
    }

    public StatusCode Code { get; }

    /// <summary>The trailing metadata that came with the status; empty when none did.</summary>
    public Metadata Trailers { get; }

    /// <summary>The form Go programs print: <c>rpc error: code = NotFound desc = ...</c>.</summary>
    public override string ToString() =>
        $"rpc error: code = {(Code == StatusCode.Cancelled ? "Canceled" : Code.ToString())} desc = {Message}";
}
