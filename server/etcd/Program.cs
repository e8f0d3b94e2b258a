using Perf.Node;
using Perf.Node.Config;
using Perf.Node.Logging;
using Perf.Rpc;

var log = new Log(new StreamOutput(Console.OpenStandardError()), LogLevel.Info, TimeProvider.System);
await using EtcdNode node = EtcdNode.Start(new ServerConfig(), log, TimeProvider.System);
await node.Ready;
await using var clients = new ClientListener(node);
await clients.StartAsync();
await node.Ended;
return 0;
