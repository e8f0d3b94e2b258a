using System.Diagnostics;
using System.Net;
using System.Net.Sockets;
using System.Runtime.InteropServices;
using System.Runtime.Versioning;
using System.Text;
using System.Text.Json;
using Xunit;

namespace Perf.Node.Tests;

/// <summary>The real executable: what it prints, how it ends, what it leaves.</summary>
[SupportedOSPlatform("linux")]
public sealed class ServerProcessTests : IDisposable
{
    private const int Sigterm = 15;
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(60);

    private static int _lastPort = 31_420;

    private readonly string _directory = Directory.CreateTempSubdirectory("perf-process").FullName;
    private readonly List<Process> _processes = [];

    public void Dispose()
    {
        foreach (Process process in _processes)
        {
            if (!process.HasExited)
            {
                process.Kill();
                process.WaitForExit();
            }

            process.Dispose();
        }

        Directory.Delete(_directory, recursive: true);
    }

    [Fact]
    public async Task AFlagThatNobodyKnowsEndsWithTwo()
    {
        Run run = await RunAsync("--bogus");
        Assert.Equal(2, run.ExitCode);
        Assert.StartsWith("flag provided but not defined: -bogus\nUsage:", run.Error, StringComparison.Ordinal);
        Assert.Empty(run.Output);
    }

    [Fact]
    public async Task ASettingThatCannotBeEndsWithOneAndALine()
    {
        Run run = await RunAsync("--heartbeat-interval=500");
        Assert.Equal(1, run.ExitCode);
        using JsonDocument line = JsonDocument.Parse(run.Error.TrimEnd().Split('\n')[^1]);
        Assert.Equal("failed to verify flags", line.RootElement.GetProperty("msg").GetString());
        Assert.Equal(
            "--election-timeout[1000ms] should be at least as 5 times as --heartbeat-interval[500ms]",
            line.RootElement.GetProperty("error").GetString());
    }

    [Fact]
    public async Task VersionAndHelpGoToStdout()
    {
        Run version = await RunAsync("--version");
        Assert.Equal(0, version.ExitCode);
        Assert.StartsWith("etcd Version: 3.5.33\nGit SHA: ", version.Output, StringComparison.Ordinal);
        Run help = await RunAsync("-h");
        Assert.Equal(0, help.ExitCode);
        Assert.Contains("\n  --quota-backend-bytes '0'\n", help.Output, StringComparison.Ordinal);
    }

    [Fact]
    public async Task AMemberThatIsNotInItsClusterIsRefused()
    {
        Run run = await RunAsync([.. Member(out _), "--initial-cluster", "other=http://127.0.0.1:1"]);
        Assert.Equal(1, run.ExitCode);
        Assert.Contains(
            "couldn't find local name \\\"m\\\" in the initial cluster configuration", run.Error, StringComparison.Ordinal);
    }

    [Fact]
    public async Task AMemberServesTellsTheServiceManagerAndStopsWhenAsked()
    {
        string notify = Path.Combine(_directory, "notify");
        using var manager = new Socket(AddressFamily.Unix, SocketType.Dgram, ProtocolType.Unspecified);
        manager.Bind(new UnixDomainSocketEndPoint(notify));
        string log = Path.Combine(_directory, "etcd.log");
        string[] arguments = [.. Member(out int port), "--log-outputs", log];
        Process first = Start(arguments, ("NOTIFY_SOCKET", notify));
        byte[] datagram = new byte[64];
        using var patience = new CancellationTokenSource(Patience);
        int length = await manager.ReceiveAsync(datagram.AsMemory(), patience.Token);
        Assert.Equal("READY=1", Encoding.ASCII.GetString(datagram, 0, length));
        using (var client = new TcpClient())
        {
            await client.ConnectAsync(IPAddress.Loopback, port, patience.Token);
        }

        Run second = await RunAsync(arguments[..^2]);
        Assert.Equal(1, second.ExitCode);
        Assert.Contains("locked", second.Error, StringComparison.Ordinal);

        Assert.Equal(0, Kill(first.Id, Sigterm));
        await first.WaitForExitAsync(patience.Token);
        Assert.Equal(0, first.ExitCode);
        string text = await File.ReadAllTextAsync(log, patience.Token);
        foreach (string message in (string[])
        [
            "Running: ", "starting an etcd server", "published local member to cluster through raft",
            "ready to serve client requests", "serving client traffic insecurely; this is strongly discouraged!",
            "now serving peer/client/metrics", "received signal; shutting down", "closing etcd server", "closed etcd server",
        ])
        {
            Assert.Contains($"\"msg\":\"{message}\"", text, StringComparison.Ordinal);
        }

        await DamageIsToldAndRefused(arguments[..^2]);
    }

