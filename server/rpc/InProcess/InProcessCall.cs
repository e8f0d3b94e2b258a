using System.Buffers;
using System.Diagnostics;
using System.Net;
using System.Security.Cryptography.X509Certificates;
using Perf.Grpc;

namespace Perf.Rpc.InProcess;

/// <summary>
/// A call that comes from this process: the gateway's and the lock services'. It runs the very handlers that gRPC
/// runs, through the same guard, so there is one way of deciding who may do what.
/// </summary>
internal class InProcessCall : ServerCall
{
    private readonly GrpcMethod _method;
    private readonly Func<string, string?> _header;
    private ReadOnlySequence<byte> _message;
    private bool _messageWaits;

    /// <summary>
    /// <paramref name="header"/> gives metadata by lower-case name, null where there is none;
    /// <paramref name="certificate"/> is that of the client in whose name the call is made.
    /// </summary>
    public InProcessCall(
        GrpcMethod method, Func<string, string?> header, CancellationToken cancelled, X509Certificate2? certificate = null)
    {
        _method = method;
        _header = header;
        Cancelled = cancelled;
        ClientCertificate = certificate;
    }

    /// <summary>How the call ended, once <see cref="RunAsync"/> has.</summary>
    public StatusCode Status { get; private set; }

    /// <summary>The text to it.</summary>
    public string StatusMessage { get; private set; } = "";

    /// <summary>Everything written and not yet taken; messages one behind the other.</summary>
    public ArrayBufferWriter<byte> Written { get; } = new();

    /// <summary>Lengths of the messages in <see cref="Written"/>.</summary>
    protected List<int> MessageBytes { get; } = [];

    public override string Path => _method.Path;

    public override string Authority => "";

    public override DateTime? Deadline => null;

    public override CancellationToken Cancelled { get; }

    public override bool IsCancelled => Cancelled.IsCancellationRequested;

    public override EndPoint? Remote => null;

    public override EndPoint? Local => null;

    public override bool IsTls => false;

    public override long StartedAt { get; } = Stopwatch.GetTimestamp();

    /// <summary>None from the gateway: a certificate of its client says nothing here (SURFACE GW-10).</summary>
    public override X509Certificate2? ClientCertificate { get; }

    public override ReadOnlySequence<byte> Message => _message;

    /// <summary>Serves the call to its end; never throws for what the handler does.</summary>
    public async Task RunAsync(ReadOnlyMemory<byte>? first)
    {
        _method.CountStart();
        if (first is { } message)
        {
            SetMessage(message);
            _messageWaits = true;
        }

        try
        {
            await _method.Handler(this).ConfigureAwait(false);
        }
        catch (RpcException e)
        {
            Fail(e.Code, e.Message);
        }
        catch (OperationCanceledException)
        {
            Fail(StatusCode.Cancelled, "context canceled");
        }
        catch (Google.Protobuf.InvalidProtocolBufferException)
        {
            Fail(StatusCode.Internal, "grpc: failed to unmarshal the received message");
        }
        catch (Exception e) when (e is not OutOfMemoryException)
        {
            Fail(StatusCode.Unknown, e.Message);
        }

        _method.CountEnd(Status);
    }

    public override bool TryGetHeader(string name, out string value)
    {
        value = _header(name) ?? "";
        return value.Length > 0;
    }

    public override Metadata GetHeaders() => new();

    public override ValueTask<bool> ReadMessageAsync()
    {
        if (_messageWaits)
        {
            _messageWaits = false;
            return new ValueTask<bool>(true);
        }

        return NextAsync();
    }

    public override IBufferWriter<byte> StartMessage(int payloadBytes)
    {
        MessageBytes.Add(payloadBytes);
        _method.CountSent(1, payloadBytes);
        return Written;
    }

    public override void WriteMessage(ReadOnlySpan<byte> payload) => StartMessage(payload.Length).Write(payload);

    public override void TakeBack()
    {
        Written.ResetWrittenCount();
        MessageBytes.Clear();
    }

    public override ValueTask FlushAsync() => default;

    public override ValueTask SendHeadersAsync() => default;

    public override void AddHeader(string name, string value)
    {
    }

    public override void AddTrailer(string name, string value)
    {
    }

    public override void Fail(StatusCode code, string message)
    {
        Status = code;
        StatusMessage = message;
    }

    /// <summary>The next request message of a stream; a call with one request has no next.</summary>
    protected virtual ValueTask<bool> NextAsync() => new(false);

    /// <summary>Puts a request message in place.</summary>
    protected void SetMessage(ReadOnlyMemory<byte> message)
    {
        _message = new ReadOnlySequence<byte>(message);
        _method.CountReceived(1, message.Length);
    }
}
