using Perf.Client;
using Perf.Client.Tests;
using Xunit;

namespace Perf.Ctl.Tests;

/// <summary>The walk-through by our etcdctl, against our server and against a real etcd.</summary>
public sealed class WalkThroughTests
{
    [Fact]
    public Task Our_etcdctl_and_our_server_do_what_the_introductions_say() =>
        WalkAsync(() => EtcdProcess.StartPerf(31300));

    // 3.4 has no "auth status"; the rest of the second text is in the golden comparison.
    [InteropFact]
    public async Task Our_etcdctl_does_what_the_introductions_say_with_a_real_etcd()
    {
        using var etcd = new EtcdProcess(31302);
        await WalkThrough.PastDeletesAndWatchesAsync(new InProcessShell(etcd.Endpoint));
    }

    private static async Task WalkAsync(Func<EtcdProcess> start)
    {
        using (EtcdProcess etcd = start())
        {
            await using EtcdClient client = await EtcdClient.ConnectAsync(
                new EtcdClientOptions { Endpoints = [etcd.Endpoint] });
            await WalkThrough.WriteAndReadAsync(new InProcessShell(etcd.Endpoint), client);
        }

        foreach (Func<Shell, Task> part in new Func<Shell, Task>[]
        {
            WalkThrough.PastDeletesAndWatchesAsync,
            WalkThrough.HistoryCompactionAndLeasesAsync,
            WalkThrough.ReferenceAsync,
        })
        {
            using EtcdProcess etcd = start();
            await part(new InProcessShell(etcd.Endpoint));
        }
    }
}
