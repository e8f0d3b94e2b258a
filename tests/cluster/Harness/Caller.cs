using Etcdserverpb;
using Google.Protobuf;
using Perf.Grpc;

namespace Perf.Cluster.Tests.Harness;

/// <summary>Calls as bytes on the wire, without a client's repeating.</summary>
internal sealed class Caller(string url, TimeSpan patience) : IAsyncDisposable
{
    private readonly GrpcChannel _channel = new(url);

    public Caller(EtcdProcess server)
        : this(server.Url, TimeSpan.FromSeconds(20))
    {
    }

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

    public Task<StatusResponse> StatusAsync() => CallAsync("Maintenance/Status", new StatusRequest(), StatusResponse.Parser);

    public Task<HashKVResponse> HashKvAsync(long revision = 0) =>
        CallAsync("Maintenance/HashKV", new HashKVRequest { Revision = revision }, HashKVResponse.Parser);

    public Task<MoveLeaderResponse> MoveLeaderAsync(ulong target) => CallAsync(
        "Maintenance/MoveLeader", new MoveLeaderRequest { TargetID = target }, MoveLeaderResponse.Parser);

    /// <summary>Members, as a majority knows them or as this server does.</summary>
    public Task<MemberListResponse> MembersAsync(bool isLinearizable = true) => CallAsync(
        "Cluster/MemberList", new MemberListRequest { Linearizable = isLinearizable }, MemberListResponse.Parser);

    public Task<MemberAddResponse> AddMemberAsync(string peerUrl, bool isLearner = false) => CallAsync(
        "Cluster/MemberAdd",
        new MemberAddRequest { PeerURLs = { peerUrl }, IsLearner = isLearner },
        MemberAddResponse.Parser);

    public Task<MemberRemoveResponse> RemoveMemberAsync(ulong id) => CallAsync(
        "Cluster/MemberRemove", new MemberRemoveRequest { ID = id }, MemberRemoveResponse.Parser);

    public Task<MemberPromoteResponse> PromoteMemberAsync(ulong id) => CallAsync(
        "Cluster/MemberPromote", new MemberPromoteRequest { ID = id }, MemberPromoteResponse.Parser);

    /// <summary>Any method with any bytes.</summary>
    public Task<ReadOnlyMemory<byte>> CallAsync(string path, byte[] request) =>
        _channel.UnaryAsync(path, request, CallOptions.Timeout(patience));

    /// <summary>Any unary method of etcdserverpb, e.g. "Auth/UserAdd", with a token or without.</summary>
    public Task<TResponse> CallAsync<TRequest, TResponse>(
        string method, TRequest request, MessageParser<TResponse> parser, string? token = null)
        where TRequest : IMessage<TRequest>
        where TResponse : IMessage<TResponse>
    {
        var described = new ClientMethod<TRequest, TResponse>(
            "/etcdserverpb." + method, m => m.ToByteArray(), bytes => parser.ParseFrom(bytes.Span));
        Grpc.Metadata? headers = token is null ? null : new Grpc.Metadata { { "token", token } };
        return _channel.UnaryAsync(described, request, CallOptions.Timeout(patience, headers));
    }

    public ValueTask DisposeAsync() => _channel.DisposeAsync();
}
