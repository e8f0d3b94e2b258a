using System.Text;
using Perf.Client;
using Perf.Simulation;

namespace Perf.Cluster.Tests.Linearizability;

/// <summary>Everything that ever happened to the keys with a prefix, revision by revision.</summary>
internal sealed class HistoryWatch : IAsyncDisposable
{
    private readonly EtcdClient _client;
    private readonly Watching _watching;

    private HistoryWatch(EtcdClient client, string prefix)
    {
        _client = client;
        _watching = client.Watches.Start(
            prefix, new WatchOptions { Prefix = true, StartRevision = 1 });
    }

    public static async Task<HistoryWatch> OpenAsync(string url, string prefix)
    {
        EtcdClient client = await EtcdClient.ConnectAsync(new EtcdClientOptions { Endpoints = [url] });
        return new HistoryWatch(client, prefix);
    }

    /// <summary>The next revisions, each whole.</summary>
    public async Task<IReadOnlyList<(long Revision, KeyState[] States)>> NextAsync(CancellationToken cancelled)
    {
        WatchResponse response = await _watching.Responses.ReadAsync(cancelled);
        return
        [
            .. response.Events.GroupBy(e => e.Kv.ModRevision)
                .Select(revision => (revision.Key, revision.Select(State).ToArray())),
        ];
    }

    public async ValueTask DisposeAsync()
    {
        await _watching.DisposeAsync();
        await _client.DisposeAsync();
    }

    private static KeyState State(WatchEvent e) => new(
        e.Kv.ModRevision, Text(e.Kv.Key), e.Type == WatchEventType.Delete, Text(e.Kv.Value), e.Kv.CreateRevision, e.Kv.Version, e.Kv.Lease);

    private static string Text(Bytes bytes) => Encoding.UTF8.GetString(bytes.Span);
}
