using Perf.Node;
using Perf.Node.Config;
using Perf.Node.Logging;

var log = new Log(new StreamOutput(Console.OpenStandardError()), LogLevel.Info, TimeProvider.System);
await using EtcdNode node = EtcdNode.Start(new ServerConfig(), log, TimeProvider.System);
await node.Ready;
return 0;
