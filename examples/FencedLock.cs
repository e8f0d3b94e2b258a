using Perf.Client;
using Perf.Client.Concurrency;
using Mutex = Perf.Client.Concurrency.Mutex;

namespace Perf.Examples;

/// <summary>
/// A lock whose protected thing refuses a holder of yesterday. A lock alone cannot: its holder may sleep through the
/// end of its lease and go on believing.
/// </summary>
internal static class FencedLock
{
    private const int TimeToLiveSeconds = 5;

    public static async Task RunAsync(EtcdClient client, string name, CancellationToken ending)
    {
        await using Session session = await Session.OpenAsync(client, TimeToLiveSeconds, ending);
        var mutex = new Mutex(session, "locks/account");
        await mutex.LockAsync(ending);
        Console.WriteLine($"{name} holds the lock, fencing revision {mutex.FencingRevision}");

        // Inside etcd: the change and the proof of ownership in one transaction.
        GetResponse read = await client.Kv.GetAsync("account/balance", null, ending);
        long balance = read.Kvs.Count == 0 ? 0 : long.Parse(read.Kvs[0].Value.ToString());
        TxnResponse written = await client.Kv.Txn()
            .If(mutex.IsOwner())
            .Then(Op.Put("account/balance", $"{balance + 1}"))
            .CommitAsync(ending);
        Console.WriteLine(written.Succeeded ? $"balance {balance + 1}" : "the lock was lost: nothing was written");

        // Outside etcd: whoever is asked keeps the highest fencing revision it has seen and refuses lower ones.
        await mutex.UnlockAsync(CancellationToken.None);
    }
}
