using System.Net;
using System.Text.Json;
using Etcdserverpb;
using Google.Protobuf;
using Perf.Client;
using Perf.Client.Concurrency;
using Perf.Grpc;
using Member = Etcdserverpb.Member;
using Metadata = Perf.Grpc.Metadata;

namespace Perf.Proxy.Grpc;

/// <summary>
/// The member list as clients of a proxy see it: the proxies that are registered under a prefix, or this one alone; and
/// this proxy's own registration, which lives as long as its lease.
/// </summary>
internal sealed class ClusterProxy(Upstream upstream, GrpcProxyOptions options, ProxyLog log) : IAsyncDisposable
{
    private readonly CancellationTokenSource _stop = new();
    private Task _registering = Task.CompletedTask;

    public void Map(GrpcRouter router) =>
        router.Map("/etcdserverpb.Cluster/MemberList", MethodKind.Unary, ListAsync);

    /// <summary>Begins to keep the registration.</summary>
    public void Start()
    {
        if (options.ResolverPrefix.Length > 0)
        {
            _registering = RegisterAsync();
        }
    }

    public async ValueTask DisposeAsync()
    {
        await _stop.CancelAsync().ConfigureAwait(false);
        await _registering.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        _stop.Dispose();
    }

    private async ValueTask ListAsync(ServerCall call)
    {
        await call.ReadMessageAsync().ConfigureAwait(false);
        Metadata headers = Upstream.Headers(call);
        if (options.AdvertiseClientUrl.Length == 0)
        {
            ReadOnlyMemory<byte> members = await upstream.CallAsync(
                call.Path, System.Buffers.BuffersExtensions.ToArray(call.Message), headers, call.Deadline, mayRepeat: true, call.Cancelled)
                .ConfigureAwait(false);
            call.WriteMessage(members.Span);
            return;
        }

        var answer = new MemberListResponse();
        if (options.ResolverPrefix.Length > 0)
        {
            answer.Members.AddRange(await RegisteredAsync(headers, call.Cancelled).ConfigureAwait(false));
        }

        if (answer.Members.Count == 0)
        {
            answer.Members.Add(new Member { Name = Dns.GetHostName(), ClientURLs = { options.AdvertiseClientUrl } });
        }

        call.WriteMessage(answer.ToByteArray());
    }

    private async Task<List<Member>> RegisteredAsync(Metadata headers, CancellationToken cancelled)
    {
        string start = options.ResolverPrefix + "/";
        RangeResponse found = await upstream.CallAsync<RangeResponse>(
            "/etcdserverpb.KV/Range",
            new RangeRequest
            {
                Key = ByteString.CopyFromUtf8(start),
                RangeEnd = ByteString.CopyFromUtf8(options.ResolverPrefix + "0"),
            },
            headers,
            null,
            mayRepeat: true,
            cancelled).ConfigureAwait(false);
        var members = new List<Member>();
        foreach (Mvccpb.KeyValue kv in found.Kvs)
        {
            try
            {
                using JsonDocument record = JsonDocument.Parse(kv.Value.Memory);
                string metadata = record.RootElement.GetProperty("Metadata").GetString() ?? "{}";
                using JsonDocument about = JsonDocument.Parse(metadata);
                members.Add(new Member
                {
                    Name = about.RootElement.GetProperty("name").GetString() ?? "",
                    ClientURLs = { record.RootElement.GetProperty("Addr").GetString() ?? "" },
                });
            }
            catch (Exception e) when (e is JsonException or KeyNotFoundException or InvalidOperationException)
            {
                log(true, "a record under the resolver prefix is no proxy's", ("key", kv.Key.ToStringUtf8()), ("error", e.Message));
            }
        }

        return members;
    }

    /// <summary>Puts the record with a lease and keeps that alive; when it is lost, begins again.</summary>
    private async Task RegisterAsync()
    {
        while (!_stop.IsCancellationRequested)
        {
            try
            {
                await using EtcdClient client = await EtcdClient.ConnectAsync(options.Cluster, _stop.Token).ConfigureAwait(false);
                string address = options.AdvertiseClientUrl;
                string metadata = JsonSerializer.Serialize(new { name = Dns.GetHostName() });
                string record = JsonSerializer.Serialize(new { Op = 0, Addr = address, Metadata = metadata });
                await using Session session = await Session.OpenAsync(client, options.ResolverTtlSeconds, _stop.Token)
                    .ConfigureAwait(false);
                await client.Kv.PutAsync(
                    $"{options.ResolverPrefix}/{address}",
                    record,
                    new PutOptions { Lease = session.Lease },
                    _stop.Token).ConfigureAwait(false);
                log(false, "registered session", ("prefix", options.ResolverPrefix), ("address", address));
                await Task.Delay(Timeout.Infinite, session.Lost).WaitAsync(_stop.Token)
                    .ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            }
            catch (Exception e) when (e is EtcdException or OperationCanceledException && !_stop.IsCancellationRequested)
            {
                log(true, "failed to register", ("prefix", options.ResolverPrefix), ("error", e.Message));
                await Task.Delay(TimeSpan.FromSeconds(1), _stop.Token).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            }
        }
    }
}
