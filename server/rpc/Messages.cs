using Google.Protobuf;
using Perf.Grpc;

namespace Perf.Rpc;

/// <summary>Generated messages in and out of calls: the cold paths.</summary>
internal static class Messages
{
    /// <summary>The store's header as a message.</summary>
    public static Etcdserverpb.ResponseHeader Header(in Store.Commands.ResponseHeader header) => new()
    {
        ClusterId = header.ClusterId,
        MemberId = header.MemberId,
        Revision = header.Revision,
        RaftTerm = header.RaftTerm,
    };

    /// <summary>The call's request; one that is none ends the call as gRPC does it.</summary>
    public static T Parse<T>(MessageParser<T> parser, ServerCall call)
        where T : IMessage<T>
    {
        try
        {
            return parser.ParseFrom(call.Message);
        }
        catch (InvalidProtocolBufferException e)
        {
            (StatusCode code, string text) = StatusMapping.Of(Store.StoreError.Malformed);
            throw new RpcException(code, text, inner: e);
        }
    }

    /// <summary>Writes a message as one response.</summary>
    public static void Write(ServerCall call, IMessage message)
    {
        int bytes = message.CalculateSize();
        message.WriteTo(call.StartMessage(bytes));
    }
}
