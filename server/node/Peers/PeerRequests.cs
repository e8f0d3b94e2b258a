using System.Buffers;
using System.Globalization;
using System.IO.Pipelines;
using System.Text;
using System.Text.Json;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Http.Features;
using Perf.Raft;
using Perf.Store;
using Perf.Store.Commands;
using Perf.Store.Lease;
using Perf.Store.Membership;
using Perf.Store.Mvcc;

namespace Perf.Node.Peers;

/// <summary>What each path of the peer port answers, with etcd's status codes and texts (FORMATS A.13, SURFACE 3).</summary>
internal sealed class PeerRequests(EtcdNode node, PeerTransport transport)
{
    private const string AppPath = "/raft/stream/msgapp/";
    private const string MessagePath = "/raft/stream/message/";
    private const string PromotePath = "/members/promote/";
    private const string ProtobufType = "application/protobuf";
    private const int SmallBodyBytesMax = 64 << 10;

    /// <summary>Posts of messages served at once: each may hold a frame's worth of memory.</summary>
    private readonly SemaphoreSlim _posts = new(16);

    /// <summary>Snapshots taken in at once; raft opens one at a time.</summary>
    private readonly SemaphoreSlim _snapshots = new(1);

    private readonly Refusals _refusals = new(transport.Log, node.Clock);

    private static readonly TimeSpan AppliedTimeout = TimeSpan.FromSeconds(1);

    private PeerIdentity Identity => transport.Identity;

    private MembershipView Members => node.State.Machine.Members.Current;

    public async Task ServeAsync(HttpContext context)
    {
        try
        {
            await DispatchAsync(context).ConfigureAwait(false);
        }
        catch (Exception e) when (e is IOException or OperationCanceledException or BadHttpRequestException)
        {
            // The peer has gone, or sent what is not HTTP.
            context.Abort();
        }
    }

    private Task DispatchAsync(HttpContext context)
    {
        string path = context.Request.Path.Value ?? "";
        switch (path)
        {
            case "/raft":
                return MessageAsync(context);
            case "/raft/snapshot":
                return SnapshotAsync(context);
            case "/raft/probing":
                return JsonAsync(context, $"{{\"OK\":true,\"Now\":\"{Now()}\"}}\n");
            case "/members":
                return MembersAsync(context);
            case "/members/hashkv":
                return HashKvAsync(context);
            case "/leases":
                return RenewAsync(context);
            case "/leases/internal":
                return TimeToLiveAsync(context);
            case "/version":
                return VersionAsync(context);
            case "/downgrade/enabled" when node.Config.SpeakAs != SpeakAs.V34:
                return DowngradeAsync(context);
        }

        if (path.StartsWith(AppPath, StringComparison.Ordinal))
        {
            return StreamAsync(context, StreamKind.App, path[AppPath.Length..]);
        }

        if (path.StartsWith(MessagePath, StringComparison.Ordinal))
        {
            return StreamAsync(context, StreamKind.Message, path[MessagePath.Length..]);
        }

        return path.StartsWith(PromotePath, StringComparison.Ordinal)
            ? PromoteAsync(context, path[PromotePath.Length..])
            : TextAsync(context, 404, "404 page not found");
    }

    private string Now() =>
        node.Clock.GetUtcNow().ToString("yyyy-MM-dd'T'HH:mm:ss.fffffff'Z'", CultureInfo.InvariantCulture);

