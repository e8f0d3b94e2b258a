using System.Globalization;
using System.Text;
using System.Text.Json;
using Perf.Node.Peers;
using Perf.Store;
using Perf.Store.Membership;
using Perf.Store.Mvcc;

namespace Perf.Node.Corruption;

/// <summary>What another member said of its hash; with an error it said why not, or nothing at all.</summary>
internal sealed record PeerHash(Member Member, HashKvResult? Result, StoreError Error, string Trouble);

/// <summary>Asks the other members for their hash as of a revision (SURFACE PEER-10).</summary>
internal static class PeerHashes
{
    private const string Path = "/members/hashkv";
    private const int AnswerBytesMax = 64 << 10;

    /// <summary>One answer for each other member, in the members' order.</summary>
    public static Task<PeerHash[]> AskAsync(
        PeerHttpClient client,
        IReadOnlyList<Member> members,
        PeerIdentity identity,
        long revision,
        TimeSpan patience) =>
        Task.WhenAll(members
            .Where(member => member.Id != identity.MemberId && member.PeerUrls.Count > 0)
            .Select(member => AskAsync(client, member, identity, revision, patience)));

    private static async Task<PeerHash> AskAsync(
        PeerHttpClient client, Member member, PeerIdentity identity, long revision, TimeSpan patience)
    {
        var error = StoreError.Timeout;
        string trouble = "";
        foreach (string url in member.PeerUrls)
        {
            using var limit = new CancellationTokenSource(patience);
            try
            {
                var request = new PeerRequest("GET", new Uri(new Uri(url), Path))
                {
                    Headers = identity.Headers(),
                    ContentType = "application/json",
                    Body = Encoding.ASCII.GetBytes(
                        string.Create(CultureInfo.InvariantCulture, $"{{\"revision\":{revision}}}")),
                    AnswerTimeout = patience,
                };
                using PeerAnswer answer = await client.SendAsync(request, limit.Token).ConfigureAwait(false);
                byte[] body = await answer.ReadAllAsync(AnswerBytesMax, limit.Token).ConfigureAwait(false);
                if (answer.Status == 200)
                {
                    return new PeerHash(member, Read(body, revision), StoreError.None, "");
                }

                trouble = Encoding.UTF8.GetString(body).Trim();
                error = Refusal(answer.Status, trouble);
            }
            catch (Exception e) when (e is IOException or InvalidDataException or OperationCanceledException
                or JsonException or InvalidOperationException or FormatException)
            {
                // Its other address may answer.
                trouble = e.Message;
            }
        }

        return new PeerHash(member, null, error, trouble);
    }

    private static StoreError Refusal(int status, string text) => status switch
    {
        400 when text.Contains("has been compacted", StringComparison.Ordinal) => StoreError.Compacted,
        400 when text.Contains("future revision", StringComparison.Ordinal) => StoreError.FutureRev,
        412 => StoreError.ClusterIdMismatch,
        _ => StoreError.Timeout,
    };

    /// <summary>Go leaves out what is zero.</summary>
    private static HashKvResult Read(byte[] json, long revision)
    {
        using JsonDocument document = JsonDocument.Parse(json);
        JsonElement root = document.RootElement;
        long current = root.TryGetProperty("header", out JsonElement header) ? Number(header, "revision") : 0;
        return new HashKvResult((uint)Number(root, "hash"), Number(root, "compact_revision"), revision, current);
    }

    private static long Number(JsonElement parent, string name) =>
        parent.TryGetProperty(name, out JsonElement value) ? value.GetInt64() : 0;
}
