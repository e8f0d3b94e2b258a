using System.Collections;
using System.Runtime.Versioning;
using Perf.Etcd;
using Perf.Etcd.Proxies;

[assembly: SupportedOSPlatform("linux")]

var environment = new Dictionary<string, string>(StringComparer.Ordinal);
foreach (DictionaryEntry variable in Environment.GetEnvironmentVariables())
{
    environment[(string)variable.Key] = (string?)variable.Value ?? "";
}

return ProxyCommands.Owns(args)
    ? await ProxyCommands.RunAsync(args, environment)
    : await ServerProcess.RunAsync(args, environment);