    private async Task StreamAsync(HttpContext context, StreamKind kind, string from)
    {
        if (!await AllowAsync(context, "GET").ConfigureAwait(false))
        {
            return;
        }

        context.Response.Headers[PeerIdentity.ServerVersionHeader] = Identity.ServerVersion;
        if (!await CompatibleAsync(context).ConfigureAwait(false))
        {
            return;
        }

        if (!MemberIds.TryParseHex(from, out ulong id))
        {
            await TextAsync(context, 404, "invalid from").ConfigureAwait(false);
            return;
        }

        if (Members.IsRemoved(id))
        {
            _refusals.Say("rejected stream from remote peer because it was removed", MemberIds.Hex(id));
            await TextAsync(context, 410, "removed member").ConfigureAwait(false);
            return;
        }

        RemotePeer? peer = transport.Find(id);
        if (peer is null)
        {
            _refusals.Say("failed to find remote peer in cluster", MemberIds.Hex(id));
            await TextAsync(context, 404, "error sender not found").ConfigureAwait(false);
            return;
        }

        if (Header(context, PeerIdentity.RaftToHeader) != MemberIds.Hex(Identity.MemberId))
        {
            _refusals.Say(
                "ignored streaming request; ID mismatch",
                MemberIds.Hex(id),
                ("remote-peer-id-header", Header(context, PeerIdentity.RaftToHeader)));
            await TextAsync(context, 412, "to field mismatch").ConfigureAwait(false);
            return;
        }

        context.Features.Get<IHttpResponseBodyFeature>()?.DisableBuffering();
        context.Response.StatusCode = 200;
        await context.Response.StartAsync(context.RequestAborted).ConfigureAwait(false);
        PipeWriter body = context.Response.BodyWriter;
        await body.FlushAsync(context.RequestAborted).ConfigureAwait(false);
        IPeerEncoder encoder = kind == StreamKind.App
            ? new MsgAppV2Encoder(transport.AlwaysSnapshot)
            : new MessageStreamEncoder(transport.AlwaysSnapshot);
        await peer.Outgoing(kind).ServeAsync(body, encoder, context.RequestAborted).ConfigureAwait(false);
        context.Abort();
    }

    private async Task MessageAsync(HttpContext context)
    {
        if (!await AllowAsync(context, "POST").ConfigureAwait(false) || !await CompatibleAsync(context).ConfigureAwait(false))
        {
            return;
        }

        await _posts.WaitAsync(context.RequestAborted).ConfigureAwait(false);
        try
        {
            byte[]? body = await BodyAsync(context, PeerLimits.FrameBytesMax).ConfigureAwait(false);
            if (body is null)
            {
                await TextAsync(context, 400, "error reading raft message").ConfigureAwait(false);
                return;
            }

            var entries = new EntryBuffer();
            if (MessageCodec.TryRead(body, null, entries, out Message message) != OperationStatus.Done
                || (message.Type == MessageType.App
                    && !PeerEntries.AreSound(message.Entries.Span, message.Index, message.Term)))
            {
                await TextAsync(context, 400, "error unmarshalling raft message").ConfigureAwait(false);
                return;
            }

            if (Members.IsRemoved(message.From))
            {
                _refusals.Say("rejected message from removed member", MemberIds.Hex(message.From));
                await RefusalAsync(context, "cannot process message from removed member").ConfigureAwait(false);
                return;
            }

            if (message.To != Identity.MemberId)
            {
                _refusals.Say(
                    "rejected message to mismatch member",
                    MemberIds.Hex(message.From),
                    ("mismatch-member-id", MemberIds.Hex(message.To)));
                await RefusalAsync(context, "cannot process message to mismatch member").ConfigureAwait(false);
                return;
            }

            // A snapshot's database can only come by its own path.
            if (message.Type != MessageType.Snap)
            {
                transport.Owner.Receive(PeerInbound.Keep(message, null));
            }

            context.Response.StatusCode = 204;
        }
        finally
        {
            _posts.Release();
        }
    }

    private async Task SnapshotAsync(HttpContext context)
    {
        if (!await AllowAsync(context, "POST").ConfigureAwait(false) || !await CompatibleAsync(context).ConfigureAwait(false))
        {
            return;
        }

        await _snapshots.WaitAsync(context.RequestAborted).ConfigureAwait(false);
        try
        {
            Stream body = context.Request.Body;
            Message message;
            try
            {
                message = await SnapshotPost.ReadMessageAsync(body, context.RequestAborted).ConfigureAwait(false);
            }
            catch (Exception e) when (e is InvalidDataException or EndOfStreamException)
            {
                await TextAsync(context, 400, $"failed to decode raft message ({e.Message})").ConfigureAwait(false);
                return;
            }

            if (Members.IsRemoved(message.From))
            {
                _refusals.Say("rejected message from removed member", MemberIds.Hex(message.From));
                await RefusalAsync(context, "cannot process message from removed member").ConfigureAwait(false);
                return;
            }

            string? trouble = await node.ReceiveSnapshotAsync(message, body, context.RequestAborted).ConfigureAwait(false);
            if (trouble is null)
            {
                context.Response.StatusCode = 204;
            }
            else
            {
                await TextAsync(context, 500, trouble).ConfigureAwait(false);
            }
        }
        finally
        {
            _snapshots.Release();
        }
    }

