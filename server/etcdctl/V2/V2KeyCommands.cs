using System.Globalization;
using Perf.Etcdctl.CommandLine;
using Perf.Etcdctl.Commands;
using Perf.Etcdctl.Text;

namespace Perf.Etcdctl.V2;

/// <summary>The commands on the tree of keys.</summary>
internal sealed class V2KeyCommands(V2Run run)
{
    private string Output => run.Global.Text("output", "") is { Length: > 0 } given ? given : "simple";

    public async Task GetAsync()
    {
        V2Answer answer = await ReadAsync(run.Words[0], recursive: false).ConfigureAwait(false);
        if (answer.Node.Dir)
        {
            throw new ExitException(ExitCode.Error, $"{answer.Node.Key}: is a directory");
        }

        Print(answer);
    }

    public async Task ListAsync()
    {
        V2Answer answer = await ReadAsync(run.Words.Count > 0 ? run.Words[0] : "/", run.Flags.On("recursive")).ConfigureAwait(false);
        if (Output != "simple")
        {
            Print(answer);
            return;
        }

        if (!answer.Node.Dir)
        {
            run.Terminal.WriteLine(answer.Node.Key);
        }

        foreach (V2Node node in answer.Node.Nodes ?? [])
        {
            PrintTree(node);
        }
    }

    public async Task MakeAsync()
    {
        string value = await ValueAsync().ConfigureAwait(false);
        Print(run.Flags.On("in-order")
            ? await SendAsync(HttpMethod.Post, [], [("value", value), .. TimeToLive()]).ConfigureAwait(false)
            : await SendAsync(HttpMethod.Put, [("prevExist", "false")], [("value", value), .. TimeToLive()])
                .ConfigureAwait(false));
    }

    public async Task SetAsync(string prevExist)
    {
        string value = await ValueAsync().ConfigureAwait(false);
        Print(await SendAsync(
            HttpMethod.Put,
            [
                .. Given("prevValue", run.Flags.Text("swap-with-value", "")),
                .. Given("prevIndex", Positive("swap-with-index")),
                .. Given("prevExist", prevExist),
            ],
            [("value", value), .. TimeToLive()]).ConfigureAwait(false));
    }

    public async Task DirectoryAsync(string prevExist)
    {
        V2Answer answer = await SendAsync(
            HttpMethod.Put, [("dir", "true"), .. Given("prevExist", prevExist)], [.. TimeToLive()]).ConfigureAwait(false);
        if (Output != "simple")
        {
            Print(answer);
        }
    }

    public async Task RemoveAsync()
    {
        V2Answer answer = await SendAsync(
            HttpMethod.Delete,
            [
                .. Given("prevValue", run.Flags.Text("with-value", "")),
                .. Given("prevIndex", Positive("with-index")),
                .. Given("dir", run.Flags.On("dir") ? "true" : ""),
                .. Given("recursive", run.Flags.On("recursive") ? "true" : ""),
            ],
            null).ConfigureAwait(false);
        PrintRemoved(answer);
    }

    public async Task RemoveDirectoryAsync() =>
        PrintRemoved(await SendAsync(HttpMethod.Delete, [("dir", "true")], null).ConfigureAwait(false));

    public Task WatchAsync() => EachChangeAsync(run.Words[0], answer =>
    {
        if (run.Flags.On("recursive"))
        {
            run.Terminal.WriteLine($"[{answer.Action}] {answer.Node.Key}");
        }

        Print(answer);
        run.Terminal.Flush();
        return Task.FromResult(run.Flags.On("forever"));
    });

    public async Task ExecWatchAsync()
    {
        if (run.Words.Count < 2)
        {
            throw new ExitException(ExitCode.BadArguments, "key and command to exec required");
        }

        await EachChangeAsync(run.Words[0], async answer =>
        {
            await Programs.RunAsync(run.Terminal, [.. run.Words.Skip(1)], new Dictionary<string, string>
            {
                ["ETCD_WATCH_ACTION"] = answer.Action,
                ["ETCD_WATCH_MODIFIED_INDEX"] = answer.Node.Modified.ToString(CultureInfo.InvariantCulture),
                ["ETCD_WATCH_KEY"] = answer.Node.Key,
                ["ETCD_WATCH_VALUE"] = answer.Node.Value,
            }).ConfigureAwait(false);
            return true;
        }).ConfigureAwait(false);
    }

