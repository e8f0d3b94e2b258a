using System.Diagnostics;
using Xunit;

namespace Perf.Docs.Tests;

/// <summary>
/// Needs a network of its own, where the documents' ports and addresses are free: root, unshare and ip. Skipped without,
/// whatever PERF_REQUIRE_INTEROP says: a container may forbid it.
/// </summary>
public sealed class OwnNetworkTheoryAttribute : TheoryAttribute
{
    public OwnNetworkTheoryAttribute()
    {
        if (!Environment.IsPrivilegedProcess)
        {
            Skip = "only root may make a network namespace";
        }
        else if (!IsAllowed())
        {
            Skip = "no network namespace can be made here";
        }
    }

    private static bool IsAllowed()
    {
        using Process tried = Process.Start(
            new ProcessStartInfo("/bin/sh", ["-c", "unshare --net --pid --fork --kill-child --mount-proc ip link set lo up"])
            {
                RedirectStandardError = true,
            })!;
        tried.StandardError.ReadToEnd();
        tried.WaitForExit();
        return tried.ExitCode == 0;
    }
}
