using Perf.Engine;
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
        try
        {
            var directory = new DataDirectory(config, log);
            directory.Prepare();
            StartLog.Write(config, directory.IsInitialized, log);
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
