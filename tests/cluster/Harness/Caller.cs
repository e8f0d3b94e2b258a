using Etcdserverpb;
using Google.Protobuf;
using Perf.Grpc;

namespace Perf.Cluster.Tests.Harness;

/// <summary>Calls as bytes on the wire, without a client's repeating.</summary>
internal sealed class Caller(EtcdProcess server) : IAsyncDisposable
{
    private static readonly TimeSpan _patience = TimeSpan.FromSeconds(20);

    private readonly GrpcChannel _channel = new(server.Url);

    public Task<PutResponse> PutAsync(PutRequest request) => CallAsync("KV/Put", request, PutResponse.Parser);

    public Task<PutResponse> PutAsync(string key, string value) => PutAsync(
        new PutRequest { Key = ByteString.CopyFromUtf8(key), Value = ByteString.CopyFromUtf8(value) });

    public Task<RangeResponse> RangeAsync(RangeRequest request) => CallAsync("KV/Range", request, RangeResponse.Parser);

    /// <summary>Every key there is.</summary>
    public Task<RangeResponse> EverythingAsync() => RangeAsync(
        new RangeRequest { Key = ByteString.CopyFrom(0), RangeEnd = ByteString.CopyFrom(0) });

    public Task<DeleteRangeResponse> DeleteAsync(DeleteRangeRequest request) =>
        CallAsync("KV/DeleteRange", request, DeleteRangeResponse.Parser);

    public Task<TxnResponse> TxnAsync(TxnRequest request) => CallAsync("KV/Txn", request, TxnResponse.Parser);

    public Task<CompactionResponse> CompactAsync(CompactionRequest request) =>
        CallAsync("KV/Compact", request, CompactionResponse.Parser);

    public Task<LeaseGrantResponse> GrantAsync(LeaseGrantRequest request) =>
        CallAsync("Lease/LeaseGrant", request, LeaseGrantResponse.Parser);

    public Task<LeaseRevokeResponse> RevokeAsync(LeaseRevokeRequest request) =>
        CallAsync("Lease/LeaseRevoke", request, LeaseRevokeResponse.Parser);

    public Task<LeaseLeasesResponse> LeasesAsync() =>
        CallAsync("Lease/LeaseLeases", new LeaseLeasesRequest(), LeaseLeasesResponse.Parser);

    public Task<AlarmResponse> AlarmAsync(AlarmRequest request) =>
        CallAsync("Maintenance/Alarm", request, AlarmResponse.Parser);

    /// <summary>Any method with any bytes.</summary>
    public Task<ReadOnlyMemory<byte>> CallAsync(string path, byte[] request) =>
        _channel.UnaryAsync(path, request, CallOptions.Timeout(_patience));

    public ValueTask DisposeAsync() => _channel.DisposeAsync();

    private Task<TResponse> CallAsync<TRequest, TResponse>(
        string method, TRequest request, MessageParser<TResponse> parser)
        where TRequest : IMessage<TRequest>
        where TResponse : IMessage<TResponse>
    {
        var described = new ClientMethod<TRequest, TResponse>(
            "/etcdserverpb." + method, m => m.ToByteArray(), bytes => parser.ParseFrom(bytes.Span));
        return _channel.UnaryAsync(described, request, CallOptions.Timeout(_patience));
    }
}
