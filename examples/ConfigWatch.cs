using Perf.Client;

namespace Perf.Examples;

/// <summary>
/// Configuration that is always current: read everything once, then watch from the revision behind what was read. No
/// change is missed between the two, and none comes twice.
/// </summary>
internal static class ConfigWatch
{
    private const string Prefix = "config/";

    public static async Task RunAsync(EtcdClient client, CancellationToken ending)
    {
        while (true)
        {
            GetResponse read = await client.Kv.GetAsync(Prefix, new GetOptions { Prefix = true }, ending);
            foreach (KeyValue pair in read.Kvs)
            {
                Console.WriteLine($"{pair.Key} = {pair.Value}");
            }

            var options = new WatchOptions { Prefix = true, StartRevision = read.Header.Revision + 1 };
            try
            {
                await foreach (WatchResponse response in client.Watches.WatchAsync(Prefix, options, ending))
                {
                    foreach (WatchEvent change in response.Events)
                    {
                        Console.WriteLine(change.Type == WatchEventType.Put
                            ? $"{change.Kv.Key} = {change.Kv.Value}"
                            : $"{change.Kv.Key} is gone");
                    }
                }
            }
            catch (CompactedException)
            {
                // Away for so long that the history is gone: begin with what there is now.
            }
        }
    }
}
