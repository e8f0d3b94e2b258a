using System.Diagnostics;
using Xunit;

namespace Perf.Cluster.Tests.Harness;

/// <summary>
/// Needs strace and the right to trace. Skipped without; a missing strace is a failure under PERF_REQUIRE_INTEROP=1, a
/// container that forbids tracing is not.
/// </summary>
public sealed class SyncErrorTheoryAttribute : TheoryAttribute
{
    public SyncErrorTheoryAttribute() => Skip = SyncErrors.WhyNot();
}

/// <inheritdoc cref="SyncErrorTheoryAttribute"/>
public sealed class SyncErrorFactAttribute : FactAttribute
{
    public SyncErrorFactAttribute() => Skip = SyncErrors.WhyNot();
}

/// <summary>From now on the kernel answers EIO to a running server's fdatasync and fsync of the files named.</summary>
internal sealed class SyncErrors : IDisposable
{
    public const string Program = "/usr/bin/strace";

    private static readonly TimeSpan _patience = TimeSpan.FromSeconds(30);

    private readonly Process _process;

    /// <summary>What it says of the server's threads as they come and go; read so that it never waits.</summary>
    private readonly Task<string> _said;

    private SyncErrors(Process process, Task<string> said)
    {
        _process = process;
        _said = said;
    }

    /// <summary>Returns when every thread of the server is under it.</summary>
    public static SyncErrors Attach(EtcdProcess server, params string[] files)
    {
        var start = new ProcessStartInfo(Program) { RedirectStandardError = true };
        string[] arguments =
        [
            "--follow-forks", "--attach=" + server.Id, "--trace=fdatasync,fsync",
            "--inject=fdatasync,fsync:error=EIO", "--output=/dev/null",
            .. files.Select(f => "--trace-path=" + f),
        ];
        foreach (string argument in arguments)
        {
            start.ArgumentList.Add(argument);
        }

        Process process = Process.Start(start)!;
        string? said = process.StandardError.ReadLine();
        Assert.True(said?.Contains(" attached", StringComparison.Ordinal), said);
        return new SyncErrors(process, process.StandardError.ReadToEndAsync());
    }

    /// <summary>Why it does not work here; null when it does, or when that it does not has to be a failure.</summary>
    public static string? WhyNot()
    {
        if (!File.Exists(Program))
        {
            return InteropFactAttribute.IsRequired ? null : $"{Program} is not installed";
        }

        using Process tried = Process.Start(
            new ProcessStartInfo(Program, ["--output=/dev/null", "--trace=fsync", "true"]) { RedirectStandardError = true })!;
        tried.StandardError.ReadToEnd();
        tried.WaitForExit();
        return tried.ExitCode == 0 ? null : "tracing is not allowed here";
    }

    /// <summary>It ends with the server.</summary>
    public void Dispose()
    {
        if (!_process.WaitForExit(_patience))
        {
            _process.Kill();
        }

        _said.Wait(_patience);
        _process.Dispose();
    }
}
