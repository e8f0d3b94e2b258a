using System.Net;
using System.Text.Json;
using Perf.Etcdctl.CommandLine;
using Perf.Etcdctl.Commands;
using Perf.Etcdctl.Text;

namespace Perf.Etcdctl.V2;

/// <summary>The commands on the cluster and its members, and backup.</summary>
internal sealed class V2ClusterCommands(V2Run run)
{
    private const int ClusterNotHealthy = 5;
    private static readonly TimeSpan _checkEvery = TimeSpan.FromSeconds(10);

    /// <summary>Works on files, which is etcdutl's trade.</summary>
    public static Task BackupAsync(V2Run run)
    {
        string[] flags = ["data-dir", "wal-dir", "backup-dir", "backup-wal-dir"];
        return Etcdutl.RunAsync(
            run.Terminal,
            [
                "backup", "--with-v3=" + (run.Flags.On("with-v3") ? "true" : "false"),
                .. flags.Where(f => run.Flags.Text(f, "").Length > 0).Select(f => $"--{f}={run.Flags.Text(f, "")}"),
            ]);
    }

    public async Task HealthAsync()
    {
        bool isForever = run.Flags.On("forever");
        IReadOnlyList<V2Member> members;
        try
        {
            members = await run.InTimeAsync(run.Client.MembersAsync).ConfigureAwait(false);
        }
        catch (V2Exception)
        {
            run.Terminal.WriteLine("cluster may be unhealthy: failed to list members");
            throw;
        }

        while (true)
        {
            int healthy = 0;
            foreach (V2Member member in members)
            {
                healthy += await IsHealthyAsync(member).ConfigureAwait(false) ? 1 : 0;
            }

            run.Terminal.WriteLine(
                healthy == members.Count ? "cluster is healthy"
                : healthy == 0 ? "cluster is unavailable"
                : "cluster is degraded");
            if (!isForever)
            {
                if (healthy != members.Count)
                {
                    throw new ExitException(ClusterNotHealthy, "");
                }

                return;
            }

            run.Terminal.WriteLine("\nnext check after 10 second...\n");
            run.Terminal.Flush();
            await Task.Delay(_checkEvery, run.Terminal.Interrupted).ConfigureAwait(false);
        }
    }

    public Task ListAsync() => PlainlyAsync(async () =>
    {
        if (run.Words.Count > 0)
        {
            throw V2Exception.Of("No arguments accepted");
        }

        IReadOnlyList<V2Member> members = await run.InTimeAsync(run.Client.MembersAsync).ConfigureAwait(false);
        string leader = await LeaderAsync().ConfigureAwait(false);
        foreach (V2Member member in members)
        {
            string peers = string.Join(',', member.PeerUrls);
            run.Terminal.WriteLine(
                member.Name.Length == 0
                    ? $"{member.Id}[unstarted]: peerURLs={peers}"
                    : $"{member.Id}: name={member.Name} peerURLs={peers} clientURLs={string.Join(',', member.ClientUrls)} "
                        + $"isLeader={(member.Id == leader ? "true" : "false")}");
        }
    });

    public Task AddAsync() => PlainlyAsync(async () =>
    {
        if (run.Words.Count != 2)
        {
            throw V2Exception.Of("Provide a name and a single member peerURL");
        }

        string name = run.Words[0];
        (HttpStatusCode status, string body) =
            await SendAsync(HttpMethod.Post, "", [Checked(run.Words[1])]).ConfigureAwait(false);
        Require(status, body, HttpStatusCode.Created, HttpStatusCode.Conflict);
        using var added = JsonDocument.Parse(body);
        string id = V2Member.Read(added.RootElement).Id;
        run.Terminal.WriteLine($"Added member named {name} with ID {id} to cluster");
        IReadOnlyList<V2Member> members = await run.InTimeAsync(run.Client.MembersAsync).ConfigureAwait(false);
        string cluster = string.Join(
            ',', members.SelectMany(m => m.PeerUrls.Select(url => $"{(m.Id == id ? name : m.Name)}={url}")));
        run.Terminal.Write(
            $"\nETCD_NAME={GoText.Quote(name)}\nETCD_INITIAL_CLUSTER={GoText.Quote(cluster)}\n"
            + "ETCD_INITIAL_CLUSTER_STATE=\"existing\"\n");
    });

