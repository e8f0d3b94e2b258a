using System.Buffers;
using Perf.Store.Commands;

namespace Perf.Store.Lease;

/// <summary>Writes the answers of the lease service. Each call appends one whole message.</summary>
public static class LeaseResponses
{
    /// <summary>LeaseGrantResponse {header, ID, TTL}.</summary>
    public static void WriteGrant(in ResponseHeader header, long id, long ttlSeconds, IBufferWriter<byte> target) =>
        WriteIdAndTtl(header, id, ttlSeconds, target);

    /// <summary>LeaseKeepAliveResponse {header, ID, TTL}; TTL 0 says that the lease is gone.</summary>
    public static void WriteKeepAlive(in ResponseHeader header, long id, long ttlSeconds, IBufferWriter<byte> target) =>
        WriteIdAndTtl(header, id, ttlSeconds, target);

    /// <summary>LeaseRevokeResponse and LeaseCheckpointResponse {header}.</summary>
    public static void WriteHeaderOnly(in ResponseHeader header, IBufferWriter<byte> target)
    {
        var writer = new ProtoWriter(target.GetSpan(header.FieldBytes));
        header.WriteField(ref writer);
        target.Advance(writer.Position);
    }

    /// <summary>LeaseTimeToLiveResponse {header, ID, TTL, grantedTTL, keys}.</summary>
    public static void WriteTimeToLive(in ResponseHeader header, LeaseInfo lease, IBufferWriter<byte> target)
    {
        int bytes = header.FieldBytes
            + ProtoSize.Int64(2, lease.Id)
            + ProtoSize.Int64(3, lease.TtlSeconds)
            + ProtoSize.Int64(4, lease.GrantedTtlSeconds);
        foreach (byte[] key in lease.Keys)
        {
            bytes += ProtoSize.Message(5, key.Length);
        }
        var writer = new ProtoWriter(target.GetSpan(bytes));
        header.WriteField(ref writer);
        writer.Int64(2, lease.Id);
        writer.Int64(3, lease.TtlSeconds);
        writer.Int64(4, lease.GrantedTtlSeconds);
        foreach (byte[] key in lease.Keys)
        {
            writer.Message(5, key);
        }
        target.Advance(writer.Position);
    }

    /// <summary>The answer for a lease that does not exist: TTL -1 and no error (SURFACE LSE-07).</summary>
    public static void WriteTimeToLiveUnknown(in ResponseHeader header, long id, IBufferWriter<byte> target) =>
        WriteTimeToLive(header, new LeaseInfo(id, -1, 0, []), target);

    /// <summary>LeaseLeasesResponse {header, leases{ID}...}.</summary>
    public static void WriteLeases(in ResponseHeader header, ReadOnlySpan<long> ids, IBufferWriter<byte> target)
    {
        int bytes = header.FieldBytes;
        foreach (long id in ids)
        {
            bytes += ProtoSize.Message(2, ProtoSize.Int64(1, id));
        }
        var writer = new ProtoWriter(target.GetSpan(bytes));
        header.WriteField(ref writer);
        foreach (long id in ids)
        {
            writer.MessageHead(2, ProtoSize.Int64(1, id));
            writer.Int64(1, id);
        }
        target.Advance(writer.Position);
    }

    private static void WriteIdAndTtl(in ResponseHeader header, long id, long ttlSeconds, IBufferWriter<byte> target)
    {
        int bytes = header.FieldBytes + ProtoSize.Int64(2, id) + ProtoSize.Int64(3, ttlSeconds);
        var writer = new ProtoWriter(target.GetSpan(bytes));
        header.WriteField(ref writer);
        writer.Int64(2, id);
        writer.Int64(3, ttlSeconds);
        target.Advance(writer.Position);
    }
}
