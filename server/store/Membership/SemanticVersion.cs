using System.Globalization;

namespace Perf.Store.Membership;

/// <summary>A version of the form major.minor.patch, as cluster versions are written.</summary>
public readonly record struct SemanticVersion(int Major, int Minor, int Patch) : IComparable<SemanticVersion>
{
    /// <summary>The version a cluster begins with while its members' versions are not all known.</summary>
    public static readonly SemanticVersion ClusterMin = new(3, 0, 0);

    /// <summary>The same without the patch level: what cluster versions are compared by.</summary>
    public SemanticVersion MajorMinor => this with { Patch = 0 };

    /// <summary>Reads <c>3.5.0</c>; pre-release and build suffixes are allowed and dropped.</summary>
    public static bool TryParse(string text, out SemanticVersion version)
    {
        version = default;
        int end = text.AsSpan().IndexOfAny('-', '+');
        string[] parts = (end < 0 ? text : text[..end]).Split('.');
        if (parts.Length != 3
            || !TryNumber(parts[0], out int major)
            || !TryNumber(parts[1], out int minor)
            || !TryNumber(parts[2], out int patch))
        {
            return false;
        }

        version = new SemanticVersion(major, minor, patch);
        return true;

        static bool TryNumber(string digits, out int number) =>
            int.TryParse(digits, NumberStyles.None, CultureInfo.InvariantCulture, out number);
    }

    /// <summary>True when the leader may propose <paramref name="decided"/>: upward within a major version, or
    /// exactly one minor version down.</summary>
    public static bool IsValidChange(SemanticVersion current, SemanticVersion decided)
    {
        if (current.Major != decided.Major)
        {
            return false;
        }

        return decided.Minor > current.Minor || decided.Minor == current.Minor - 1;
    }

    /// <inheritdoc/>
    public int CompareTo(SemanticVersion other) =>
        (Major, Minor, Patch).CompareTo((other.Major, other.Minor, other.Patch));

    /// <inheritdoc/>
    public override string ToString() => string.Create(CultureInfo.InvariantCulture, $"{Major}.{Minor}.{Patch}");

    public static bool operator <(SemanticVersion left, SemanticVersion right) => left.CompareTo(right) < 0;

    public static bool operator >(SemanticVersion left, SemanticVersion right) => left.CompareTo(right) > 0;

    public static bool operator <=(SemanticVersion left, SemanticVersion right) => left.CompareTo(right) <= 0;

    public static bool operator >=(SemanticVersion left, SemanticVersion right) => left.CompareTo(right) >= 0;
}
