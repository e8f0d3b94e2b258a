using System.Globalization;
using Microsoft.AspNetCore.Http;
using Perf.Node;
using Perf.Store.Membership;
using Perf.Store.V2;

namespace Perf.Rpc.Http.V2;

/// <summary>/v2/keys: operations and watches (SURFACE V2-01 to V2-04).</summary>
internal sealed class V2Keys(EtcdNode node, IV2Server server, V2Access access)
{
    public const string Prefix = "/v2/keys";

    /// <summary>Users' keys are below this path of the store.</summary>
    public const string Root = "/1";

    private const long NanosPerTick = 100;
    private const long NanosPerSecond = 1_000_000_000;

    /// <summary><paramref name="key"/>: empty or from a slash on, as the URL has it.</summary>
    public async Task ServeAsync(HttpContext context, string key)
    {
        if (!V2Answers.Allows(context, out Task answered, "HEAD", "GET", "PUT", "POST", "DELETE"))
        {
            await answered.ConfigureAwait(false);
            return;
        }

        context.Response.Headers["X-Etcd-Cluster-Id"] = MemberIds.Hex(node.ClusterId);
        V2Form form;
        try
        {
            form = await V2Form.ReadAsync(context.Request, context.RequestAborted).ConfigureAwait(false);
        }
        catch (Exception e) when (e is BadHttpRequestException or InvalidDataException)
        {
            await V2Answers.ErrorAsync(context, new V2Error(V2ErrorCode.InvalidForm, e.Message, 0)).ConfigureAwait(false);
            return;
        }

        if (Parse(context.Request.Method, key, form, out V2Request request, out bool isTerse) is { } fault)
        {
            await V2Answers.ErrorAsync(context, fault).ConfigureAwait(false);
            return;
        }

        if (!await access.MayUseKeyAsync(context, key, request.Recursive).ConfigureAwait(false))
        {
            await V2Answers.ErrorAsync(
                context, new V2Error(V2ErrorCode.Unauthorized, "Insufficient credentials", 0)).ConfigureAwait(false);
            return;
        }

        if (request is { Wait: true, Quorum: false })
        {
            await WatchAsync(context, request).ConfigureAwait(false);
            return;
        }

        V2Result result = await server.DoAsync(request).ConfigureAwait(false);
        if (result.Event is not { } done)
        {
            V2Error error = result.Error ?? new V2Error(V2ErrorCode.RaftInternal, "received response with no Event/Watcher", 0);
            await V2Answers.ErrorAsync(context, Trimmed(error)).ConfigureAwait(false);
            return;
        }

        WriteIndexes(context, done.EtcdIndex);
        bool isWrite = done.Action is V2Action.Set or V2Action.CompareAndSwap or V2Action.Create or V2Action.Update;
        string body = isTerse && isWrite ? done.ActionJson() : done.ToJson(Root);
        await V2Answers.JsonAsync(context, done.IsCreated ? 201 : 200, body + "\n").ConfigureAwait(false);
    }

    private static V2Error Trimmed(V2Error error) =>
        error.Cause.StartsWith(Root, StringComparison.Ordinal) ? error with { Cause = error.Cause[Root.Length..] } : error;

    private async Task WatchAsync(HttpContext context, V2Request request)
    {
        CancellationToken gone = context.RequestAborted;
        (IV2Watch? watch, V2Error? error) = await server.WatchAsync(request, gone).ConfigureAwait(false);
        if (watch is null)
        {
            await V2Answers.ErrorAsync(context, Trimmed(error!)).ConfigureAwait(false);
            return;
        }

        await using (watch.ConfigureAwait(false))
        {
            WriteIndexes(context, watch.StartIndex);
            context.Response.ContentType = V2Answers.JsonType;
            try
            {
                // The client is told that it waits, and from where on.
                await context.Response.StartAsync(gone).ConfigureAwait(false);
                await context.Response.Body.FlushAsync(gone).ConfigureAwait(false);
                while (await watch.NextAsync(gone).ConfigureAwait(false) is { } change)
                {
                    await context.Response.WriteAsync(change.ToJson(Root) + "\n", gone).ConfigureAwait(false);
                    await context.Response.Body.FlushAsync(gone).ConfigureAwait(false);
                    if (!request.Stream)
                    {
                        break;
                    }
                }
            }
            catch (OperationCanceledException) when (gone.IsCancellationRequested)
            {
                // The client has left.
            }
        }
    }

