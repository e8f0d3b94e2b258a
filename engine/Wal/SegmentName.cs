using System.Globalization;
using Perf.Engine.IO;

namespace Perf.Engine.Wal;

/// <summary>A segment's file name: its place in the sequence, and the index its first new entry has.</summary>
internal readonly record struct SegmentName(ulong Sequence, ulong Index)
{
    private const int NameLength = 16 + 1 + 16 + 4;

    public override string ToString() => $"{Sequence:x16}-{Index:x16}.wal";

    public static bool TryParse(string name, out SegmentName segment)
    {
        segment = default;
        if (name.Length != NameLength || name[16] != '-' || !name.EndsWith(".wal", StringComparison.Ordinal)
            || !ulong.TryParse(name.AsSpan(0, 16), NumberStyles.AllowHexSpecifier, CultureInfo.InvariantCulture, out ulong sequence)
            || !ulong.TryParse(name.AsSpan(17, 16), NumberStyles.AllowHexSpecifier, CultureInfo.InvariantCulture, out ulong index))
        {
            return false;
        }

        segment = new SegmentName(sequence, index);
        return true;
    }

    /// <summary>All segments of a directory in their sequence; other files are none of our business.</summary>
    public static List<SegmentName> List(IDisk disk, string walDirectory)
    {
        var segments = new List<SegmentName>();
        foreach (string name in disk.List(walDirectory))
        {
            if (TryParse(name, out SegmentName segment))
            {
                segments.Add(segment);
            }
        }

        segments.Sort((a, b) => a.Sequence.CompareTo(b.Sequence));
        return segments;
    }
}
