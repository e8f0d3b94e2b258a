using System.Buffers;
using System.Net;
using System.Runtime.CompilerServices;
using System.Security.Cryptography.X509Certificates;

namespace Perf.Grpc;

/// <summary>
/// One call as its handler sees it. Belongs to one handler, is not thread-safe unless a member says so, and is used again
/// for another call once the handler's task has ended: keep nothing of it.
/// </summary>
public abstract class ServerCall
{
    /// <summary>"/package.Service/Method".</summary>
    public abstract string Path { get; }

    /// <summary>The host the client asked for; empty if it named none.</summary>
    public abstract string Authority { get; }

    /// <summary>
    /// The deadline of the client, if it set one (UTC). When it passes, <see cref="Cancelled"/> fires; a handler that ends with an
    /// <see cref="OperationCanceledException"/> is then answered DeadlineExceeded.
    /// </summary>
    public abstract DateTime? Deadline { get; }

    /// <summary>Fires when the client resets the stream, the connection is lost, or the deadline passes. The first use allocates.</summary>
    public abstract CancellationToken Cancelled { get; }

    /// <summary>True once <see cref="Cancelled"/> has fired or would have. Cheap, any thread, but only while the handler runs.</summary>
    public abstract bool IsCancelled { get; }

    /// <summary>
    /// No other call came in with this one: to make this one quick is better than to wait for company. True where nobody knows.
    /// </summary>
    public virtual bool IsAlone => true;

    /// <summary>The client's address as the socket knows it.</summary>
    public abstract EndPoint? Remote { get; }

    /// <summary>The address on which the connection was accepted.</summary>
    public abstract EndPoint? Local { get; }

    /// <summary>True when the connection is under TLS.</summary>
    public abstract bool IsTls { get; }

    /// <summary>The client's verified certificate, or null. Valid while the connection is.</summary>
    public abstract X509Certificate2? ClientCertificate { get; }

    /// <summary>When the call came in (<see cref="System.Diagnostics.Stopwatch.GetTimestamp"/>).</summary>
    public abstract long StartedAt { get; }

    /// <summary>
    /// The metadata value of that name (lower case), in its wire form. A repeated name gives its values joined with commas.
    /// </summary>
    public abstract bool TryGetHeader(string name, out string value);

    /// <summary>Bytes of a metadata value whose name ends in "-bin". False when absent or not base64.</summary>
    public bool TryGetBinaryHeader(string name, out byte[] value)
    {
        value = [];
        return TryGetHeader(name, out string text) && WireText.TryDecodeBinary(text, out value);
    }

    /// <summary>All metadata the client sent, without gRPC's own and HTTP's headers. Allocates.</summary>
    public abstract Metadata GetHeaders();

    /// <summary>
    /// Free for the server. It stays with the headers: a later call of the same connection with the very same headers may see it again,
    /// and calls at the same time share it. So it may hold what follows from headers and connection alone, never changes, and whoever
    /// reads it asks whether it still holds.
    /// </summary>
    public virtual object? Memo { get; set; }

    /// <summary>What calls with these headers are counted in; free for the server, and kept as <see cref="Memo"/> is.</summary>
    public virtual StrongBox<long>? Tally { get; set; }

    /// <summary>
    /// Brings the next request message into <see cref="Message"/>; false when the client has finished sending. For calls with a
    /// single request the message is there before the handler starts, and the first ReadMessageAsync returns true at once.
    /// Throws <see cref="RpcException"/> for frames that break the rules and <see cref="OperationCanceledException"/> when the
    /// call is cancelled; let both pass.
    /// </summary>
    public abstract ValueTask<bool> ReadMessageAsync();

    /// <summary>The current request message. Valid until the next <see cref="ReadMessageAsync"/> or the end of the handler.</summary>
    public abstract ReadOnlySequence<byte> Message { get; }

    /// <summary>
    /// Begins a response message of exactly <paramref name="payloadBytes"/> bytes, which the caller writes to the answer before
    /// anything else. May be called by one thread at a time, not necessarily the handler's own. The bytes leave with the next
    /// <see cref="FlushAsync"/> or with the end of the call.
    /// </summary>
    public abstract IBufferWriter<byte> StartMessage(int payloadBytes);

    /// <summary>A whole response message at once.</summary>
    public abstract void WriteMessage(ReadOnlySpan<byte> payload);

    /// <summary>Takes back every message written since the last flush.</summary>
    public abstract void TakeBack();

    /// <summary>
    /// Sends what was written. Completes when the client may be sent more: a slow reader makes it wait. Not to be called again, nor
    /// anything written, before it has completed. Throws <see cref="OperationCanceledException"/> when the client is gone.
    /// </summary>
    public abstract ValueTask FlushAsync();

    /// <summary>Sends the response headers now, without a message. They leave by themselves with the first message.</summary>
    public abstract ValueTask SendHeadersAsync();

    /// <summary>Adds to the response headers; only before the first flush.</summary>
    public abstract void AddHeader(string name, string value);

    /// <summary>Adds to the trailers; until the handler ends.</summary>
    public abstract void AddTrailer(string name, string value);

    /// <summary>
    /// Decides the status the call ends with; the handler returns afterwards. Messages already written are sent before it.
    /// Without it the status is OK.
    /// </summary>
    public abstract void Fail(StatusCode code, string message);
}

/// <summary>
/// Serves one call. Returning is answering: OK, or what <see cref="ServerCall.Fail"/> said. An <see cref="RpcException"/> is
/// answered as it says, a cancelled call as Cancelled or DeadlineExceeded, any other exception as Unknown with its message.
/// </summary>
public delegate ValueTask GrpcHandler(ServerCall call);

/// <summary>What a client may send to a method. It decides only who reads the request.</summary>
public enum MethodKind
{
    /// <summary>One request message, one response message.</summary>
    Unary,

    /// <summary>One request message, any number of response messages.</summary>
    ServerStream,

    /// <summary>Any number of request messages, one response message.</summary>
    ClientStream,

    /// <summary>Any number of both.</summary>
    Duplex,
}
