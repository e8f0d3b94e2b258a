using Perf.Cluster.Tests.Harness;
using Xunit;

namespace Perf.Surface.Tests.Stacks;

/// <summary>
/// The gRPC stacks that are not Go's and not ours: each puts, gets, compares, watches through a restart of the server, keeps
/// a lease alive, locks and elects. Go's is Debian's etcdctl, in the cluster tests.
/// </summary>
[Collection(OtherStacks.Name)]
public sealed class StackTests
{
    private const string Python = "/usr/bin/python3";
    private const string Protoc = "protoc";
    private const string PythonGrpc = "/usr/lib/python3/dist-packages/grpc";
    private const string NodePackage = "etcd3@1.1.2";

    [ProgramsFact("python", Python, Protoc, PythonGrpc)]
    public void C_core_from_python_with_our_protos_has_all_it_needs()
    {
        using var directory = new TempDirectory();
        string messages = Directory.CreateDirectory(directory["messages"]).FullName;
        string protos = Path.Combine(Sources.Root, "server", "contracts");
        string[] packages = ["authpb", "etcdserverpb", "membershippb", "mvccpb", "v3electionpb", "v3lockpb"];
        string[] files = [.. packages.SelectMany(p => Directory.GetFiles(Path.Combine(protos, p), "*.proto"))];
        Script.Run(Protoc, ["-I", protos, "--python_out", messages, .. files]);
        Play(directory, server => new Script(Python, Sources.Script("python_stack.py"), server.Endpoint, messages));
    }

    [ProgramsFact("node", "node", "npm")]
    public void Grpc_js_in_the_npm_package_etcd3_has_all_it_needs()
    {
        using var directory = new TempDirectory();
        string folder = Directory.CreateDirectory(directory["npm"]).FullName;
        Script.Run(
            "npm", "install", "--prefix", folder, "--no-audit", "--no-fund", "--fetch-retries", "5", NodePackage);
        Play(directory, server => new Script("node", Sources.Script("node_stack.js"), server.Endpoint, folder));
    }

    private static void Play(TempDirectory directory, Func<EtcdProcess, Script> start)
    {
        int port = FreePort.NextPair();
        PerfProcess server = PerfProcess.Start(directory["data"], port);
        try
        {
            using Script script = start(server);
            script.Expect("done put-get");
            script.Expect("done txn");
            script.Expect("done watch");
            script.Expect("restart");
            server.Kill();
            server.Dispose();
            server = PerfProcess.Start(directory["data"], port);
            script.Send("go on");
            script.Expect("done watch-resumed");
            script.Expect("done lease");
            script.Expect("done lock");
            script.Expect("done election");
            script.MustEnd();
        }
        finally
        {
            server.Dispose();
        }
    }
}
