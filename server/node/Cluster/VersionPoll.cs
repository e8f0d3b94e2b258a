using System.Text.Json;
using Perf.Node.Peers;
using Perf.Store.Membership;

namespace Perf.Node.Cluster;

/// <summary>Asks the members for their versions (FORMATS A.12).</summary>
internal static class VersionPoll
{
    private const int AnswerBytesMax = 64 << 10;

    private static readonly TimeSpan AnswerTimeout = TimeSpan.FromSeconds(2);

    /// <summary>The lowest version of all members, patch 0; null when a member does not answer.</summary>
    public static async Task<SemanticVersion?> LowestAsync(
        PeerHttpClient client, IReadOnlyList<Member> members, ulong ownId, SemanticVersion own, PeerIdentity identity)
    {
        SemanticVersion?[] versions = await Task.WhenAll(members.Select(
            member => member.Id == ownId ? Task.FromResult<SemanticVersion?>(own) : AskAsync(client, member, identity)))
            .ConfigureAwait(false);
        SemanticVersion lowest = own;
        foreach (SemanticVersion? version in versions)
        {
            if (version is not { } known)
            {
                return null;
            }

            lowest = known.MajorMinor < lowest ? known.MajorMinor : lowest;
        }

        return lowest;
    }

    private static async Task<SemanticVersion?> AskAsync(PeerHttpClient client, Member member, PeerIdentity identity)
    {
        foreach (string url in member.PeerUrls)
        {
            using var limit = new CancellationTokenSource(AnswerTimeout);
            try
            {
                using PeerAnswer answer = await client
                    .GetAsync(new Uri(new Uri(url), "/version"), identity.Headers(), limit.Token).ConfigureAwait(false);
                byte[] body = await answer.ReadAllAsync(AnswerBytesMax, limit.Token).ConfigureAwait(false);
                using JsonDocument document = JsonDocument.Parse(body);
                if (answer.Status == 200 && document.RootElement.TryGetProperty("etcdserver", out JsonElement text)
                    && SemanticVersion.TryParse(text.GetString() ?? "", out SemanticVersion version))
                {
                    return version;
                }
            }
            catch (Exception e) when (e is IOException or InvalidDataException or OperationCanceledException
                or JsonException or InvalidOperationException or UriFormatException)
            {
                // Its other address may answer.
            }
        }

        return null;
    }
}
