using System.Net;
using System.Net.Sockets;

namespace Perf.Cluster.Tests.Harness;

/// <summary>Ports below those that the system gives to clients, for tests with many servers.</summary>
internal static class FreePort
{
    private const int Min = 25000;
    private const int Max = 28000;

    // Another run of these tests may be under way beside this one.
    private static int s_next = Environment.ProcessId * 37;

    /// <summary>An even port that nobody listens on, nor on the one above it, on any address.</summary>
    public static int NextPair()
    {
        while (true)
        {
            int port = Min + (2 * (int)((uint)Interlocked.Increment(ref s_next) % ((Max - Min) / 2)));
            if (IsFree(port) && IsFree(port + 1))
            {
                return port;
            }
        }
    }

    private static bool IsFree(int port)
    {
        using var probe = new TcpListener(IPAddress.Any, port);
        try
        {
            probe.Start();
            return true;
        }
        catch (SocketException)
        {
            return false;
        }
    }
}
