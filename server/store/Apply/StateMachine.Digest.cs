using System.Buffers.Binary;
using System.Security.Cryptography;
using System.Text;
using Perf.Store.Backend;

namespace Perf.Store.Apply;

/// <summary>One number for all replicated state: equal on members that have applied the same entries.</summary>
public sealed partial class StateMachine
{
    private static readonly string[] ReplicatedBuckets =
    [
        Buckets.Alarm, Buckets.Auth, Buckets.AuthRoles, Buckets.AuthUsers, Buckets.Cluster, Buckets.Lease,
        Buckets.Members, Buckets.MembersRemoved,
    ];

    /// <summary>
    /// SHA-256 over the keys (HashKV and revision), the small buckets, confState and the v2 store. Slow; for tests,
    /// simulation and diagnosis. Apply thread, after <see cref="Publish"/>.
    /// </summary>
    public string Digest()
    {
        using var hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        Kv.HashKv(0, out var kv);
        Number((ulong)Kv.Revision);
        Number(kv.Hash);
        Number((ulong)kv.CompactRevision);
        foreach (string bucket in ReplicatedBuckets)
        {
            Bytes(Encoding.ASCII.GetBytes(bucket));
            foreach (var (key, value) in _buckets.List(bucket))
            {
                Bytes(key);
                Bytes(value);
            }
        }

        Bytes(_buckets.Get(Buckets.Meta, Buckets.ConfStateKey) ?? []);
        Bytes(V2.Save());
        return Convert.ToHexStringLower(hash.GetHashAndReset());

        void Number(ulong value)
        {
            Span<byte> bytes = stackalloc byte[sizeof(ulong)];
            BinaryPrimitives.WriteUInt64LittleEndian(bytes, value);
            hash.AppendData(bytes);
        }

        void Bytes(byte[] value)
        {
            Number((ulong)value.Length);
            hash.AppendData(value);
        }
    }
}
