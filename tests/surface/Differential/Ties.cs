using Etcdserverpb;
using Google.Protobuf;
using Mvccpb;

namespace Perf.Surface.Tests.Differential;

/// <summary>
/// A range sorted by anything but the key leaves open in which order equals come, and which of them fall behind the limit.
/// Both are taken out of an answer here.
/// </summary>
internal static class Ties
{
    public static void LevelOut(IMessage request, IMessage response)
    {
        switch (request, response)
        {
            case (RangeRequest range, RangeResponse answer) when range.SortTarget != RangeRequest.Types.SortTarget.Key:
                LevelOut(range, answer);
                break;
            case (TxnRequest txn, TxnResponse answer):
                IList<RequestOp> taken = answer.Succeeded ? txn.Success : txn.Failure;
                for (int i = 0; i < Math.Min(taken.Count, answer.Responses.Count); i++)
                {
                    if (taken[i].RequestRange is { } range && answer.Responses[i].ResponseRange is { } ranged)
                    {
                        LevelOut(range, ranged);
                    }
                    else if (taken[i].RequestTxn is { } inner && answer.Responses[i].ResponseTxn is { } answered)
                    {
                        LevelOut(inner, answered);
                    }
                }

                break;
        }
    }

    private static void LevelOut(RangeRequest range, RangeResponse answer)
    {
        if (range.SortTarget == RangeRequest.Types.SortTarget.Key)
        {
            return;
        }

        var ordered = new List<KeyValue>();
        for (int i = 0; i < answer.Kvs.Count;)
        {
            IComparable by = Value(answer.Kvs[i]);
            int end = i + 1;
            while (end < answer.Kvs.Count && Value(answer.Kvs[end]).CompareTo(by) == 0)
            {
                end++;
            }

            List<KeyValue> equals = [.. answer.Kvs.Skip(i).Take(end - i)];
            if (end == answer.Kvs.Count && answer.More)
            {
                // Others that are equal to these have been cut off.
                equals = [.. equals.Select(_ => new KeyValue())];
            }

            ordered.AddRange(equals.OrderBy(kv => Convert.ToHexString(kv.Key.Span), StringComparer.Ordinal));
            i = end;
        }

        answer.Kvs.Clear();
        answer.Kvs.AddRange(ordered);

        IComparable Value(KeyValue kv) => range.SortTarget switch
        {
            RangeRequest.Types.SortTarget.Version => kv.Version,
            RangeRequest.Types.SortTarget.Create => kv.CreateRevision,
            RangeRequest.Types.SortTarget.Mod => kv.ModRevision,
            _ => Convert.ToHexString(kv.Value.Span),
        };
    }
}
