using System.Runtime;
using Perf.Engine;
using Perf.Etcd.Bootstrap;
using Perf.Etcd.Proxies;
using Perf.Node;
using Perf.Node.Cluster;
using Perf.Node.Config;
using Perf.Node.Logging;
using Perf.Rpc;

namespace Perf.Etcd;

/// <summary>The server as a process: settings, log, data directory, the member, its client port, and how it ends.</summary>
internal static class ServerProcess
{
    private const int StoppedCode = 0;
    private const int RefusedCode = 1;
    private const int BrokenCode = 2;

    /// <summary>Runs until the member ends or a signal asks for it; the process's exit code.</summary>
    public static async Task<int> RunAsync(string[] arguments, IReadOnlyDictionary<string, string> environment)
    {
        ConfigReading reading = ConfigReader.Read(arguments, environment);
        Console.Out.Write(reading.Output);
        Console.Error.Write(reading.Complaint);
        if (reading is { ExitCode: { } code, Notes.Count: 0 })
        {
            return code;
        }

        Log log;
        try
        {
            log = LogOutputs.Open(reading.Config.Log, TimeProvider.System);
        }
        catch (ConfigException e)
        {
            log = LogOutputs.OpenDefault(TimeProvider.System);
            log.Warn("failed to verify flags", ("error", e));
            return RefusedCode;
        }

        log.Info("Running: ", ("args", new[] { "etcd" }.Concat(arguments)));
        foreach (ConfigNote note in reading.Notes)
        {
            note.WriteTo(log);
        }

        return reading.ExitCode ?? await ServeAsync(reading.Config, log, environment).ConfigureAwait(false);
    }

    private static async Task<int> ServeAsync(
        ServerConfig config, Log log, IReadOnlyDictionary<string, string> environment)
    {
        using var signals = new StopSignals(log);

        // One pool thread may sleep in the log's sync (a write that is alone): the processors still have theirs.
        ThreadPool.GetMinThreads(out int workers, out int ports);
        ThreadPool.SetMinThreads(workers + 1, ports);
        try
        {
            var directory = new DataDirectory(config, log);
            directory.Identify();
            if (directory.IsProxy || (!directory.IsInitialized && config.Proxy.Mode != "off"))
            {
                return await V2ProxyProcess.RunAsync(config, directory, log, environment, signals).ConfigureAwait(false);
            }

            directory.Prepare();
            if (!directory.IsInitialized)
            {
                await FindMembersAsync(config, log, environment, signals).ConfigureAwait(false);
            }

            StartLog.Write(config, directory.IsInitialized, log);
            using var background = new BackgroundThreads();

            // A collection of everything at once stops a busy member for 70 ms; beside its work it does not.
            GCSettings.LatencyMode = GCLatencyMode.SustainedLowLatency;
            await using EtcdNode node = EtcdNode.Start(config, log, TimeProvider.System);
            await using var clients = new ClientListener(node);
            Task first = await Task.WhenAny(node.Ready, node.Ended, signals.Stopped).ConfigureAwait(false);
            if (first == node.Ready)
            {
                await clients.StartAsync().ConfigureAwait(false);
                StartLog.WriteServing(config, node, log);
                SystemdNotice.Ready(environment, log);
                await Task.WhenAny(node.Ended, signals.Stopped).ConfigureAwait(false);
                EndIfBroken(node);
                StartLog.WriteClosing(config, log);
            }

            EndIfBroken(node);
        }
        catch (ClusterFullException e) when (config.Discovery.FallbackToProxy)
        {
            log.Warn("discovery cluster is full, falling back to proxy", ("fallback-proxy", "proxy"), ("error", e));
            return await FallBackAsync(config, e, log, environment, signals).ConfigureAwait(false);
        }
        catch (DiscoveryException e)
        {
            log.Fatal("failed to bootstrap by discovery", ("discovery-token", config.InitialClusterToken), ("error", e));
            return RefusedCode;
        }
        catch (OperationCanceledException) when (signals.Stopped.IsCompleted)
        {
            return StoppedCode;
        }
        catch (CorruptionException e)
        {
            log.Fatal("data is damaged", ("file", e.File), ("offset", e.Offset), ("reason", e.Reason));
            return RefusedCode;
        }
        catch (StartRefusedException e)
        {
            log.Fatal("failed to start etcd", ("error", e));
            return RefusedCode;
        }
        catch (Exception e) when (e is ConfigException or IOException or UnauthorizedAccessException)
        {
            log.Fatal("failed to start etcd", ("error", e));
            return RefusedCode;
        }
        catch (Exception e)
        {
            // Our own mistake: the process's boundary is where such a thing ends.
            log.Fatal("member failed", ("error", e.ToString()));
            return BrokenCode;
        }

        log.Info("closed etcd server", ("name", config.Name), ("data-dir", config.DataDir));
        return StoppedCode;
    }

    private static async Task FindMembersAsync(
        ServerConfig config, Log log, IReadOnlyDictionary<string, string> environment, StopSignals signals)
    {
        using var stopped = new CancellationTokenSource();
        _ = signals.Stopped.ContinueWith(
            _ => stopped.Cancel(), CancellationToken.None, TaskContinuationOptions.None, TaskScheduler.Default);
        await MemberDiscovery.FindAsync(config, log, environment, stopped.Token).ConfigureAwait(false);
    }

    /// <summary>The places are taken: what a member would have left behind goes, and a proxy begins.</summary>
    private static async Task<int> FallBackAsync(
        ServerConfig config,
        ClusterFullException full,
        Log log,
        IReadOnlyDictionary<string, string> environment,
        StopSignals signals)
    {
        Directory.Delete(config.MemberDir, recursive: true);
        config.InitialCluster = full.InitialCluster;
        config.Discovery.Url = "";
        return await V2ProxyProcess
            .RunAsync(config, new DataDirectory(config, log), log, environment, signals).ConfigureAwait(false);
    }

    /// <summary>
    /// A member that broke is not closed tidily: its state is in doubt, and what the disk holds is what recovery
    /// starts from. The reason has been logged by the node.
    /// </summary>
    private static void EndIfBroken(EtcdNode node)
    {
        if (node.Ended is { IsCompleted: true, Result: not null })
        {
            Environment.Exit(BrokenCode);
        }
    }
}
