using System.Globalization;
using System.Text;
using Perf.Store.Commands;

namespace Perf.Node.Logging;

/// <summary>An entry's request as etcd writes it into its log: what was asked for, not what was stored.</summary>
internal static class RequestText
{
    /// <summary>Keys are cut behind so many bytes: a line of the log is for reading.</summary>
    private const int KeyBytesMax = 256;

    public static string Of(ReadOnlySpan<byte> data)
    {
        if (data.IsEmpty || !InternalRequestView.TryParse(data, out InternalRequestView request))
        {
            return string.Create(CultureInfo.InvariantCulture, $"size:{data.Length} ");
        }

        return string.Create(
            CultureInfo.InvariantCulture, $"header:<ID:{request.Id} > {What(request.Field, request.Body)} ");
    }

    private static string What(int field, ReadOnlySpan<byte> body)
    {
        switch (field)
        {
            case InternalField.Put when PutView.TryParse(body, out PutView put):
                return string.Create(
                    CultureInfo.InvariantCulture, $"put:<key:{Quote(put.Key)} value_size:{put.Value.Length} >");
            case InternalField.DeleteRange when DeleteRangeView.TryParse(body, out DeleteRangeView delete):
                return $"delete_range:<key:{Quote(delete.Key)} range_end:{Quote(delete.RangeEnd)} >";
            case InternalField.Compaction when CompactionView.TryParse(body, out CompactionView compaction):
                return string.Create(CultureInfo.InvariantCulture, $"compaction:<revision:{compaction.Revision} >");
            default:
                return string.Create(CultureInfo.InvariantCulture, $"{Name(field)}:<size:{body.Length} >");
        }
    }

    private static string Name(int field) => field switch
    {
        InternalField.Put => "put",
        InternalField.Range => "range",
        InternalField.DeleteRange => "delete_range",
        InternalField.Txn => "txn",
        InternalField.Compaction => "compaction",
        InternalField.LeaseGrant => "lease_grant",
        InternalField.LeaseRevoke => "lease_revoke",
        InternalField.LeaseCheckpoint => "lease_checkpoint",
        InternalField.Alarm => "alarm",
        _ => string.Create(CultureInfo.InvariantCulture, $"request_{field}"),
    };

    private static string Quote(ReadOnlySpan<byte> key)
    {
        var text = new StringBuilder("\"");
        foreach (byte b in key[..Math.Min(key.Length, KeyBytesMax)])
        {
            if (b is >= 0x20 and < 0x7F and not (byte)'"' and not (byte)'\\')
            {
                text.Append((char)b);
            }
            else
            {
                text.Append('\\').Append(Convert.ToString(b, 8).PadLeft(3, '0'));
            }
        }

        return text.Append('"').ToString();
    }
}
