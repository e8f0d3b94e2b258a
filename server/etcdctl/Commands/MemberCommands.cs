using Perf.Client;
using Perf.Etcdctl.CommandLine;
using Perf.Etcdctl.Printing;
using Perf.Etcdctl.Text;

namespace Perf.Etcdctl.Commands;

/// <summary>member add, remove, update, list, promote.</summary>
internal static class MemberCommands
{
    public static Command New() => new Command("member <subcommand>", "Membership related commands").Add(
        new Command("add <memberName> [options]", "Adds a member into the cluster") { Run = AddAsync }.With(flags =>
        {
            flags.String("peer-urls", "", "comma separated peer URLs for the new member.");
            flags.Bool("learner", false, "indicates if the new member is raft learner");
        }),
        new Command("remove <memberID>", "Removes a member from the cluster") { Run = RemoveAsync },
        new Command("update <memberID> [options]", "Updates a member in the cluster") { Run = UpdateAsync }.With(
            flags => flags.String("peer-urls", "", "comma separated peer URLs for the updated member.")),
        new Command(
            "list",
            "Lists all members in the cluster",
            "When --write-out is set to simple, this command prints out comma-separated member lists for each "
            + "endpoint.\nThe items in the lists are ID, Status, Name, Peer Addrs, Client Addrs, Is Learner.\n")
        {
            Run = ListAsync,
        }.With(flags => flags.String("consistency", "l", "Linearizable(l) or Serializable(s)")),
        new Command(
            "promote <memberID>",
            "Promotes a non-voting member in the cluster",
            "Promotes a non-voting learner member to a voting one in the cluster.\n")
        {
            Run = PromoteAsync,
        });

    private static ulong Id(Invocation run)
    {
        if (run.Args.Count != 1)
        {
            throw Invocation.BadArguments("member ID is not provided");
        }

        try
        {
            return GoText.ParseUint(run.Args[0], 16);
        }
        catch (FormatException e)
        {
            throw Invocation.BadArguments($"bad member ID arg ({e.Message}), expecting ID in Hex");
        }
    }

    /// <summary>The URLs of --peer-urls, checked the way etcd's client library does before it sends them.</summary>
    private static string[] PeerUrls(Invocation run)
    {
        string text = run.Text("peer-urls");
        if (text.Length == 0)
        {
            throw Invocation.BadArguments("member peer urls not provided");
        }

        string[] urls = text.Split(',').Select(u => u.Trim()).ToArray();
        foreach (string url in urls)
        {
            if (Fault(url) is { } fault)
            {
                throw new ExitException(ExitCode.Error, fault);
            }
        }

        return urls;
    }

    /// <summary>What is wrong with a peer URL, in etcd's words; null for nothing.</summary>
    internal static string? Fault(string url)
    {
        int colon = url.IndexOf(':', StringComparison.Ordinal);
        if (colon == 0)
        {
            return $"parse {GoText.Quote(url)}: missing protocol scheme";
        }

        string scheme = colon < 0 ? "" : url[..colon];
        if (scheme is not ("http" or "https" or "unix" or "unixs"))
        {
            return "URL scheme must be http, https, unix, or unixs: " + url;
        }

        string rest = url[(colon + 1)..].TrimStart('/');
        int path = rest.IndexOf('/', StringComparison.Ordinal);
        if (scheme.StartsWith("http", StringComparison.Ordinal))
        {
            string host = path < 0 ? rest : rest[..path];
            if (host.LastIndexOf(':') <= host.LastIndexOf(']'))
            {
                return $"URL address does not have the form \"host:port\": {url}";
            }

            if (path >= 0)
            {
                return "URL must not contain a path: " + url;
            }
        }

        return null;
    }

    private static async Task AddAsync(Invocation run)
    {
        if (run.Args.Count < 1)
        {
            throw Invocation.BadArguments("member name not provided");
        }

        if (run.Args.Count > 1)
        {
            throw Invocation.BadArguments("too many arguments" + string.Concat(run.Args
                .Where(a => a.StartsWith("http", StringComparison.OrdinalIgnoreCase))
                .Select(a => ", did you mean --peer-urls=" + a)));
        }

        string name = run.Args[0];
        string[] urls = PeerUrls(run);
        await using Session session = await Session.OpenAsync(run, Answer.MemberAdd).ConfigureAwait(false);
        MembersResponse added = await session.WithinTimeoutAsync(
            c => session.Client.Cluster.AddAsync(urls, run.On("learner"), c)).ConfigureAwait(false);
        session.Printer.MemberAdd(added);
        if (session.Printer is SimplePrinter)
        {
            IEnumerable<string> cluster = added.Members.SelectMany(
                m => m.PeerUrls.Select(u => (m.Id == added.Member!.Id ? name : m.Name) + "=" + u));
            run.Terminal.Write(
                $"\nETCD_NAME={GoText.Quote(name)}\n"
                + $"ETCD_INITIAL_CLUSTER={GoText.Quote(string.Join(',', cluster))}\n"
                + $"ETCD_INITIAL_ADVERTISE_PEER_URLS={GoText.Quote(run.Text("peer-urls"))}\n"
                + "ETCD_INITIAL_CLUSTER_STATE=\"existing\"\n");
        }
    }

    private static async Task RemoveAsync(Invocation run)
    {
        ulong id = Id(run);
        await using Session session = await Session.OpenAsync(run, Answer.MemberRemove).ConfigureAwait(false);
        MembersResponse r = await session.WithinTimeoutAsync(c => session.Client.Cluster.RemoveAsync(id, c))
            .ConfigureAwait(false);
        session.Printer.MemberChange("removed from", id, r);
    }

    private static async Task UpdateAsync(Invocation run)
    {
        ulong id = Id(run);
        string[] urls = PeerUrls(run);
        await using Session session = await Session.OpenAsync(run, Answer.MemberUpdate).ConfigureAwait(false);
        MembersResponse r = await session.WithinTimeoutAsync(c => session.Client.Cluster.UpdateAsync(id, urls, c))
            .ConfigureAwait(false);
        session.Printer.MemberChange("updated in", id, r);
    }

    private static async Task PromoteAsync(Invocation run)
    {
        ulong id = Id(run);
        await using Session session = await Session.OpenAsync(run, Answer.MemberPromote).ConfigureAwait(false);
        MembersResponse r = await session.WithinTimeoutAsync(c => session.Client.Cluster.PromoteAsync(id, c))
            .ConfigureAwait(false);
        session.Printer.MemberChange("promoted in", id, r);
    }

    private static async Task ListAsync(Invocation run)
    {
        string consistency = run.Text("consistency");
        if (consistency is not ("s" or "l"))
        {
            throw new ExitException(ExitCode.BadFeature, $"unknown consistency flag {GoText.Quote(consistency)}");
        }

        await using Session session = await Session.OpenAsync(run, Answer.MemberList).ConfigureAwait(false);
        session.Printer.MemberList(await session.WithinTimeoutAsync(
            c => session.Client.Cluster.ListAsync(linearizable: consistency == "l", c)).ConfigureAwait(false));
    }
}
