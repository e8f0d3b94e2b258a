namespace Perf.Cluster.Tests.Harness;

/// <summary>Our server, built in the same configuration as this test.</summary>
internal sealed class PerfProcess : EtcdProcess
{
    private PerfProcess(string dataDir, int port, string[] arguments, NetworkHost? host)
        : base("dotnet", [FindServer()], dataDir, port, arguments, host)
    {
    }

    /// <summary>Starts it and waits until it serves.</summary>
    public static PerfProcess Start(string dataDir, int port, params string[] arguments)
    {
        PerfProcess process = Launch(dataDir, port, arguments);
        try
        {
            process.WaitUntilHealthy();
            return process;
        }
        catch
        {
            process.Dispose();
            throw;
        }
    }

    /// <summary>Starts it and does not wait.</summary>
    public static PerfProcess Launch(string dataDir, int port, params string[] arguments) =>
        new(dataDir, port, arguments, host: null);

    /// <summary>Starts it on a host of its own and does not wait.</summary>
    public static PerfProcess LaunchOn(NetworkHost host, string dataDir, int port, params string[] arguments) =>
        new(dataDir, port, arguments, host);

    /// <summary>The server's own output folder; what the tests' folder has are copies without the web framework's settings.</summary>
    private static string FindServer()
    {
        var framework = new DirectoryInfo(AppContext.BaseDirectory.TrimEnd('/'));
        DirectoryInfo configuration = framework.Parent!;
        DirectoryInfo tests = configuration.Parent!.Parent!.Parent!;
        return Path.Combine(
            tests.Parent!.FullName, "server", "etcd", "bin", configuration.Name, framework.Name, "etcd.dll");
    }
}
