using System.Text;
using Perf.Store.Commands;
using Perf.Store.Mvcc;

namespace Perf.Simulation;

/// <summary>Reads the answers that clients get.</summary>
internal static class Answers
{
    /// <summary>What a revision brought.</summary>
    public static KeyState[] Changes(ReadOnlySpan<RevisionEvent> events)
    {
        var states = new KeyState[events.Length];
        for (int i = 0; i < events.Length; i++)
        {
            Judge.Require(KeyValueView.TryParse(events[i].KeyValue.Span, out KeyValueView kv), "an event that is no key value");
            states[i] = new KeyState(
                kv.ModRevision,
                Encoding.UTF8.GetString(kv.Key),
                events[i].IsDelete,
                Encoding.UTF8.GetString(kv.Value),
                kv.CreateRevision,
                kv.Version,
                kv.Lease);
        }

        return states;
    }

    public static RangeAnswer Range(ReadOnlySpan<byte> response)
    {
        long revision = 0;
        var keys = new List<KeyState>();
        var reader = new ProtoReader(response);
        while (reader.Next())
        {
            if (reader.Field == 1)
            {
                revision = HeaderRevision(reader.Bytes);
            }
            else if (reader.Field == 2)
            {
                Judge.Require(KeyValueView.TryParse(reader.Bytes, out KeyValueView kv), "not a key value");
                keys.Add(new KeyState(
                    kv.ModRevision,
                    Encoding.UTF8.GetString(kv.Key),
                    false,
                    Encoding.UTF8.GetString(kv.Value),
                    kv.CreateRevision,
                    kv.Version,
                    kv.Lease));
            }
        }

        Judge.Require(!reader.Failed, "a malformed answer");
        return new RangeAnswer(revision, keys);
    }

    /// <summary>The header's revision, and field 2 as a number: deleted of a delete, succeeded of a txn.</summary>
    public static (long Revision, long Second) Write(ReadOnlySpan<byte> response)
    {
        long revision = 0;
        long second = 0;
        var reader = new ProtoReader(response);
        while (reader.Next())
        {
            if (reader.Field == 1)
            {
                revision = HeaderRevision(reader.Bytes);
            }
            else if (reader.Field == 2 && reader.IsVarint)
            {
                second = reader.Int64;
            }
        }

        Judge.Require(!reader.Failed, "a malformed answer");
        return (revision, second);
    }

    /// <summary>A txn's header revision, whether it succeeded, and all that its ranges read, nested ones too.</summary>
    public static (long Revision, bool Succeeded, List<KeyState> Read) Txn(ReadOnlySpan<byte> response)
    {
        (long revision, long succeeded) = Write(response);
        var read = new List<KeyState>();
        CollectReads(response, read);
        return (revision, succeeded != 0, read);
    }

    private static void CollectReads(ReadOnlySpan<byte> txn, List<KeyState> read)
    {
        var reader = new ProtoReader(txn);
        while (reader.Next())
        {
            if (reader.Field != 3)
            {
                continue;
            }

            var op = new ProtoReader(reader.Bytes);
            while (op.Next())
            {
                if (op.Field == 1)
                {
                    read.AddRange(Range(op.Bytes).Keys);
                }
                else if (op.Field == 4)
                {
                    CollectReads(op.Bytes, read);
                }
            }
        }
    }

    public static long HeaderRevision(ReadOnlySpan<byte> header)
    {
        var reader = new ProtoReader(header);
        long revision = 0;
        while (reader.Next())
        {
            if (reader.Field == 3)
            {
                revision = reader.Int64;
            }
        }

        return revision;
    }
}
