namespace Perf.Cluster.Tests.Harness;

/// <summary>The etcd that Debian installs.</summary>
internal sealed class RealEtcd : EtcdProcess
{
    public const string Program = "/usr/bin/etcd";

    private RealEtcd(string dataDir, int port, string[] arguments)
        : base(Program, ["--logger", "zap"], dataDir, port, arguments)
    {
    }

    /// <summary>Starts it and waits until it serves.</summary>
    public static RealEtcd Start(string dataDir, int port, params string[] arguments)
    {
        RealEtcd process = Launch(dataDir, port, arguments);
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
    public static RealEtcd Launch(string dataDir, int port, params string[] arguments) => new(dataDir, port, arguments);
}
