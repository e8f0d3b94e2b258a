using System.Collections;
using System.Runtime.InteropServices;
using Perf.Etcdctl;
using Perf.Etcdctl.CommandLine;
using Perf.Etcdctl.Text;

var environment = new Dictionary<string, string>(StringComparer.Ordinal);
foreach (DictionaryEntry entry in Environment.GetEnvironmentVariables())
{
    environment[(string)entry.Key] = (string?)entry.Value ?? "";
}

using var interrupted = new CancellationTokenSource();
var terminal = new Terminal(
    Console.OpenStandardInput(),
    Console.OpenStandardOutput(),
    Console.OpenStandardError(),
    environment,
    interrupted.Token)
{
    ErrorIsScreen = !Console.IsErrorRedirected,
    OutputIsScreen = !Console.IsOutputRedirected,
    MayAskTty = true,
    IsProcess = true,
};

// The first signal asks the command to end; one that cleans up may take its time, any other (it may hang in a read of
// standard input) has half a second. The second signal ends the process at once.
void Interrupt(PosixSignalContext context)
{
    context.Cancel = true;
    if (interrupted.IsCancellationRequested)
    {
        Environment.Exit(ExitCode.Interrupted);
    }

    interrupted.Cancel();
    if (!terminal.CleansUp)
    {
        _ = Task.Delay(500).ContinueWith(_ => Environment.Exit(ExitCode.Interrupted), TaskScheduler.Default);
    }
}

using PosixSignalRegistration onInterrupt = PosixSignalRegistration.Create(PosixSignal.SIGINT, Interrupt);
using PosixSignalRegistration onTerminate = PosixSignalRegistration.Create(PosixSignal.SIGTERM, Interrupt);
return await Ctl.RunAsync(Arguments(args), terminal).ConfigureAwait(false);

// Arguments are bytes; the runtime has decoded them as UTF-8. Where that lost something, the kernel still has them.
static IReadOnlyList<string> Arguments(string[] decoded)
{
    if (!Array.Exists(decoded, a => a.Contains('\ufffd', StringComparison.Ordinal)))
    {
        return decoded;
    }

    try
    {
        byte[] raw = File.ReadAllBytes("/proc/self/cmdline");
        var all = new List<string>();
        for (int at = 0; at < raw.Length;)
        {
            int length = raw.AsSpan(at).IndexOf((byte)0);
            length = length < 0 ? raw.Length - at : length;
            all.Add(GoText.FromBytes(raw.AsSpan(at, length)));
            at += length + 1;
        }

        return all.Count >= decoded.Length ? all[^decoded.Length..] : decoded;
    }
    catch (IOException)
    {
        return decoded;
    }
}