    private async Task MembersAsync(HttpContext context)
    {
        if (await AllowAsync(context, "GET").ConfigureAwait(false))
        {
            await JsonAsync(context, MembersJson()).ConfigureAwait(false);
        }
    }

    private string MembersJson() => $"[{string.Join(',', Members.Members.Select(m => m.ToJson()))}]\n";

    private async Task PromoteAsync(HttpContext context, string text)
    {
        if (!await AllowAsync(context, "POST").ConfigureAwait(false))
        {
            return;
        }

        if (!ulong.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out ulong id))
        {
            await TextAsync(context, 404, $"member {text} not found in cluster").ConfigureAwait(false);
            return;
        }

        StoreError error = await node.PromoteHereAsync(id).ConfigureAwait(false);
        switch (error)
        {
            case StoreError.None:
                await JsonAsync(context, MembersJson()).ConfigureAwait(false);
                break;
            case StoreError.MemberNotFound:
                await TextAsync(context, 404, "membership: ID not found").ConfigureAwait(false);
                break;
            case StoreError.MemberNotLearner:
                await TextAsync(context, 412, "membership: can only promote a learner member").ConfigureAwait(false);
                break;
            case StoreError.LearnerNotReady:
                await TextAsync(
                    context, 412, "etcdserver: can only promote a learner member which is in sync with leader")
                    .ConfigureAwait(false);
                break;
            case StoreError.Timeout:
                await TextAsync(context, 408, "etcdserver: request timed out").ConfigureAwait(false);
                break;
            default:
                await TextAsync(context, 503, $"etcdserver: {error}").ConfigureAwait(false);
                break;
        }
    }

    private async Task HashKvAsync(HttpContext context)
    {
        if (!await AllowAsync(context, "GET").ConfigureAwait(false))
        {
            return;
        }

        if (Header(context, PeerIdentity.ClusterIdHeader) is { Length: > 0 } theirs && theirs != Identity.ClusterIdText)
        {
            await TextAsync(context, 412, PeerIdentity.ClusterIdMismatch).ConfigureAwait(false);
            return;
        }

        byte[]? body = await BodyAsync(context, SmallBodyBytesMax).ConfigureAwait(false);
        long revision = 0;
        try
        {
            using JsonDocument document = JsonDocument.Parse(body ?? []);
            if (document.RootElement.TryGetProperty("revision", out JsonElement value))
            {
                revision = value.GetInt64();
            }
        }
        catch (Exception e) when (e is JsonException or FormatException or InvalidOperationException)
        {
            await TextAsync(context, 400, "error unmarshalling request").ConfigureAwait(false);
            return;
        }

        StoreError error = node.HashByRevision(revision, out HashKvResult result);
        if (error != StoreError.None)
        {
            string reason = error == StoreError.Compacted
                ? "mvcc: required revision has been compacted"
                : "mvcc: required revision is a future revision";
            await TextAsync(context, 400, reason).ConfigureAwait(false);
            return;
        }

        await JsonAsync(
            context,
            string.Create(
                CultureInfo.InvariantCulture,
                $"{{\"header\":{{\"cluster_id\":{Identity.ClusterId},\"member_id\":{Identity.MemberId},\"revision\":{result.CurrentRevision},\"raft_term\":{node.Raft.Term}}},\"hash\":{result.Hash},\"compact_revision\":{result.CompactRevision}}}"))
            .ConfigureAwait(false);
    }

    private async Task RenewAsync(HttpContext context)
    {
        byte[]? body = await LeaseBodyAsync(context).ConfigureAwait(false);
        if (body is null)
        {
            return;
        }

        if (!LeaseKeepAliveView.TryParse(body, out LeaseKeepAliveView request))
        {
            await TextAsync(context, 400, "error unmarshalling request").ConfigureAwait(false);
            return;
        }

        long id = request.Id;
        (StoreError error, long ttl) = await node.RenewLeaseHereAsync(id).ConfigureAwait(false);
        switch (error)
        {
            case StoreError.None:
                var answer = new ProtoBuffer(32);
                answer.Int64(2, id);
                answer.Int64(3, ttl);
                await ProtobufAsync(context, answer).ConfigureAwait(false);
                break;
            case StoreError.LeaseNotFound:
                await TextAsync(context, 404, "lease not found").ConfigureAwait(false);
                break;
            default:
                await TextAsync(context, 400, "not a primary lessor").ConfigureAwait(false);
                break;
        }
    }

    private async Task TimeToLiveAsync(HttpContext context)
    {
        byte[]? body = await LeaseBodyAsync(context).ConfigureAwait(false);
        if (body is null)
        {
            return;
        }

        if (!TryReadTimeToLive(body, out long id, out bool keys))
        {
            await TextAsync(context, 400, "error unmarshalling request").ConfigureAwait(false);
            return;
        }

        StoreError error = node.State.Machine.Leases.TimeToLive(id, keys, out LeaseInfo? info);
        if (error == StoreError.NotLeader)
        {
            await TextAsync(context, 400, "not a primary lessor").ConfigureAwait(false);
            return;
        }

        if (error != StoreError.None || info is null)
        {
            await TextAsync(context, 404, "lease not found").ConfigureAwait(false);
            return;
        }

        var answer = new ProtoBuffer(128);
        int inner = answer.BeginMessage(1);
        LeaseResponses.WriteTimeToLive(node.Header(), info, answer);
        answer.EndMessage(inner);
        await ProtobufAsync(context, answer).ConfigureAwait(false);
    }

    private static bool TryReadTimeToLive(ReadOnlySpan<byte> body, out long id, out bool keys)
    {
        id = 0;
        keys = false;
        var reader = new ProtoReader(body);
        while (reader.Next())
        {
            if (reader.Field == 1)
            {
                if (!LeaseTimeToLiveView.TryParse(reader.Bytes, out LeaseTimeToLiveView request))
                {
                    return false;
                }

                id = request.Id;
                keys = request.Keys;
            }
        }

        return !reader.Failed;
    }

    /// <summary>A forwarded lease request's body, once what was committed is applied; null: answered already.</summary>
    private async Task<byte[]?> LeaseBodyAsync(HttpContext context)
    {
        if (!await AllowAsync(context, "POST").ConfigureAwait(false))
        {
            return null;
        }

        byte[]? body = await BodyAsync(context, SmallBodyBytesMax).ConfigureAwait(false);
        if (body is null)
        {
            await TextAsync(context, 413, "http: request body too large").ConfigureAwait(false);
            return null;
        }

        if (!await node.AppliedAsync(AppliedTimeout).ConfigureAwait(false))
        {
            await TextAsync(context, 408, "lease: waiting for node to catch up its applied index has timed out")
                .ConfigureAwait(false);
            return null;
        }

        return body;
    }

    private async Task VersionAsync(HttpContext context)
    {
        if (await AllowAsync(context, "GET").ConfigureAwait(false))
        {
            await JsonAsync(
                context,
                $"{{\"etcdserver\":\"{node.ServerVersion}\",\"etcdcluster\":\"{node.ClusterVersion?.ToString() ?? "not_decided"}\"}}")
                .ConfigureAwait(false);
        }
    }

    private async Task DowngradeAsync(HttpContext context)
    {
        if (!await AllowAsync(context, "GET").ConfigureAwait(false))
        {
            return;
        }

        StoreError error = await node.LinearizableAsync().ConfigureAwait(false);
        await (error == StoreError.None
            ? WriteAsync(context, 200, "text/plain", Members.Downgrade.Enabled ? "true" : "false")
            : TextAsync(context, 500, "failed to get downgrade enabled status")).ConfigureAwait(false);
    }

    private static string? Header(HttpContext context, string name) =>
        context.Request.Headers.TryGetValue(name, out var values) ? values.ToString() : null;

    private async Task<bool> AllowAsync(HttpContext context, string method)
    {
        context.Response.Headers[PeerIdentity.ClusterIdHeader] = Identity.ClusterIdText;
        if (context.Request.Method == method)
        {
            return true;
        }

        context.Response.Headers.Allow = method;
        await TextAsync(context, 405, "Method Not Allowed").ConfigureAwait(false);
        return false;
    }

    private async Task<bool> CompatibleAsync(HttpContext context)
    {
        string? refusal = Identity.Refuse(header => Header(context, header));
        if (refusal is null)
        {
            if (MemberIds.TryParseHex(Header(context, PeerIdentity.ServerFromHeader), out ulong from))
            {
                Meet(context, from);
            }

            return true;
        }

        string? name = Header(context, PeerIdentity.ServerFromHeader);
        if (refusal == PeerIdentity.ClusterIdMismatch)
        {
            _refusals.Say(
                "request cluster ID mismatch",
                name,
                ("local-member-cluster-id", Identity.ClusterIdText),
                ("remote-peer-cluster-id", Header(context, PeerIdentity.ClusterIdHeader)));
        }
        else
        {
            _refusals.Say(
                "failed to check version compatibility",
                name,
                ("local-member-server-version", Identity.ServerVersion),
                ("remote-peer-server-version", Header(context, PeerIdentity.ServerVersionHeader)),
                ("remote-peer-server-minimum-cluster-version", Header(context, PeerIdentity.MinClusterVersionHeader)));
        }

        await TextAsync(context, 412, refusal).ConfigureAwait(false);
        return false;
    }

    /// <summary>One of our cluster, by what it says; we may lag and not know it as a member.</summary>
    private void Meet(HttpContext context, ulong from)
    {
        if (!Members.IsRemoved(from) && Header(context, PeerIdentity.PeerUrlsHeader) is { Length: > 0 } urls)
        {
            transport.Meet(from, urls.Split(','));
        }
    }

    /// <summary>The body, or null when it is longer than the limit.</summary>
    private static async Task<byte[]?> BodyAsync(HttpContext context, int bytesMax)
    {
        if (context.Request.ContentLength > bytesMax)
        {
            return null;
        }

        var body = new ArrayBufferWriter<byte>(1024);
        while (true)
        {
            int read = await context.Request.Body
                .ReadAsync(body.GetMemory(1024), context.RequestAborted).ConfigureAwait(false);
            if (read == 0)
            {
                return body.WrittenSpan.ToArray();
            }

            body.Advance(read);
            if (body.WrittenCount > bytesMax)
            {
                return null;
            }
        }
    }

    private static Task RefusalAsync(HttpContext context, string message) =>
        WriteAsync(context, 403, "application/json", $"{{\"message\":\"{message}\"}}");

    private static Task TextAsync(HttpContext context, int status, string text)
    {
        context.Response.Headers.XContentTypeOptions = "nosniff";
        return WriteAsync(context, status, "text/plain; charset=utf-8", text + "\n");
    }

    private static Task JsonAsync(HttpContext context, string json) => WriteAsync(context, 200, "application/json", json);

    private static Task WriteAsync(HttpContext context, int status, string type, string text)
    {
        context.Response.StatusCode = status;
        context.Response.ContentType = type;
        byte[] bytes = Encoding.UTF8.GetBytes(text);
        context.Response.ContentLength = bytes.Length;
        return context.Response.Body.WriteAsync(bytes, 0, bytes.Length);
    }

    private static Task ProtobufAsync(HttpContext context, ProtoBuffer answer)
    {
        context.Response.ContentType = ProtobufType;
        byte[] bytes = answer.Written.ToArray();
        context.Response.ContentLength = bytes.Length;
        return context.Response.Body.WriteAsync(bytes, 0, bytes.Length);
    }
}
