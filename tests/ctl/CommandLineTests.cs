using Perf.Client;
using Perf.Client.Tests;
using Perf.Etcdctl.CommandLine;
using Perf.Etcdctl.Commands;
using Xunit;

namespace Perf.Ctl.Tests;

/// <summary>What is decided before anything is sent; none of these needs a server.</summary>
public sealed class CommandLineTests
{
    [Theory]
    [InlineData("compact", "compaction")]
    [InlineData("mem list", "list")]
    [InlineData("-w json end st", "status")]
    [InlineData("--endpoints a,b lease grant 5", "grant")]
    [InlineData("get put", "get")]
    public void Commands_are_found_by_their_beginning(string line, string name) =>
        Assert.Equal(name, CommandTree.New().Find([.. line.Split(' ')]).Found.Name);

    [Theory]
    [InlineData("e x", "unknown command \"e\" for \"etcdctl\"")]
    [InlineData("bogus", "unknown command \"bogus\" for \"etcdctl\"")]
    public async Task An_ambiguous_or_unknown_command_is_refused(string line, string message)
    {
        Outcome outcome = await Console.RunAsync(line.Split(' '));
        Assert.Equal(ExitCode.Error, outcome.Code);
        Assert.Contains(message, outcome.Error, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("get a --bogus", 1, "unknown flag: --bogus")]
    [InlineData("get a -x", 1, "unknown shorthand flag: 'x' in -x")]
    [InlineData("get a --limit", 1, "flag needs an argument: --limit")]
    [InlineData("get a -w", 1, "flag needs an argument: 'w' in -w")]
    [InlineData("get a --limit x", 1,
        "invalid argument \"x\" for \"--limit\" flag: strconv.ParseInt: parsing \"x\": invalid syntax")]
    [InlineData("get a --hex=x", 1,
        "invalid argument \"x\" for \"--hex\" flag: strconv.ParseBool: parsing \"x\": invalid syntax")]
    [InlineData("get a --dial-timeout 5", 1,
        "invalid argument \"5\" for \"--dial-timeout\" flag: time: missing unit in duration \"5\"")]
    [InlineData("get a -w bogus", 4, "unsupported output format")]
    [InlineData("put a b -w table", 4, "table not supported as output format")]
    [InlineData("user list -w fields", 4, "fields not supported as output format")]
    [InlineData("endpoint status -w protobuf", 4, "protobuf not supported as output format")]
    [InlineData("get a --count-only", 128, "--count-only is only for `--write-out=fields`")]
    [InlineData("get a --count-only --keys-only", 128,
        "`--keys-only` and `--count-only` cannot be set at the same time, choose one")]
    [InlineData("get a --cert=", 128, "empty string is passed to --cert option")]
    [InlineData("get a --cert /nonexistent --key /nonexistent", 128,
        "open /nonexistent: no such file or directory")]
    [InlineData("get a --cert /nonexistent", 128,
        "KeyFile and CertFile must both be present[key: , cert: /nonexistent]")]
    [InlineData("member add m --peer-urls=http://h", 1,
        "URL address does not have the form \"host:port\": http://h")]
    [InlineData("user add u:", 1, "context deadline exceeded")]
    public async Task A_bad_line_ends_with_its_code_and_text(string line, int code, string message)
    {
        // Nobody's port: a server's is followed by its peers', which etcd answers clients on as well.
        string[] words = ["--endpoints", "127.0.0.1:31298", "--command-timeout", "200ms", .. line.Split(' ')];
        Outcome outcome = await Console.RunAsync(words);
        Assert.Equal((code, "Error: " + message), (outcome.Code, outcome.LastError));
    }

    [Fact]
    public async Task Variables_stand_in_for_flags_but_not_beside_them()
    {
        var variables = new Dictionary<string, string> { ["ETCDCTL_WRITE_OUT"] = "bogus", ["ETCDCTL_X"] = "1" };
        Outcome used = await Console.RunAsync(["get", "a"], environment: variables);
        Assert.Equal((ExitCode.BadFeature, "Error: unsupported output format"), (used.Code, used.LastError));
        Assert.Contains("unrecognized environment variable", used.Error, StringComparison.Ordinal);
        Outcome both = await Console.RunAsync(["get", "a", "-w", "json"], environment: variables);
        Assert.Equal(ExitCode.Error, both.Code);
        Assert.Contains("conflicting environment variable", both.LastError, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("4", "unsupported API version: 4")]
    [InlineData("1", "unsupported API version: 1")]
    public async Task Only_the_APIs_2_and_3_are_spoken(string version, string message)
    {
        Outcome outcome = await Console.RunAsync(
            ["version"], environment: new Dictionary<string, string> { ["ETCDCTL_API"] = version });
        Assert.Equal((ExitCode.Error, message), (outcome.Code, outcome.LastError));
    }

    [Theory]
    [InlineData("""put foo "two words" 'as it is' plain""", new[] { "put", "foo", "two words", "as it is", "plain" })]
    [InlineData("""del "a\tb\x00" """, new[] { "del", "a\tb\0" })]
    [InlineData("   ", new string[0])]
    public void Lines_of_a_transaction_are_split_into_words(string line, string[] words) =>
        Assert.Equal(words, TxnCommand.Words(line));

    [Theory]
    [InlineData("mod(\"k\") > \"0\"")]
    [InlineData("ver(\"k\")  !=  \"3\"")]
    [InlineData("value(`k`) < \"x\\ty\"")]
    [InlineData("lease(\"k\") = \"1234abcd\"")]
    public void Comparisons_are_read(string line) => Assert.NotNull(TxnCommand.ParseCompare(line));

    [Theory]
    [InlineData("bad", "malformed comparison: bad")]
    [InlineData("mod(k) > \"0\"", "malformed comparison: mod(k) > \"0\"; got mod(\"\")  \"\"")]
    [InlineData("mod(\"k\") > 0", "malformed comparison: mod(\"k\") > 0; got mod(\"k\") > \"\"")]
    [InlineData("mod(\"k\") > \"x\"", "invalid txn compare request: mod(\"k\") > \"x\"")]
    [InlineData("lease(\"k\") = \"zz\"", "invalid txn compare request: lease(\"k\") = \"zz\"")]
    [InlineData("x(\"k\") = \"1\"", "malformed comparison: x(\"k\") = \"1\" (unknown target x)")]
    [InlineData("mod(\"k\") ~ \"1\"", "malformed comparison: mod(\"k\") ~ \"1\" (unknown operator ~)")]
    public void Bad_comparisons_are_refused_without_a_panic(string line, string message)
    {
        ExitException e = Assert.Throws<ExitException>(() => TxnCommand.ParseCompare(line));
        Assert.Equal((ExitCode.InvalidInput, message), (e.Code, e.Message));
    }

    [Theory]
    [InlineData("foo", "foo", "", "", "foo", "")]
    [InlineData("foo bar -- echo hi", "foo bar echo hi", "", "", "foo bar", "echo hi")]
    [InlineData("--rev 1 foo -- echo --x", "foo echo --x", "", "", "foo", "echo --x")]
    [InlineData("-- echo hi", "echo hi", "key", "", "key", "echo hi")]
    [InlineData("", "", "key", "end", "key end", "")]
    public void A_watch_is_split_from_its_command(
        string raw, string args, string key, string end, string watch, string exec)
    {
        (List<string> request, List<string> command) = WatchCommand.Split(Words(raw), Words(args), key, end);
        Assert.Equal((watch, exec), (string.Join(' ', request), string.Join(' ', command)));
    }

    [Theory]
    [InlineData("foo --", "foo", "", "bad number of arguments (found separator --, but no commands)")]
    [InlineData("", "", "", "bad number of arguments")]
    [InlineData("foo", "foo", "key", "bad number of arguments (found conflicting environment key)")]
    public void A_watch_that_makes_no_sense_is_refused(string raw, string args, string key, string message) =>
        Assert.Equal(message, Assert.Throws<ExitException>(
            () => WatchCommand.Split(Words(raw), Words(args), key, "")).Message);

    [Fact]
    public async Task Completion_offers_commands_and_flags()
    {
        Outcome commands = await Console.RunAsync(["__complete", "lease", "k"]);
        Assert.Equal("keep-alive\tKeeps leases alive (renew)\n", commands.Output);
        Outcome flags = await Console.RunAsync(["__complete", "put", "--pr"]);
        Assert.StartsWith("--prev-kv\t", flags.Output, StringComparison.Ordinal);
        Assert.Contains("complete", (await Console.RunAsync(["completion", "bash"])).Output, StringComparison.Ordinal);
    }

    [InteropFact]
    public async Task Interactive_forms_and_comforts_work_against_a_server()
    {
        using var etcd = new EtcdProcess(31290);
        var variables = new Dictionary<string, string> { ["ETCDCTL_ENDPOINTS"] = etcd.Endpoint };
        Task<Outcome> Run(string line, string input = "") =>
            Console.RunAsync(line.Split(' ').Select(w => w.Replace('\t', ' ')).ToArray(), input, variables);

        await Run("put /a/b one");
        await Run("put /a/c two");
        await Run("put /d", "three");
        Assert.Equal(
            """
            .
            |-- /a/
            |   |-- b
            |   `-- c
            `-- /d

            """,
            (await Run("tree")).Output);
        Assert.Equal(
            """
                     2      14 B  /a/
                     1       7 B  /d
                     3      21 B  total

            """,
            (await Run("du")).Output);
        Assert.Equal("2 (dry run, nothing deleted)\n/a/b\n/a/c\n", (await Run("del --prefix /a --dry-run")).Output);
        Assert.Equal(
            "{\"key\":\"/a/b\",\"create_revision\":2,\"mod_revision\":2,\"version\":1,\"value\":\"one\"}\n",
            (await Run("get /a/b -w jsonl --decode")).Output);
        Assert.EndsWith(
            "\"Count\" : 3\n", (await Run("get / --prefix --count-only -w fields")).Output, StringComparison.Ordinal);

        Outcome script = await Run("watch /d --rev 2 -- sh -c exit\t3");
        Assert.Equal(ExitCode.Error, script.Code);
        Assert.EndsWith("error (exit status 3)", script.LastError, StringComparison.Ordinal);
        Assert.Equal("PUT\n/d\nthree\n", script.Output);

        Outcome held = await Run("lock name -- sh -c echo\t$ETCD_LOCK_KEY");
        Assert.Matches("^name/[0-9a-f]+\n$", held.Output);
        Outcome failed = await Run("lock name -- sh -c exit\t7");
        Assert.Equal((7, "Error: exit status 7"), (failed.Code, failed.LastError));

        Outcome compacted = await Run("compaction 4");
        Assert.Equal("compacted revision 4\n", compacted.Output);
        Outcome gone = await Run("watch /d --rev 2");
        Assert.Equal(
            (ExitCode.Interrupted, "Error: watch is canceled by the server"), (gone.Code, gone.LastError));
        Assert.Contains(
            $"watch was canceled ({EtcdErrors.Compacted})", gone.Error, StringComparison.Ordinal);

        string file = etcd.TemporaryFile("snapshot.db");
        Outcome saved = await Run("snapshot save " + file);
        Assert.Equal((0, $"Snapshot saved at {file}\n"), (saved.Code, saved.Output));
        Assert.Equal(32, new FileInfo(file).Length % 512);
        Assert.False(File.Exists(file + ".part"));
    }

    [InteropFact]
    public async Task A_mirror_copies_and_follows_and_an_elected_leader_holds_until_interrupted()
    {
        using var source = new EtcdProcess(31292);
        using var target = new EtcdProcess(31294);
        var variables = new Dictionary<string, string> { ["ETCDCTL_ENDPOINTS"] = source.Endpoint };
        await Console.RunAsync(["put", "m/1", "one"], environment: variables);
        await Console.RunAsync(["put", "other", "x"], environment: variables);
        using var stop = new CancellationTokenSource();
        Task<Outcome> mirror = Console.RunAsync(
            ["make-mirror", target.Endpoint, "--prefix", "m/", "--dest-prefix", "copy/"], "", variables, stop.Token);
        using var written = new MemoryStream();
        Task<Outcome> elect = Console.RunAsync(["elect", "e", "me"], "", variables, stop.Token, written);
        await Console.RunAsync(["put", "m/2", "two"], environment: variables);
        string[] look = ["--endpoints", target.Endpoint, "get", "", "--prefix"];
        string copied = "";
        for (int i = 0; i < 1200 && copied != "copy/1\none\ncopy/2\ntwo\n"; i++)
        {
            await Task.Delay(50);
            copied = (await Console.RunAsync(look)).Output;
        }

        Assert.Equal("copy/1\none\ncopy/2\ntwo\n", copied);
        for (int i = 0; i < 1200 && written.Length == 0; i++)
        {
            await Task.Delay(50);
        }

        await stop.CancelAsync();
        await mirror;
        Assert.Equal(ExitCode.Success, (await elect).Code);
        Assert.Matches("^e/[0-9a-f]+\nme\n$", System.Text.Encoding.UTF8.GetString(written.ToArray()));
        Assert.Equal("", (await Console.RunAsync(["get", "e/", "--prefix"], environment: variables)).Output);
    }

    private static List<string> Words(string line) =>
        [.. line.Split(' ', StringSplitOptions.RemoveEmptyEntries)];
}
