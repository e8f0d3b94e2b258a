using Google.Protobuf;
using Perf.Grpc;

namespace Perf.Proxy.Grpc;

/// <summary>Clients' messages as objects.</summary>
internal static class Messages
{
    /// <summary>The call's current message; what is none is refused as a member refuses it.</summary>
    public static T Read<T>(this MessageParser<T> parser, ServerCall call)
        where T : IMessage<T>
    {
        try
        {
            return parser.ParseFrom(call.Message);
        }
        catch (InvalidProtocolBufferException)
        {
            throw new RpcException(StatusCode.Internal, "grpc: failed to unmarshal the received message");
        }
    }
}
