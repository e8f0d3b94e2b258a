using Perf.Client;
using Perf.Client.Concurrency;

namespace Perf.Examples;

/// <summary>One of many does the work; when it dies, the next one does.</summary>
internal static class LeaderElection
{
    private const int TimeToLiveSeconds = 5;

    public static async Task RunAsync(EtcdClient client, string name, CancellationToken ending)
    {
        while (!ending.IsCancellationRequested)
        {
            await using Session session = await Session.OpenAsync(client, TimeToLiveSeconds, ending);
            var election = new Election(session, "elections/report");
            using var over = CancellationTokenSource.CreateLinkedTokenSource(session.Lost, ending);
            try
            {
                await election.CampaignAsync(name, over.Token);
                Console.WriteLine($"{name} leads since revision {election.LeaderRevision}");
                for (int step = 1; ; step++)
                {
                    // The leader's work, written only while it leads: who was replaced without noticing is refused.
                    TxnResponse written = await client.Kv.Txn()
                        .If(Compare.CreateRevision(election.Key, CompareResult.Equal, election.LeaderRevision))
                        .Then(Op.Put("report/step", $"{name}: {step}"))
                        .CommitAsync(over.Token);
                    if (!written.Succeeded)
                    {
                        break;
                    }

                    await Task.Delay(TimeSpan.FromSeconds(1), over.Token);
                }
            }
            catch (OperationCanceledException) when (!ending.IsCancellationRequested)
            {
                Console.WriteLine($"{name} lost its session and stands again");
            }
        }
    }
}
