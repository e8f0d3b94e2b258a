using System.Collections;
using System.Runtime.Versioning;
using Perf.Etcd;

[assembly: SupportedOSPlatform("linux")]

var environment = new Dictionary<string, string>(StringComparer.Ordinal);
foreach (DictionaryEntry variable in Environment.GetEnvironmentVariables())
{
    environment[(string)variable.Key] = (string?)variable.Value ?? "";
}

return await ServerProcess.RunAsync(args, environment);
