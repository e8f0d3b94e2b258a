using Perf.Cluster.Tests.Harness;
using Perf.Grpc;

namespace Perf.Surface.Tests.Rules;

/// <summary>A server of our make with some flags, for one test.</summary>
internal sealed class Server : IAsyncDisposable
{
    private readonly TempDirectory _directory = new();

    public Server(params string[] flags)
    {
        Process = PerfProcess.Start(DataDirectory, FreePort.NextPair(), flags);
        Caller = new Caller(Process);
        Channel = new GrpcChannel(Process.Url);
    }

    public PerfProcess Process { get; }

    public Caller Caller { get; }

    public GrpcChannel Channel { get; }

    public string DataDirectory => _directory["data"];

    public async ValueTask DisposeAsync()
    {
        await Caller.DisposeAsync();
        await Channel.DisposeAsync();
        Process.Dispose();
        _directory.Dispose();
    }
}
