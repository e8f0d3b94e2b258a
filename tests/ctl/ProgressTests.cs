using Perf.Client.Tests;
using Perf.Ctl.Tests.Etcdutl;
using Xunit;

namespace Perf.Ctl.Tests;

/// <summary>Long works tell a person how far they are, and nobody else.</summary>
public sealed class ProgressTests
{
    private const string ClearLine = "\r\x1b[K";
    private const int Port = 31860;

    [Fact]
    public async Task Saving_and_restoring_a_snapshot_shows_a_line_that_goes_away_on_a_screen_only()
    {
        using EtcdProcess etcd = EtcdProcess.StartPerf(Port);
        using var scratch = new Scratch();
        string saved = scratch["saved.db"];
        using (var screen = Screen.Open("etcdctl", "--endpoints", etcd.Endpoint, "snapshot", "save", saved))
        {
            Assert.Equal(0, await screen.EndAsync());
            Assert.Contains(ClearLine + "about ", screen.Seen);
            Assert.Contains(" to fetch", screen.Seen);
            AssertCleared(screen.Seen, "Snapshot saved at ");
        }

        using (var screen = Screen.Open("etcdutl", "snapshot", "restore", saved, "--data-dir", scratch["a"]))
        {
            Assert.Equal(0, await screen.EndAsync());
            Assert.Contains(" MB checked", screen.Seen);
            Assert.Contains(ClearLine + "verifying pages" + ClearLine, screen.Seen);
            AssertCleared(screen.Seen, "restored snapshot");
        }

        using (var piped = Screen.Piped("etcdctl", "--endpoints", etcd.Endpoint, "snapshot", "save", scratch["again.db"]))
        {
            Assert.Equal(0, await piped.EndAsync());
            Assert.DoesNotContain('\r', piped.Seen);
        }

        using (var piped = Screen.Piped("etcdutl", "snapshot", "restore", saved, "--data-dir", scratch["b"]))
        {
            Assert.Equal(0, await piped.EndAsync());
            Assert.DoesNotContain('\r', piped.Seen);
            Assert.DoesNotContain("MB", piped.Seen);
        }
    }

    [Fact]
    public async Task Make_mirror_counts_the_keys_on_a_screen_only()
    {
        using EtcdProcess source = EtcdProcess.StartPerf(Port + 4);
        using EtcdProcess target = EtcdProcess.StartPerf(Port + 6);
        string[] arguments = ["--endpoints", source.Endpoint, "make-mirror", target.Endpoint];
        using var screen = Screen.Open("etcdctl", arguments);
        using var piped = Screen.Piped("etcdctl", arguments);
        await screen.ExpectAsync(ClearLine + "0 keys copied");
        await Console.RunAsync(["--endpoints", source.Endpoint, "put", "a", "1"]);
        await screen.ExpectAsync(ClearLine + "1 keys copied");
        await screen.InterruptAsync();
        await screen.EndAsync();
        Assert.EndsWith(ClearLine, screen.Seen.Replace("\r\n", "\n", StringComparison.Ordinal).Split("Error:")[0]);
        Assert.DoesNotContain("keys copied", piped.Seen);
        Assert.DoesNotContain('\r', piped.Seen);
    }

    [Fact]
    public async Task Check_perf_draws_a_bar_on_a_screen_only_and_takes_its_keys_away_when_interrupted()
    {
        using EtcdProcess etcd = EtcdProcess.StartPerf(Port + 8);
        using (var screen = Screen.Open("etcdctl", "--endpoints", etcd.Endpoint, "check", "perf"))
        {
            await screen.ExpectAsync("\r 1 / 60 B");
            Assert.NotEqual("", await KeysAsync(etcd));
            await screen.InterruptAsync();
            Assert.Equal(5, await screen.EndAsync());
            Assert.DoesNotContain("PASS", screen.Seen);
        }

        Assert.Equal("", await KeysAsync(etcd));
    }

    private static async Task<string> KeysAsync(EtcdProcess etcd) =>
        (await Console.RunAsync(["--endpoints", etcd.Endpoint, "get", "/etcdctl-check-perf/", "--prefix", "--keys-only"])).Output;

    /// <summary>The progress is gone when the command says that it is done.</summary>
    private static void AssertCleared(string seen, string last)
    {
        string before = seen[..seen.LastIndexOf(last, StringComparison.Ordinal)];
        string behind = before[before.LastIndexOf(ClearLine, StringComparison.Ordinal)..];
        Assert.DoesNotContain(" MB ", behind);
        Assert.DoesNotContain(" to fetch", behind);
        Assert.DoesNotContain("founding", behind);
    }
}
