using Etcdserverpb;
using Google.Protobuf;

namespace Perf.Surface.Tests.Differential;

/// <summary>Whether two servers have said the same, apart from what versions and clocks make different.</summary>
internal sealed class Comparison
{
    private const long SecondsApartMax = 30;

    private static readonly Dictionary<string, MessageParser> _parsers = new()
    {
        ["/etcdserverpb.KV/Range"] = RangeResponse.Parser,
        ["/etcdserverpb.KV/Put"] = PutResponse.Parser,
        ["/etcdserverpb.KV/DeleteRange"] = DeleteRangeResponse.Parser,
        ["/etcdserverpb.KV/Txn"] = TxnResponse.Parser,
        ["/etcdserverpb.KV/Compact"] = CompactionResponse.Parser,
        ["/etcdserverpb.Lease/LeaseGrant"] = LeaseGrantResponse.Parser,
        ["/etcdserverpb.Lease/LeaseRevoke"] = LeaseRevokeResponse.Parser,
        ["/etcdserverpb.Lease/LeaseKeepAlive"] = LeaseKeepAliveResponse.Parser,
        ["/etcdserverpb.Lease/LeaseTimeToLive"] = LeaseTimeToLiveResponse.Parser,
        ["/etcdserverpb.Lease/LeaseLeases"] = LeaseLeasesResponse.Parser,
        ["/etcdserverpb.Maintenance/Alarm"] = AlarmResponse.Parser,
        ["/etcdserverpb.Maintenance/Status"] = StatusResponse.Parser,
        ["/etcdserverpb.Maintenance/Defragment"] = DefragmentResponse.Parser,
        ["/etcdserverpb.Maintenance/Hash"] = HashResponse.Parser,
        ["/etcdserverpb.Maintenance/HashKV"] = HashKVResponse.Parser,
        ["/etcdserverpb.Maintenance/MoveLeader"] = MoveLeaderResponse.Parser,
    };

    /// <summary>How often each known difference has been met, by its id.</summary>
    public Dictionary<string, int> Known { get; } = [];

    /// <summary>What differs and should not.</summary>
    public List<string> Differences { get; } = [];

    public void Check(Step step, Answer theirs, Answer ours)
    {
        if (theirs.Code == ours.Code && theirs.Text == ours.Text && theirs.Bytes.Span.SequenceEqual(ours.Bytes.Span))
        {
            return;
        }

        if (theirs.IsOk && ours.IsOk && _parsers.TryGetValue(step.Path, out MessageParser? parser))
        {
            IMessage left = parser.ParseFrom(theirs.Bytes.Span);
            IMessage right = parser.ParseFrom(ours.Bytes.Span);
            LevelOut(step.Request, left, right);
            if (left.Equals(right))
            {
                return;
            }
        }

        if (KnownDifferences.Find(step, theirs, ours) is { } known)
        {
            Note(known);
            return;
        }

        Differences.Add($"{step}\n  theirs: {Show(step, theirs)}\n  ours:   {Show(step, ours)}");
    }

    /// <summary>Counts a known difference by its id.</summary>
    public void Note(string known) => Known[known] = Known.GetValueOrDefault(known) + 1;

    /// <summary>For what is no answer to a step: watch events and their like.</summary>
    public void Check(string what, IMessage? theirs, IMessage? ours)
    {
        if (!Equals(theirs, ours))
        {
            Differences.Add($"{what}\n  theirs: {theirs}\n  ours:   {ours}");
        }
    }

    /// <summary>Takes out of both what tells of the machine and not of the rules.</summary>
    private static void LevelOut(IMessage? request, IMessage left, IMessage right)
    {
        if (request is not null)
        {
            Ties.LevelOut(request, left);
            Ties.LevelOut(request, right);
        }

        switch (left, right)
        {
            case (StatusResponse a, StatusResponse b):
                foreach (StatusResponse status in new[] { a, b })
                {
                    status.Version = "";
                    status.DbSize = 0;
                    status.DbSizeInUse = 0;

                    // Each version proposes things of its own when it starts.
                    status.RaftIndex = 0;
                    status.RaftAppliedIndex = 0;
                }

                break;
            case (HashResponse a, HashResponse b):
                // Over the whole file, in which each version keeps things of its own.
                a.Hash = b.Hash = 0;
                break;
            case (LeaseLeasesResponse a, LeaseLeasesResponse b):
                // By their ends; of two that end within a second the order is that of the clock.
                foreach (LeaseLeasesResponse answer in new[] { a, b })
                {
                    LeaseStatus[] sorted = [.. answer.Leases.OrderBy(l => l.ID)];
                    answer.Leases.Clear();
                    answer.Leases.AddRange(sorted);
                }

                break;
            case (LeaseTimeToLiveResponse a, LeaseTimeToLiveResponse b):
                if (Math.Abs(a.TTL - b.TTL) < SecondsApartMax)
                {
                    a.TTL = b.TTL;
                }

                // In the order of a Go map (SURFACE SEED-06).
                foreach (LeaseTimeToLiveResponse answer in new[] { a, b })
                {
                    ByteString[] sorted = [.. answer.Keys.OrderBy(k => Convert.ToHexString(k.Span), StringComparer.Ordinal)];
                    answer.Keys.Clear();
                    answer.Keys.AddRange(sorted);
                }

                break;
        }
    }

    private static string Show(Step step, Answer answer)
    {
        if (!answer.IsOk)
        {
            return $"{answer.Code} {answer.Text}";
        }

        string text = _parsers.TryGetValue(step.Path, out MessageParser? parser)
            ? parser.ParseFrom(answer.Bytes.Span).ToString()!
            : Convert.ToHexString(answer.Bytes.Span);
        return text.Length > 1500 ? text[..1500] + "..." : text;
    }
}