    [Fact]
    public async Task AMemberThatIsNotReadyYetStopsWhenAskedToo()
    {
        string log = Path.Combine(_directory, "etcd.log");
        string[] arguments = Member(out _);
        Process process = Start(
            [.. arguments, "--log-outputs", log, "--initial-cluster", $"m={arguments[^1]},other=http://127.0.0.1:1"]);
        using var patience = new CancellationTokenSource(Patience);
        while (!File.Exists(log) || !(await File.ReadAllTextAsync(log, patience.Token)).Contains("serving peer traffic", StringComparison.Ordinal))
        {
            await Task.Delay(20, patience.Token);
        }

        Assert.Equal(0, Kill(process.Id, Sigterm));
        await process.WaitForExitAsync(patience.Token);
        Assert.Equal(0, process.ExitCode);
    }

    [Fact]
    public async Task AnAddressThatIsTakenIsRefused()
    {
        string[] arguments = Member(out int port);
        using var other = new TcpListener(IPAddress.Loopback, port);
        other.Start();
        Run run = await RunAsync(arguments);
        Assert.Equal(1, run.ExitCode);
        Assert.Contains("\"level\":\"fatal\"", run.Error, StringComparison.Ordinal);
    }

    [Fact]
    public async Task AnOpenDataDirectoryIsWarnedOf()
    {
        string data = Path.Combine(_directory, "data");
        Directory.CreateDirectory(data);
        File.SetUnixFileMode(data, (UnixFileMode)0b111_101_101);
        Directory.CreateDirectory(Path.Combine(data, "proxy"));
        Directory.CreateDirectory(Path.Combine(data, "member"));
        Run run = await RunAsync(Member(out _));
        Assert.Equal(1, run.ExitCode);
        Assert.Contains("both member and proxy directories exist", run.Error, StringComparison.Ordinal);
        Directory.Delete(Path.Combine(data, "proxy"));
        run = await RunAsync([.. Member(out _), "--initial-cluster", "other=http://127.0.0.1:1"]);
        Assert.Contains(
            "exist, but the permission is \\\"drwxr-xr-x\\\". The recommended permission is \\\"drwx------\\\"",
            run.Error,
            StringComparison.Ordinal);
    }

    private async Task DamageIsToldAndRefused(string[] arguments)
    {
        string wal = Path.Combine(_directory, "data", "member", "wal", "0000000000000000-0000000000000000.wal");
        using (FileStream file = File.Open(wal, FileMode.Open))
        {
            file.Position = 100;
            file.Write("damage"u8);
        }

        Run run = await RunAsync(arguments);
        Assert.Equal(1, run.ExitCode);
        using JsonDocument line = JsonDocument.Parse(run.Error.TrimEnd().Split('\n')[^1]);
        Assert.Equal("fatal", line.RootElement.GetProperty("level").GetString());
        Assert.Equal(wal, line.RootElement.GetProperty("file").GetString());
        Assert.True(line.RootElement.GetProperty("offset").GetInt64() > 0);
        Assert.NotEmpty(line.RootElement.GetProperty("reason").GetString()!);
    }

    private string[] Member(out int clientPort)
    {
        clientPort = Interlocked.Increment(ref _lastPort);
        int peerPort = Interlocked.Increment(ref _lastPort);
        return
        [
            "--name", "m",
            "--data-dir", Path.Combine(_directory, "data"),
            "--listen-client-urls", $"http://127.0.0.1:{clientPort}",
            "--advertise-client-urls", $"http://127.0.0.1:{clientPort}",
            "--listen-peer-urls", $"http://127.0.0.1:{peerPort}",
            "--initial-advertise-peer-urls", $"http://127.0.0.1:{peerPort}",
        ];
    }

    private async Task<Run> RunAsync(params string[] arguments)
    {
        Process process = Start(arguments);
        Task<string> output = process.StandardOutput.ReadToEndAsync();
        Task<string> error = process.StandardError.ReadToEndAsync();
        using var patience = new CancellationTokenSource(Patience);
        await process.WaitForExitAsync(patience.Token);
        return new Run(process.ExitCode, await output, await error);
    }

    private Process Start(string[] arguments, params (string Name, string Value)[] variables)
    {
        var start = new ProcessStartInfo(Executable())
        {
            RedirectStandardOutput = true,
            RedirectStandardError = true,
            WorkingDirectory = _directory,
        };
        foreach (string argument in arguments)
        {
            start.ArgumentList.Add(argument);
        }

        foreach ((string name, string value) in variables)
        {
            start.Environment[name] = value;
        }

        Process process = Process.Start(start)!;
        _processes.Add(process);
        return process;
    }

    /// <summary>The server beside these tests, of the same build.</summary>
    private static string Executable()
    {
        var here = new DirectoryInfo(AppContext.BaseDirectory);
        DirectoryInfo root = here;
        while (!File.Exists(Path.Combine(root.FullName, "Perf.sln")))
        {
            root = root.Parent!;
        }

        return Path.Combine(root.FullName, "server", "etcd", "bin", here.Parent!.Name, here.Name, "etcd");
    }

    [DllImport("libc", EntryPoint = "kill")]
    private static extern int Kill(int processId, int signal);

    private sealed record Run(int ExitCode, string Output, string Error);
}