    private void WriteIndexes(HttpContext context, ulong etcdIndex)
    {
        IHeaderDictionary headers = context.Response.Headers;
        headers["X-Etcd-Index"] = etcdIndex.ToString(CultureInfo.InvariantCulture);
        headers["X-Raft-Index"] = node.Raft.Commit.ToString(CultureInfo.InvariantCulture);
        headers["X-Raft-Term"] = node.Raft.Term.ToString(CultureInfo.InvariantCulture);
    }

    /// <summary>Null: the request is sound.</summary>
    private V2Error? Parse(string method, string key, V2Form form, out V2Request request, out bool isTerse)
    {
        request = new V2Request();
        isTerse = false;
        if (form.Fault is not null)
        {
            return new V2Error(V2ErrorCode.InvalidForm, form.Fault, 0);
        }

        if (!form.TryNumber("prevIndex", out ulong prevIndex))
        {
            return Bad(V2ErrorCode.IndexNaN, "prevIndex");
        }

        if (!form.TryNumber("waitIndex", out ulong waitIndex))
        {
            return Bad(V2ErrorCode.IndexNaN, "waitIndex");
        }

        string[] names = ["recursive", "sorted", "wait", "dir", "quorum", "stream"];
        var truths = new bool[names.Length];
        for (int i = 0; i < names.Length; i++)
        {
            if (!form.TryTruth(names[i], out truths[i]))
            {
                return Bad(V2ErrorCode.InvalidField, names[i]);
            }
        }

        bool wait = truths[2];
        if (wait && method != "GET")
        {
            return new V2Error(V2ErrorCode.InvalidField, "\"wait\" can only be used with GET requests", 0);
        }

        if (form.Has("prevValue") && form.Value("prevValue").Length == 0)
        {
            return new V2Error(V2ErrorCode.PrevValueRequired, "\"prevValue\" cannot be empty", 0);
        }

        if (!form.TryTruth("noValueOnSuccess", out isTerse))
        {
            return Bad(V2ErrorCode.InvalidField, "noValueOnSuccess");
        }

        bool hasTtl = form.Value("ttl").Length > 0;
        if (!form.TryNumber("ttl", out ulong ttl) && hasTtl)
        {
            return Bad(V2ErrorCode.TtlNaN, "ttl");
        }

        if (!form.TryTruth("prevExist", out bool prevExist))
        {
            return new V2Error(V2ErrorCode.InvalidField, "invalid value for prevExist", 0);
        }

        if (!form.TryTruth("refresh", out bool refresh))
        {
            return new V2Error(V2ErrorCode.InvalidField, "invalid value for refresh", 0);
        }

        if (refresh && form.Value("value").Length > 0)
        {
            return new V2Error(V2ErrorCode.RefreshValue, "A value was provided on a refresh", 0);
        }

        if (refresh && !hasTtl)
        {
            return new V2Error(V2ErrorCode.RefreshTtlRequired, "No TTL value set", 0);
        }

        request = new V2Request
        {
            Method = method,
            Path = V2Path.Clean(Root + key),
            Value = form.Value("value"),
            Recursive = truths[0],
            Sorted = truths[1],
            Wait = wait,
            Directory = truths[3],
            Quorum = truths[4],
            Stream = truths[5],
            PrevValue = form.Value("prevValue"),
            PrevIndex = prevIndex,
            PrevExist = form.Has("prevExist") ? prevExist : null,
            Refresh = form.Has("refresh") ? refresh : null,
            Since = waitIndex,
            Expiration = hasTtl ? Expiration(ttl) : 0,
        };
        return null;
    }

    /// <summary>When a key with so many seconds to live goes, in unix nanoseconds.</summary>
    private long Expiration(ulong ttlSeconds)
    {
        long now = (node.Clock.GetUtcNow().Ticks - DateTime.UnixEpoch.Ticks) * NanosPerTick;
        long secondsMax = (long.MaxValue - now) / NanosPerSecond;
        return now + ((long)Math.Min(ttlSeconds, (ulong)secondsMax) * NanosPerSecond);
    }

    private static V2Error Bad(V2ErrorCode code, string name) => new(code, $"invalid value for \"{name}\"", 0);
}
