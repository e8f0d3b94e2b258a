using Perf.Client;
using Perf.Client.Concurrency;

namespace Perf.Examples;

/// <summary>A service is listed for as long as it lives: its key hangs on a lease that somebody has to keep alive.</summary>
internal static class ServiceRegistration
{
    private const string Prefix = "services/shop/";
    private const int TimeToLiveSeconds = 10;

    public static async Task RegisterAsync(EtcdClient client, string name, CancellationToken ending)
    {
        while (!ending.IsCancellationRequested)
        {
            // Leaving the block revokes the lease: a service that ends in good order is gone from the list at once.
            await using Session session = await Session.OpenAsync(client, TimeToLiveSeconds, ending);
            var options = new PutOptions { Lease = session.Lease };
            await client.Kv.PutAsync(Prefix + name, $"http://{name}:8080", options, ending);
            Console.WriteLine($"registered {name}");

            // The lease is lost when no member could be reached for the whole time to live: register anew.
            using var over = CancellationTokenSource.CreateLinkedTokenSource(session.Lost, ending);
            try
            {
                await Task.Delay(Timeout.Infinite, over.Token);
            }
            catch (OperationCanceledException) when (!ending.IsCancellationRequested)
            {
                Console.WriteLine("lost the lease");
            }
        }
    }

    public static async Task DiscoverAsync(EtcdClient client, CancellationToken ending)
    {
        GetResponse read = await client.Kv.GetAsync(Prefix, new GetOptions { Prefix = true }, ending);
        foreach (KeyValue pair in read.Kvs)
        {
            Console.WriteLine($"up {pair.Value}");
        }

        var options = new WatchOptions { Prefix = true, StartRevision = read.Header.Revision + 1, PrevKv = true };
        await foreach (WatchResponse response in client.Watches.WatchAsync(Prefix, options, ending))
        {
            foreach (WatchEvent change in response.Events)
            {
                Console.WriteLine(change.Type == WatchEventType.Put
                    ? $"up {change.Kv.Value}"
                    : $"down {change.PrevKv?.Value}");
            }
        }
    }
}
