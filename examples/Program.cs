using System.Runtime.InteropServices;
using Perf.Client;
using Perf.Examples;

// dotnet run -c Release --project examples -- config|register|discover|elect|lock [NAME]
// Against any etcd: ETCDCTL_ENDPOINTS names it, as for etcdctl. Ctrl-C ends each of them in good order.
string[] endpoints = (Environment.GetEnvironmentVariable("ETCDCTL_ENDPOINTS") ?? "http://127.0.0.1:2379").Split(',');
string name = args.Length > 1 ? args[1] : $"{Environment.MachineName}-{Environment.ProcessId}";
using var ending = new CancellationTokenSource();
using var interrupt = PosixSignalRegistration.Create(PosixSignal.SIGINT, End);
using var terminate = PosixSignalRegistration.Create(PosixSignal.SIGTERM, End);

await using EtcdClient client = await EtcdClient.ConnectAsync(
    new EtcdClientOptions { Endpoints = endpoints, Warn = Console.Error.WriteLine }, ending.Token);
try
{
    switch (args.FirstOrDefault())
    {
        case "config":
            await ConfigWatch.RunAsync(client, ending.Token);
            return 0;
        case "register":
            await ServiceRegistration.RegisterAsync(client, name, ending.Token);
            return 0;
        case "discover":
            await ServiceRegistration.DiscoverAsync(client, ending.Token);
            return 0;
        case "elect":
            await LeaderElection.RunAsync(client, name, ending.Token);
            return 0;
        case "lock":
            await FencedLock.RunAsync(client, name, ending.Token);
            return 0;
        default:
            Console.Error.WriteLine("usage: examples config|register|discover|elect|lock [NAME]");
            return 2;
    }
}
catch (OperationCanceledException) when (ending.IsCancellationRequested)
{
    return 0;
}

void End(PosixSignalContext signal)
{
    signal.Cancel = true;
    ending.Cancel();
}
