using System.Diagnostics;
using System.Text;
using Xunit;

namespace Perf.Docs.Tests;

/// <summary>What the README tells its reader to type, typed.</summary>
public sealed class ReadmeTests
{
    private const string Interop = "interop";

    private static readonly TimeSpan Patience = TimeSpan.FromMinutes(4);

    /// <summary>Blocks by their headings; those that run for minutes have tests of their own.</summary>
    public static TheoryData<string> Headings =>
        new(CodeBlock.Of("README.md").Where(b => b.Kind != "publish").Select(b => b.Heading));

    [OwnNetworkTheory]
    [MemberData(nameof(Headings))]
    public async Task A_readers_commands_work(string heading)
    {
        CodeBlock block = CodeBlock.Of("README.md").Single(b => b.Heading == heading);
        if (block.Kind == Interop && !File.Exists("/usr/bin/etcd"))
        {
            Assert.NotEqual("1", Environment.GetEnvironmentVariable("PERF_REQUIRE_INTEROP"));
            return;
        }

        string scratch = Directory.CreateTempSubdirectory("perf-docs").FullName;
        try
        {
            (int code, string output, string log) = await RunAsync(block, scratch);
            Assert.True(code == 0, $"ended with {code} after\n{output}\n{log}");
            int at = 0;
            foreach (string printed in block.Printed)
            {
                int found = output.IndexOf(printed, at, StringComparison.Ordinal);
                Assert.True(found >= 0, $"'{printed}' is not printed, or not where it is said:\n{output}\n{log}");
                at = found;
            }
        }
        finally
        {
            Directory.Delete(scratch, recursive: true);
        }
    }

    [Fact]
    public void Both_languages_tell_the_same_commands()
    {
        List<CodeBlock> english = CodeBlock.Of("README.md");
        List<CodeBlock> chinese = CodeBlock.Of("README.zh.md");
        Assert.NotEmpty(english);
        Assert.Equal(english.Select(b => (b.Kind, b.Commands)), chinese.Select(b => (b.Kind, b.Commands)));
    }

    /// <summary>Processes that the block leaves running end with its namespace.</summary>
    private static async Task<(int Code, string Output, string Log)> RunAsync(CodeBlock block, string scratch)
    {
        Repository.WriteCommands(Path.Combine(scratch, "bin"));
        bool isAtRoot = block.Kind is "run" or "examples";
        var script = new StringBuilder("set -eu\nip link set lo up\n");
        script.Append("for i in 101 104 105; do ip address add 192.168.56.$i/32 dev lo; done\n");
        script.Append($"export PATH='{scratch}/bin':$PATH\n");
        if (isAtRoot)
        {
            script.Append($"export ETCD_DATA_DIR='{scratch}/data'\n");
        }

        script.Append(block.Kind == "run" ? RunAndAsk(block.Text) : block.Text);
        string file = Path.Combine(scratch, "script");
        await File.WriteAllTextAsync(file, script.ToString());
        var start = new ProcessStartInfo(
            "unshare", ["--net", "--pid", "--fork", "--kill-child", "--mount-proc", "bash", file])
        {
            WorkingDirectory = isAtRoot ? Repository.Root : scratch,
            RedirectStandardOutput = true,
            RedirectStandardError = true,
        };
        using Process process = Process.Start(start)!;
        Task<string> output = process.StandardOutput.ReadToEndAsync();
        Task<string> log = process.StandardError.ReadToEndAsync();
        using var patience = new CancellationTokenSource(Patience);
        try
        {
            await process.WaitForExitAsync(patience.Token);
        }
        catch (OperationCanceledException)
        {
            process.Kill(entireProcessTree: true);
            Assert.Fail($"{block.Heading}: not in time\n{await output}\n{await log}");
        }

        return (process.ExitCode, await output, await log);
    }

    /// <summary>A server that is started in the foreground is asked from beside it.</summary>
    private static string RunAndAsk(string text) =>
        $"{text.TrimEnd()} &\nuntil etcdctl endpoint health; do sleep 1; done\n";
}