    private static IEnumerable<(string Name, string Value)> Given(string name, string value) =>
        value.Length > 0 ? [(name, value)] : [];

    private async Task EachChangeAsync(string key, Func<V2Answer, Task<bool>> more)
    {
        long after = run.Flags.Number("after-index");
        ulong next = after > 0 ? (ulong)after + 1 : 0;
        bool goOn = true;
        while (goOn)
        {
            V2Answer? answer = await run.Client.KeysAsync(
                HttpMethod.Get,
                key,
                [
                    ("recursive", run.Flags.On("recursive") ? "true" : "false"),
                    ("wait", "true"),
                    ("waitIndex", next.ToString(CultureInfo.InvariantCulture)),
                ],
                null,
                run.Terminal.Interrupted).ConfigureAwait(false);
            if (answer is null)
            {
                continue;
            }

            next = answer.Node.Modified + 1;
            goOn = answer.Node.Dir || await more(answer).ConfigureAwait(false);
        }
    }

    private Task<V2Answer> ReadAsync(string key, bool recursive) => SendAsync(
        HttpMethod.Get,
        [
            ("quorum", run.Flags.On("quorum") ? "true" : "false"),
            ("recursive", recursive ? "true" : "false"),
            ("sorted", run.Flags.On("sort") ? "true" : "false"),
        ],
        null,
        key);

    private Task<V2Answer> SendAsync(
        HttpMethod method,
        IReadOnlyList<(string Name, string Value)> query,
        IReadOnlyList<(string Name, string Value)>? form,
        string? key = null) =>
        run.InTimeAsync(async cancellation =>
            await run.Client.KeysAsync(method, key ?? run.Words[0], query, form, cancellation).ConfigureAwait(false)
                ?? throw V2Exception.InvalidJson());

    private string Positive(string flag) =>
        run.Flags.Number(flag) is var number and not 0 ? number.ToString(CultureInfo.InvariantCulture) : "";

    private IEnumerable<(string Name, string Value)> TimeToLive() =>
        run.Flags.Number("ttl") is var seconds and > 0 ? [("ttl", seconds.ToString(CultureInfo.InvariantCulture))] : [];

    private async Task<string> ValueAsync()
    {
        if (run.Words.Count > 1)
        {
            return run.Words[1];
        }

        byte[] typed = await run.Terminal.ReadAllAsync().ConfigureAwait(false);
        return typed.Length > 0
            ? GoText.FromBytes(typed)
            : throw new ExitException(ExitCode.BadArguments, "value required");
    }

    private void PrintRemoved(V2Answer answer)
    {
        if (!answer.Node.Dir || Output != "simple")
        {
            Print(answer);
        }
    }

    private void PrintTree(V2Node node)
    {
        run.Terminal.WriteLine(node.Key + (node.Dir && run.Flags.On("p") ? "/" : ""));
        foreach (V2Node child in node.Nodes ?? [])
        {
            PrintTree(child);
        }
    }

    private void Print(V2Answer answer)
    {
        string number(ulong value) => value.ToString(CultureInfo.InvariantCulture);
        bool isDelete = answer.Action == "delete";
        switch (Output)
        {
            case "simple":
                run.Terminal.WriteLine(isDelete ? $"PrevNode.Value: {answer.Previous?.Value}" : answer.Node.Value);
                break;
            case "extended":
                run.Terminal.Write(
                    $"Key: {answer.Node.Key}\nCreated-Index: {number(answer.Node.Created)}\n"
                    + $"Modified-Index: {number(answer.Node.Modified)}\n"
                    + (answer.Previous is null ? "" : $"PrevNode.Value: {answer.Previous.Value}\n")
                    + $"TTL: {answer.Node.Ttl.ToString(CultureInfo.InvariantCulture)}\nIndex: {number(answer.Index)}\n"
                    + (isDelete ? "" : $"\n{answer.Node.Value}\n"));
                break;
            case "json":
                run.Terminal.WriteLine(answer.ToJson());
                break;
            default:
                run.Terminal.ErrorLine("Unsupported output format: " + Output);
                break;
        }
    }
}
