using System.Buffers.Binary;
using System.Globalization;
using System.Text;

namespace Perf.Store.Membership;

/// <summary>How etcd names members and clusters.</summary>
public static class MemberIds
{
    /// <summary>
    /// A member's id: the first 8 bytes of SHA-1 over its sorted peer URLs, the cluster token (empty when added at
    /// run time) and, when added at run time, the decimal unix seconds. 0 is not a valid id: refuse it.
    /// </summary>
    public static ulong Compute(IEnumerable<string> peerUrls, string token, long? unixSeconds = null)
    {
        var text = new StringBuilder();
        foreach (string url in peerUrls.Order(StringComparer.Ordinal))
        {
            text.Append(url);
        }

        text.Append(token);
        if (unixSeconds is not null)
        {
            text.Append(unixSeconds.Value.ToString(CultureInfo.InvariantCulture));
        }

        return Sha1.Head(Encoding.UTF8.GetBytes(text.ToString()));
    }

    /// <summary>The cluster's id at bootstrap, from its members' ids in any order.</summary>
    public static ulong ComputeCluster(IEnumerable<ulong> memberIds)
    {
        ulong[] ids = [.. memberIds.Order()];
        byte[] bytes = new byte[ids.Length * sizeof(ulong)];
        for (int i = 0; i < ids.Length; i++)
        {
            BinaryPrimitives.WriteUInt64BigEndian(bytes.AsSpan(i * sizeof(ulong)), ids[i]);
        }

        return Sha1.Head(bytes);
    }

    /// <summary>Lower case hex without leading zeros, as in keys, paths and logs.</summary>
    public static string Hex(ulong id) => id.ToString("x", CultureInfo.InvariantCulture);

    /// <summary>Reads 1 to 16 hex digits.</summary>
    public static bool TryParseHex(ReadOnlySpan<char> text, out ulong id)
    {
        id = 0;
        return text.Length is >= 1 and <= 16
            && ulong.TryParse(text, NumberStyles.AllowHexSpecifier, CultureInfo.InvariantCulture, out id);
    }
}
