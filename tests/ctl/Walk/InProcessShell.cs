using Perf.Etcdctl.CommandLine;

namespace Perf.Ctl.Tests;

/// <summary>Our etcdctl inside the test process.</summary>
internal sealed class InProcessShell(string endpoint) : Shell
{
    private readonly Dictionary<string, string> _environment = new()
    {
        ["ETCDCTL_API"] = "3",
        ["ETCDCTL_ENDPOINTS"] = endpoint,
    };

    protected internal override Task<int> StartAsync(
        IReadOnlyList<string> words, Stream input, Stream output, Stream errors, CancellationToken interrupted) =>
        Etcdctl.Ctl.RunAsync(words, new Terminal(input, output, errors, _environment, interrupted));
}
