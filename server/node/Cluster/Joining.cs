using System.Text;
using System.Text.Json;
using Perf.Node.Peers;
using Perf.Store.Membership;

namespace Perf.Node.Cluster;

/// <summary>What a running cluster says of itself on GET /members.</summary>
internal sealed record RunningCluster(ulong ClusterId, IReadOnlyList<Member> Members);

/// <summary>Asks the members of a running cluster who they are, before this member has a log of its own.</summary>
internal sealed class Joining(PeerHttpClient client)
{
    private const int AnswerBytesMax = 4 << 20;

    /// <summary>What the first URL that answers says; null when none does.</summary>
    public async Task<RunningCluster?> AskAsync(IEnumerable<string> urls, TimeSpan timeout)
    {
        foreach (string url in urls)
        {
            using var limit = new CancellationTokenSource(timeout);
            try
            {
                using PeerAnswer answer = await client
                    .GetAsync(new Uri(new Uri(url), "/members"), [], limit.Token).ConfigureAwait(false);
                byte[] body = await answer.ReadAllAsync(AnswerBytesMax, limit.Token).ConfigureAwait(false);
                if (answer.Status == 200 && MemberIds.TryParseHex(answer.Header(PeerIdentity.ClusterIdHeader), out ulong id))
                {
                    return new RunningCluster(id, Parse(body));
                }
            }
            catch (Exception e) when (e is IOException or InvalidDataException or OperationCanceledException
                or JsonException or InvalidOperationException)
            {
                // The next one may answer.
            }
        }

        return null;
    }

    /// <summary>
    /// The members as --initial-cluster names them, with the ids that the running cluster gave them. Throws
    /// <see cref="StartRefusedException"/> where the two do not say the same (SURFACE BST-03).
    /// </summary>
    public static IReadOnlyList<Member> Match(InitialCluster own, RunningCluster running)
    {
        string refusal = $"error validating peerURLs {Describe(running)}: ";
        if (own.Members.Count != running.Members.Count)
        {
            throw new StartRefusedException(refusal + "member count is unequal");
        }

        var urls = new PeerUrlMatch();
        var matched = new List<Member>();
        foreach (Member local in own.Members)
        {
            Member? remote = running.Members.FirstOrDefault(m => urls.AreEqual(m.PeerUrls, local.PeerUrls));
            if (remote is null)
            {
                throw new StartRefusedException(
                    refusal
                    + $"unmatched member while checking PeerURLs ({string.Join(',', local.PeerUrls.Order(StringComparer.Ordinal))})");
            }

            matched.Add(local with { Id = remote.Id, IsLearner = remote.IsLearner });
        }

        return matched;
    }

    private static List<Member> Parse(byte[] json)
    {
        var members = new List<Member>();
        using JsonDocument document = JsonDocument.Parse(json);
        foreach (JsonElement element in document.RootElement.EnumerateArray())
        {
            members.Add(Member.Parse(Encoding.UTF8.GetBytes(element.GetRawText()), out _));
        }

        return members;
    }

    /// <summary>As etcd prints a cluster.</summary>
    private static string Describe(RunningCluster running)
    {
        IEnumerable<string> members = running.Members.Select(m =>
            $"&{{ID:{MemberIds.Hex(m.Id)} RaftAttributes:{{PeerURLs:[{string.Join(' ', m.PeerUrls)}]"
            + $" IsLearner:{(m.IsLearner ? "true" : "false")}}} Attributes:{{Name:{m.Name}"
            + $" ClientURLs:[{string.Join(' ', m.ClientUrls)}]}}}}");
        return $"{{ClusterID:{MemberIds.Hex(running.ClusterId)} Members:[{string.Join(' ', members)}] RemovedMemberIDs:[]}}";
    }
}