    public Task RemoveAsync() => PlainlyAsync(async () =>
    {
        if (run.Words.Count != 1)
        {
            throw V2Exception.Of("Provide a single member ID");
        }

        string id = run.Words[0];
        IReadOnlyList<V2Member> members;
        try
        {
            members = await run.InTimeAsync(run.Client.MembersAsync).ConfigureAwait(false);
        }
        catch (V2Exception e)
        {
            throw V2Exception.Of("Error while verifying ID against known members: " + e.Message);
        }

        foreach (V2Member named in members.Where(m => m.Name == id))
        {
            run.Terminal.ErrorLine(
                $"Found a member named {named.Name}; if this is correct, please use its ID, eg:\n"
                + $"\tetcdctl member remove {named.Id}");
            run.Terminal.ErrorLine(
                "For more details, read the documentation at https://github.com/etcd-io/etcd/blob/main/Documentation/"
                + "runtime-configuration.md#remove-a-member\n");
        }

        if (!members.Any(m => m.Id == id))
        {
            throw V2Exception.Of($"Couldn't find a member in the cluster with an ID of {id}.");
        }

        (HttpStatusCode status, _) = await SendAsync(HttpMethod.Delete, id, null).ConfigureAwait(false);
        if (status is not (HttpStatusCode.NoContent or HttpStatusCode.Gone))
        {
            throw V2Exception.Of(
                $"Received an error trying to remove member {id}: {V2Exception.UnexpectedStatus(status).Message}");
        }

        run.Terminal.WriteLine($"Removed member {id} from cluster");
    });

    public Task UpdateAsync() => PlainlyAsync(async () =>
    {
        if (run.Words.Count != 2)
        {
            throw V2Exception.Of(
                "Provide an ID and a list of comma separated peerURL (0xabcd http://example.com,http://example1.com)");
        }

        (HttpStatusCode status, string body) = await SendAsync(
            HttpMethod.Put, run.Words[0], [.. run.Words[1].Split(',').Select(Checked)]).ConfigureAwait(false);
        Require(status, body, HttpStatusCode.NoContent, HttpStatusCode.NotFound, HttpStatusCode.Conflict);
        run.Terminal.WriteLine($"Updated member with ID {run.Words[0]} in cluster");
    });

    /// <summary>These commands say what went wrong without the word Error, and end with 1 whatever it was.</summary>
    private static async Task PlainlyAsync(Func<Task> work)
    {
        try
        {
            await work().ConfigureAwait(false);
        }
        catch (V2Exception e)
        {
            throw new ExitException(ExitCode.Error, e.Message);
        }
    }

    /// <summary>The first status is success; the others come with a message.</summary>
    private static void Require(HttpStatusCode status, string body, HttpStatusCode good, params HttpStatusCode[] refusals)
    {
        if (status == good)
        {
            return;
        }

        if (!refusals.Contains(status))
        {
            throw V2Exception.UnexpectedStatus(status);
        }

        try
        {
            using var json = JsonDocument.Parse(body);
            throw V2Exception.Of(V2Node.Text(json.RootElement, "message"));
        }
        catch (JsonException)
        {
            throw V2Exception.InvalidJson();
        }
    }

    /// <summary>A peer URL, found fit before a request is sent.</summary>
    private static string Checked(string text) =>
        MemberCommands.Fault(text.Trim()) is { } fault ? throw V2Exception.Of(fault) : text.Trim();

    private async Task<bool> IsHealthyAsync(V2Member member)
    {
        if (member.ClientUrls.Count == 0)
        {
            run.Terminal.WriteLine($"member {member.Id} is unreachable: no available published client urls");
            return false;
        }

        foreach (string url in member.ClientUrls)
        {
            string trouble;
            try
            {
                string answer = await run.InTimeAsync(c => run.Client.GetTextAsync(url + "/health", c)).ConfigureAwait(false);
                using var json = JsonDocument.Parse(answer);
                bool isHealthy = json.RootElement.TryGetProperty("health", out JsonElement health)
                    && (health.ValueKind == JsonValueKind.True
                        || (health.ValueKind == JsonValueKind.String && health.GetString() == "true"));
                run.Terminal.WriteLine(
                    isHealthy
                        ? $"member {member.Id} is healthy: got healthy result from {url}"
                        : $"member {member.Id} is unhealthy: got unhealthy result from {url}");
                return isHealthy;
            }
            catch (HttpRequestException e)
            {
                trouble = $"Get \"{url}/health\": {V2Client.Reason(e, url)}";
            }
            catch (Exception e) when (e is V2Exception or JsonException or InvalidOperationException)
            {
                trouble = e.Message;
            }

            run.Terminal.WriteLine($"failed to check the health of member {member.Id} on {url}: {trouble}");
        }

        run.Terminal.WriteLine($"member {member.Id} is unreachable: [{string.Join(' ', member.ClientUrls)}] are all unreachable");
        return false;
    }

    private async Task<string> LeaderAsync()
    {
        try
        {
            (HttpStatusCode status, string body) = await SendAsync(HttpMethod.Get, "leader", null).ConfigureAwait(false);
            Require(status, body, HttpStatusCode.OK);
            using var json = JsonDocument.Parse(body);
            return V2Member.Read(json.RootElement).Id;
        }
        catch (V2Exception e)
        {
            throw V2Exception.Of("Failed to get leader:  " + e.Message);
        }
    }

    private Task<(HttpStatusCode Status, string Body)> SendAsync(HttpMethod method, string id, IReadOnlyList<string>? peerUrls) =>
        run.InTimeAsync(c => run.Client.MemberAsync(method, id, peerUrls, c));
}
