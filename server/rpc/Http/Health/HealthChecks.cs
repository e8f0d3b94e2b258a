using System.Collections.Concurrent;
using System.Text;
using System.Text.Encodings.Web;
using System.Text.Json;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.Primitives;
using Perf.Node;
using Perf.Store;
using Perf.Store.Maintenance;

namespace Perf.Rpc.Http.Health;

/// <summary>/health, /livez and /readyz (SURFACE HTTP-01 to HTTP-03).</summary>
internal sealed class HealthChecks
{
    private const string Live = "/livez";
    private const string Ready = "/readyz";

    private readonly EtcdNode _node;
    private readonly Dictionary<string, HealthCheck[]> _checks = new(StringComparer.Ordinal);
    private readonly ConcurrentDictionary<(string Type, string Name), bool> _last = new();
    private readonly ConcurrentDictionary<(string Type, string Name, string Status), long> _counts = new();
    private long _succeeded;
    private long _failed;

    public HealthChecks(EtcdNode node)
    {
        _node = node;
        var localRead = new HealthCheck("serializable_read", () => Task.FromResult<string?>(null));
        HealthCheck[] ready =
        [
            new("data_corruption", () => Task.FromResult(Corruption())),
            localRead,
            new("linearizable_read", LinearizableReadAsync),
            new("non_learner", () => Task.FromResult(node.IsLearner ? "not supported for learner" : null)),
        ];
        Install(Live, localRead);
        Install(Ready, ready);
    }

    /// <summary>Answers of /health so far.</summary>
    public (long Succeeded, long Failed) Answered => (Volatile.Read(ref _succeeded), Volatile.Read(ref _failed));

    /// <summary>Whether each check was well when last run.</summary>
    public IEnumerable<KeyValuePair<(string Type, string Name), bool>> Last => _last;

    /// <summary>How often each check ended how.</summary>
    public IEnumerable<KeyValuePair<(string Type, string Name, string Status), long>> Counts => _counts;

    /// <summary>Serves the path if it is one of a check.</summary>
    public bool TryServe(HttpContext context, string path, out Task serving)
    {
        bool isHealth = path == "/health";
        HealthCheck[]? checks = null;
        if (!isHealth && !_checks.TryGetValue(path, out checks))
        {
            serving = Task.CompletedTask;
            return false;
        }

        serving = !HttpMethods.IsGet(context.Request.Method) ? PlainText.NotAllowedAsync(context, "GET")
            : isHealth ? HealthAsync(context)
            : RunAsync(context, path.Split('/')[1], checks!);
        return true;
    }

    private static string Name(AlarmKind kind) => kind.ToString().ToUpperInvariant();

    private void Install(string path, params HealthCheck[] checks)
    {
        _checks[path] = checks;
        foreach (HealthCheck check in checks)
        {
            _checks[$"{path}/{check.Name}"] = [check];
        }
    }

    private string? Corruption() => _node.State.Machine.Alarms.Active.Any(alarm => alarm.Kind == AlarmKind.Corrupt)
        ? "alarm activated: CORRUPT"
        : null;

    private async Task<string?> LinearizableReadAsync()
    {
        StoreError error = await _node.LinearizableAsync().ConfigureAwait(false);
        return error == StoreError.None ? null : StatusMapping.Of(error).Text;
    }

    private async Task RunAsync(HttpContext context, string type, HealthCheck[] checks)
    {
        StringValues excluded = context.Request.Query["exclude"];
        var report = new StringBuilder();
        bool isWell = true;
        foreach (HealthCheck check in checks)
        {
            if (checks.Length > 1 && excluded.Contains(check.Name))
            {
                continue;
            }

            string? fault = await check.RunAsync().ConfigureAwait(false);
            isWell &= fault is null;
            report.Append(fault is null ? $"[+]{check.Name} ok\n" : $"[-]{check.Name} failed: {fault}\n");
            _last[(type, check.Name)] = fault is null;
            _counts.AddOrUpdate((type, check.Name, fault is null ? "success" : "error"), 1, (_, count) => count + 1);
        }

        if (isWell)
        {
            context.Response.Headers.XContentTypeOptions = "nosniff";
            string details = context.Request.Query.ContainsKey("verbose") ? report.ToString() : "";
            await PlainText.WriteAsync(context, 200, details + "ok\n").ConfigureAwait(false);
        }
        else
        {
            _node.Log.Error("Health check error", ("path", context.Request.Path.Value), ("reason", report.ToString()));
            await PlainText.WriteAsync(context, 503, report + "\n").ConfigureAwait(false);
        }
    }

    private async Task HealthAsync(HttpContext context)
    {
        string reason = await ReasonAsync(context.Request.Query).ConfigureAwait(false);
        bool isWell = reason.Length == 0;
        Interlocked.Increment(ref isWell ? ref _succeeded : ref _failed);
        string text = _node.Config.SpeakAs == Store.Membership.SpeakAs.V34
            ? $"{{\"health\":\"{(isWell ? "true" : "false")}\"}}"
            : $"{{\"health\":\"{(isWell ? "true" : "false")}\",\"reason\":\"{JsonEncodedText.Encode(reason, JavaScriptEncoder.UnsafeRelaxedJsonEscaping)}\"}}";
        if (!isWell)
        {
            _node.Log.Warn("/health error", ("output", text), ("status-code", 503));
        }

        await PlainText.WriteAsync(context, isWell ? 200 : 503, isWell ? text : text + "\n").ConfigureAwait(false);
    }

    private async Task<string> ReasonAsync(IQueryCollection query)
    {
        foreach (AlarmMember alarm in _node.State.Machine.Alarms.Active)
        {
            string name = Name(alarm.Kind);
            if (!query["exclude"].Contains(name))
            {
                return $"ALARM {name}";
            }
        }

        if (query["serializable"].FirstOrDefault() == "true")
        {
            return "";
        }

        if (_node.Raft.Leader == 0)
        {
            return "RAFT NO LEADER";
        }

        StoreError error = await _node.LinearizableAsync().ConfigureAwait(false);
        return error == StoreError.None ? "" : $"RANGE ERROR:{StatusMapping.Of(error).Text}";
    }
}
