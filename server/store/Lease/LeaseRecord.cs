using Perf.Store.Commands;

namespace Perf.Store.Lease;

// leasepb.Lease, proto3, zeros left out (FORMATS A.3):
//
//   1  ID             int64
//   2  TTL            int64, seconds as granted
//   3  RemainingTTL   int64, seconds; only where checkpoints are persisted

/// <summary>The record of one lease in bucket <c>lease</c>.</summary>
internal readonly record struct LeaseRecord(long Id, long TtlSeconds, long RemainingSeconds)
{
    /// <summary>Three fields, each a tag and at most ten bytes.</summary>
    public const int BytesMax = 3 * 11;

    private const int IdField = 1;
    private const int TtlField = 2;
    private const int RemainingField = 3;

    public int Write(Span<byte> target)
    {
        var writer = new ProtoWriter(target);
        writer.Int64(IdField, Id);
        writer.Int64(TtlField, TtlSeconds);
        writer.Int64(RemainingField, RemainingSeconds);
        return writer.Position;
    }

    public static bool TryRead(ReadOnlySpan<byte> source, out LeaseRecord record)
    {
        long id = 0;
        long ttl = 0;
        long remaining = 0;
        var reader = new ProtoReader(source);
        while (reader.Next())
        {
            switch (reader.Field)
            {
                case IdField:
                    id = reader.Int64;
                    break;
                case TtlField:
                    ttl = reader.Int64;
                    break;
                case RemainingField:
                    remaining = reader.Int64;
                    break;
            }
        }
        record = new LeaseRecord(id, ttl, remaining);
        return !reader.Failed;
    }
}
