using Perf.Etcdctl.CommandLine;
using Perf.Etcdctl.Text;

namespace Perf.Ctl.Tests;

/// <summary>Runs our etcdctl inside the test process.</summary>
internal static class Console
{
    public static async Task<Outcome> RunAsync(
        IReadOnlyList<string> arguments,
        string input = "",
        IReadOnlyDictionary<string, string>? environment = null,
        CancellationToken interrupted = default,
        Stream? output = null)
    {
        using var written = new MemoryStream();
        using var errors = new MemoryStream();
        var terminal = new Terminal(
            new MemoryStream(GoText.ToBytes(input)),
            output ?? written,
            errors,
            environment ?? new Dictionary<string, string>(),
            interrupted);
        int code = await Etcdctl.Ctl.RunAsync(arguments, terminal);
        return new Outcome(GoText.FromBytes(written.ToArray()), GoText.FromBytes(errors.ToArray()), code);
    }
}
