using Etcdserverpb;
using Perf.Grpc;

namespace Perf.Surface.Tests.Differential;

/// <summary>Where 3.4.23 and 3.5.33 are known to differ. Each row has the id under which the specification says so.</summary>
internal static class KnownDifferences
{
    private static readonly (string Id, Func<Step, Answer, Answer, bool> Matches)[] _rows =
    [
        // 3.4 answers without a header.
        ("MNT-02", (step, theirs, ours) => step.Request is AlarmRequest
            && theirs.IsOk
            && ours.IsOk
            && AlarmResponse.Parser.ParseFrom(theirs.Bytes.Span).Alarms.Equals(
                AlarmResponse.Parser.ParseFrom(ours.Bytes.Span).Alarms)),

        // The words with which a Go program refuses bytes that are no message are its library's.
        ("RPC-11", (step, theirs, ours) => step.Case == "broken-message"
            && theirs.Code == StatusCode.Internal
            && ours.Code == StatusCode.Internal),

        // 3.4 does not hash at the very revision that was compacted.
        ("MNT-05", (step, theirs, ours) => step.Request is HashKVRequest hash
            && theirs is { Code: StatusCode.OutOfRange, Text: "etcdserver: mvcc: required revision has been compacted" }
            && ours.IsOk
            && HashKVResponse.Parser.ParseFrom(ours.Bytes.Span).CompactRevision == hash.Revision),
    ];

    /// <summary>The id of the row that explains a difference, or null.</summary>
    public static string? Find(Step step, Answer theirs, Answer ours) =>
        _rows.FirstOrDefault(row => row.Matches(step, theirs, ours)).Id;
}
