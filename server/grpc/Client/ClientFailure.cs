using System.Net.Sockets;
using System.Security.Authentication;

namespace Perf.Grpc;

/// <summary>What went wrong below gRPC, in the codes and words of grpc-go: clients of etcd look at both.</summary>
internal static class ClientFailure
{
    public static RpcException Translate(Exception e, GrpcChannel channel, bool deadlinePassed)
    {
        if (Find<RpcException>(e) is { } rpc)
        {
            return rpc;
        }

        if (Find<OperationCanceledException>(e) is not null && Find<TimeoutException>(e) is not null && !deadlinePassed)
        {
            return Dialing("i/o timeout");
        }

        if (e is OperationCanceledException || deadlinePassed)
        {
            return deadlinePassed
                ? new RpcException(StatusCode.DeadlineExceeded, "context deadline exceeded", inner: e)
                : new RpcException(StatusCode.Cancelled, "context canceled", inner: e);
        }

        if (Find<HttpProtocolException>(e) is { } protocol)
        {
            // The other side sent nothing at all: the handler's own verdict, told apart by its words alone.
            if (protocol.Message.Contains("ping request", StringComparison.Ordinal))
            {
                return Unavailable("keepalive ping failed to receive ACK within timeout");
            }

            return new RpcException(
                CodeOf(protocol.ErrorCode),
                $"stream terminated by RST_STREAM with error code: {NameOf(protocol.ErrorCode)}",
                inner: e);
        }

        if (Find<AuthenticationException>(e) is { } tls)
        {
            string reason = tls.InnerException?.Message ?? tls.Message;
            return Unavailable($"connection error: desc = \"transport: authentication handshake failed: {reason}\"");
        }

        if (e is HttpRequestException { HttpRequestError: HttpRequestError.SecureConnectionError })
        {
            return Unavailable($"connection error: desc = \"transport: authentication handshake failed: {Innermost(e).Message}\"");
        }

        if (e is HttpRequestException { HttpRequestError: HttpRequestError.ConnectionError or HttpRequestError.NameResolutionError })
        {
            return Dialing(Find<SocketException>(e) is { } socket ? Words(socket) : Innermost(e).Message);
        }

        if (Find<SocketException>(e) is { } broken)
        {
            return Unavailable($"error reading from server: read {Network()}: {Words(broken)}");
        }

        return e is IOException or HttpRequestException
            ? Unavailable("error reading from server: EOF")
            : new RpcException(StatusCode.Internal, e.Message, inner: e);

        string Network() => (channel.IsUnix ? "unix " : "tcp ") + channel.Target;

        RpcException Unavailable(string text) => new(StatusCode.Unavailable, text, inner: e);

        RpcException Dialing(string reason) =>
            Unavailable($"connection error: desc = \"transport: Error while dialing: dial {Network()}: {reason}\"");
    }

    private static string Words(SocketException e) => e.SocketErrorCode switch
    {
        SocketError.ConnectionRefused => "connect: connection refused",
        SocketError.ConnectionReset => "connection reset by peer",
        SocketError.TimedOut => "i/o timeout",
        SocketError.HostNotFound or SocketError.NoData => "no such host",
        SocketError.NetworkUnreachable => "connect: network is unreachable",
        SocketError.HostUnreachable => "connect: no route to host",
        SocketError.AddressNotAvailable => "connect: no such file or directory",
        _ => e.Message,
    };

    // HTTP/2 error codes (RFC 9113, 7), and gRPC's mapping of them.
    private static StatusCode CodeOf(long error) => error switch
    {
        0x7 => StatusCode.Unavailable,
        0x8 => StatusCode.Cancelled,
        0xb => StatusCode.ResourceExhausted,
        0xc => StatusCode.PermissionDenied,
        _ => StatusCode.Internal,
    };

    private static string NameOf(long error) => error switch
    {
        0x0 => "NO_ERROR",
        0x1 => "PROTOCOL_ERROR",
        0x2 => "INTERNAL_ERROR",
        0x3 => "FLOW_CONTROL_ERROR",
        0x4 => "SETTINGS_TIMEOUT",
        0x5 => "STREAM_CLOSED",
        0x6 => "FRAME_SIZE_ERROR",
        0x7 => "REFUSED_STREAM",
        0x8 => "CANCEL",
        0x9 => "COMPRESSION_ERROR",
        0xa => "CONNECT_ERROR",
        0xb => "ENHANCE_YOUR_CALM",
        0xc => "INADEQUATE_SECURITY",
        0xd => "HTTP_1_1_REQUIRED",
        _ => $"unknown error code {error}",
    };

    private static T? Find<T>(Exception e)
        where T : Exception
    {
        for (Exception? at = e; at is not null; at = at.InnerException)
        {
            if (at is T found)
            {
                return found;
            }
        }

        return null;
    }

    private static Exception Innermost(Exception e)
    {
        while (e.InnerException is { } inner)
        {
            e = inner;
        }

        return e;
    }
}
