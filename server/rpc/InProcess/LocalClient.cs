using System.Security.Cryptography.X509Certificates;
using Google.Protobuf;
using Perf.Grpc;

namespace Perf.Rpc.InProcess;

/// <summary>Calls this member's own services in the name of a caller: its token or certificate, its permissions.</summary>
internal sealed class LocalClient
{
    private GrpcRouter? _router;

    /// <summary>Where the services are; set once, before the first call.</summary>
    public GrpcRouter Router
    {
        private get => _router!;
        set => _router = value;
    }

    /// <summary>
    /// One request, one answer. Throws <see cref="RpcException"/>: as in etcd, whose recipes run over its client, only
    /// the text tells what a call came to; the code is Unknown but for cancellation.
    /// </summary>
    public Task<T> CallAsync<T>(string path, IMessage request, ServerCall caller, CancellationToken cancelled)
        where T : IMessage<T>, new() => CallAsync<T>(
            path, request, Headers(caller), caller.ClientCertificate, cancelled);

    /// <summary>The same in nobody's name.</summary>
    public Task<T> CallAsync<T>(string path, IMessage request, CancellationToken cancelled)
        where T : IMessage<T>, new() => CallAsync<T>(path, request, _ => null, null, cancelled);

    /// <summary>Watches until the answer is disposed.</summary>
    public LocalWatch Watch(Etcdserverpb.WatchCreateRequest request, ServerCall caller) =>
        LocalWatch.Start(Method("/etcdserverpb.Watch/Watch"), request, Headers(caller), caller.Cancelled, caller.ClientCertificate);

    /// <summary>The same in nobody's name.</summary>
    public LocalWatch Watch(Etcdserverpb.WatchCreateRequest request, CancellationToken cancelled) =>
        LocalWatch.Start(Method("/etcdserverpb.Watch/Watch"), request, _ => null, cancelled, null);

    private async Task<T> CallAsync<T>(
        string path,
        IMessage request,
        Func<string, string?> header,
        X509Certificate2? certificate,
        CancellationToken cancelled)
        where T : IMessage<T>, new()
    {
        var call = new InProcessCall(Method(path), header, cancelled, certificate);
        await call.RunAsync(request.ToByteArray()).ConfigureAwait(false);
        if (call.Status != StatusCode.OK)
        {
            StatusCode code = call.Status is StatusCode.Cancelled or StatusCode.DeadlineExceeded
                ? call.Status
                : StatusCode.Unknown;
            throw new RpcException(code, call.StatusMessage);
        }

        var answer = new T();
        answer.MergeFrom(call.Written.WrittenSpan);
        return answer;
    }

    private GrpcMethod Method(string path) =>
        Router.TryFind(path, out GrpcMethod? method) ? method : throw new InvalidOperationException(path);

    private static Func<string, string?> Headers(ServerCall caller)
    {
        // Taken now: a call belongs to its handler, and what we start may end after it.
        string? token = caller.TryGetHeader("token", out string text) || caller.TryGetHeader("authorization", out text)
            ? text
            : null;
        return name => name == "token" ? token : null;
    }
}
