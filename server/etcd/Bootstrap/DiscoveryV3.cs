using System.Globalization;
using Perf.Client;
using Perf.Node.Config;
using Perf.Node.Logging;

namespace Perf.Etcd.Bootstrap;

/// <summary>The discovery protocol over the v3 API (SURFACE 5.3), as etcd has it from 3.6 on.</summary>
internal sealed class DiscoveryV3(DiscoverySettings settings, string self, Log log)
{
    private const string Registry = "/_etcd/registry/";

    private string Place => Registry + settings.Token;

    private string SelfKey => $"{Place}/members/{self}";

    /// <summary>Takes a place and waits for the others; the value of --initial-cluster.</summary>
    public async Task<string> JoinAsync(string contents, CancellationToken cancelled)
    {
        await using EtcdClient client = await EtcdClient.ConnectAsync(
            new EtcdClientOptions
            {
                Endpoints = settings.Endpoints,
                Username = settings.User.Split(':')[0],
                Password = settings.Password.Length > 0 ? settings.Password
                    : settings.User.Contains(':', StringComparison.Ordinal) ? settings.User[(settings.User.IndexOf(':', StringComparison.Ordinal) + 1)..]
                    : "",
                DialTimeout = settings.DialTimeout,
                KeepAliveTime = settings.KeepAliveTime,
                KeepAliveTimeout = settings.KeepAliveTimeout,
                Tls = IsSecure
                    ? EtcdTls.FromFiles(settings.CaFile, settings.CertFile, settings.KeyFile) with
                    {
                        SkipVerify = settings.InsecureSkipTlsVerify,
                    }
                    : null,
            },
            cancelled).ConfigureAwait(false);
        await CheckAsync(client, cancelled).ConfigureAwait(false);
        await RepeatAsync(token => client.Kv.PutAsync(SelfKey, contents, cancellation: token), "register member itself", cancelled)
            .ConfigureAwait(false);
        log.Info("register member itself successfully", ("memberKey", SelfKey), ("memberInfo", contents));
        Found found = await CheckAsync(client, cancelled).ConfigureAwait(false);
        if (found.Members.Count < found.Size)
        {
            await WaitAsync(client, found, cancelled).ConfigureAwait(false);
        }

        string all = string.Join(',', found.Members.OrderBy(m => m.Value.Revision).Take(found.Size).Select(m => m.Value.Contents));
        log.Info("discovery joined cluster successfully", ("cluster", all));
        return all;
    }

    private bool IsSecure => !settings.InsecureTransport || settings.InsecureSkipTlsVerify
        || settings.CaFile.Length + settings.CertFile.Length + settings.KeyFile.Length > 0;

    private async Task<Found> CheckAsync(EtcdClient client, CancellationToken cancelled)
    {
        GetResponse size = await RepeatAsync(
            token => client.Kv.GetAsync(Place + "/_config/size", cancellation: token), "cluster status check", cancelled)
            .ConfigureAwait(false);
        if (size.Kvs.Count == 0)
        {
            throw new DiscoveryException("size key not found");
        }

        if (!int.TryParse(size.Kvs[0].Value.ToString(), NumberStyles.None, CultureInfo.InvariantCulture, out int count) || count <= 0)
        {
            throw new DiscoveryException("size key is bad");
        }

        GetResponse listed = await RepeatAsync(
            token => client.Kv.GetAsync(Place + "/members/", new GetOptions { Prefix = true }, token),
            "cluster status check",
            cancelled).ConfigureAwait(false);
        var members = listed.Kvs.ToDictionary(
            kv => kv.Key.ToString(), kv => (Contents: kv.Value.ToString(), Revision: kv.CreateRevision), StringComparer.Ordinal);
        List<string> oldest = [.. members.OrderBy(m => m.Value.Revision).Select(m => m.Key)];
        int own = oldest.IndexOf(SelfKey);
        if (members.Count >= count && (own < 0 || own >= count))
        {
            throw new ClusterFullException(string.Join(',', oldest.Take(count).Select(key => members[key].Contents)));
        }

        return new Found(members, count, listed.Header.Revision);
    }

    private async Task WaitAsync(EtcdClient client, Found found, CancellationToken cancelled)
    {
        log.Info("waiting for peers from discovery service", ("clusterSize", found.Size), ("found-peers", found.Members.Count));
        await foreach (WatchResponse told in client.Watches.WatchAsync(
            Place + "/members/",
            new WatchOptions { Prefix = true, StartRevision = found.Revision + 1 },
            cancelled).ConfigureAwait(false))
        {
            foreach (WatchEvent change in told.Events.Where(e => e.Type == WatchEventType.Put))
            {
                log.Info("found peer from discovery service", ("memberInfo", change.Kv.Value.ToString()));
                found.Members[change.Kv.Key.ToString()] = (change.Kv.Value.ToString(), change.Kv.CreateRevision);
            }

            if (found.Members.Count >= found.Size)
            {
                return;
            }
        }
    }

    /// <summary>Again and again while the service cannot be reached or takes too long.</summary>
    private async Task<T> RepeatAsync<T>(Func<CancellationToken, Task<T>> ask, string what, CancellationToken cancelled)
    {
        for (int failures = 1; ; failures++)
        {
            using var limit = CancellationTokenSource.CreateLinkedTokenSource(cancelled);
            limit.CancelAfter(settings.RequestTimeout);
            try
            {
                return await ask(limit.Token).ConfigureAwait(false);
            }
            catch (Exception e) when (e is OperationCanceledException
                or EtcdException { Code: RpcCode.Unavailable or RpcCode.DeadlineExceeded })
            {
                cancelled.ThrowIfCancellationRequested();
                TimeSpan pause = TimeSpan.FromSeconds(1 << Math.Min(failures, 8));
                log.Warn("retry connecting to discovery service", ("reason", what), ("backoff", pause), ("error", e.Message));
                await Task.Delay(pause, cancelled).ConfigureAwait(false);
            }
        }
    }

    private sealed record Found(Dictionary<string, (string Contents, long Revision)> Members, int Size, long Revision);
}
