using FsCheck;
using FsCheck.Fluent;
using Perf.Store.Auth;
using Perf.Testing;
using Xunit;

namespace Perf.Store.Tests.Auth;

/// <summary>
/// A set of ranges covers what its keys say one by one. Membership changes at begins and ends only, so a range is covered
/// when its first key is, and every begin and end within it.
/// </summary>
public sealed class KeyRangeSetPropertyTests
{
    [Fact]
    public void Any_ranges_cover_what_a_set_of_keys_says() => Properties.Hold(
        Cases, Smaller, cases: 800, check: Run, sizeMax: 12);

    /// <summary>Keys that share their first eight bytes, or differ by what directly follows, or by sign of a byte.</summary>
    private static Gen<byte[]> Keys { get; } =
        from head in Gen.Elements("", "abcdefg", "abcdefgh", "abcdefghi")
        from tail in Gen.Elements((byte)0, (byte)1, (byte)'a', (byte)'b', (byte)0x7f, (byte)0x80, (byte)0xff).ArrayOf(3)
        from bytes in Gen.Choose(0, 3)
        select (byte[])[.. head.Select(c => (byte)c), .. tail[..bytes]];

    private static Gen<Span> Spans { get; } =
        from begin in Keys
        from end in Gen.Frequency((5, Keys), (1, Gen.Constant((byte[])[0])), (1, Gen.Constant((byte[])[])))
        select new Span(begin, end);

    private static Gen<Case> Cases { get; } =
        from grants in Spans.ArrayOf()
        from asked in Spans.ArrayOf(8)
        select new Case(grants, asked);

    private static IEnumerable<Case> Smaller(Case input) =>
    [
        .. Properties.Smaller(input.Asked, Smaller).Select(asked => input with { Asked = asked }),
        .. Properties.Smaller(input.Grants, Smaller).Select(grants => input with { Grants = grants }),
    ];

    private static IEnumerable<Span> Smaller(Span span) =>
    [
        .. Properties.Smaller(span.Begin).Select(begin => span with { Begin = begin }),
        .. Properties.Smaller(span.End).Select(end => span with { End = end }),
    ];

    private static void Run(Case input)
    {
        // As a role's permissions are compiled: no end is the one key, a zero byte no end at all.
        var set = KeyRangeSet.Compile(input.Grants.Where(grant => grant.Begin.Length > 0).Select(
            grant => (grant.Begin, grant.IsOpen ? null : grant.End.Length == 0 ? [.. grant.Begin, 0] : grant.End)));
        foreach (Span asked in input.Asked)
        {
            Assert.True(
                set.Covers(asked.Begin, asked.End) == IsCovered(input.Grants, asked),
                $"{asked}: covered {set.Covers(asked.Begin, asked.End)}");
        }
    }

    private static bool IsCovered(Span[] grants, Span asked)
    {
        if (asked.Begin.Length == 0)
        {
            return false;
        }

        IEnumerable<byte[]> corners = grants.SelectMany(grant => new[] { grant.Begin, grant.End, [.. grant.Begin, 0] })
            .Where(corner => corner.Length > 0 && asked.Holds(corner))
            .Prepend(asked.Begin);
        return corners.All(key => grants.Any(grant => grant.Begin.Length > 0 && grant.Holds(key)));
    }

    private sealed record Span(byte[] Begin, byte[] End)
    {
        public bool IsOpen => End is [0];

        public bool Holds(byte[] key) => End.Length == 0
            ? key.AsSpan().SequenceEqual(Begin)
            : key.AsSpan().SequenceCompareTo(Begin) >= 0 && (IsOpen || key.AsSpan().SequenceCompareTo(End) < 0);

        public override string ToString() => $"[{Convert.ToHexString(Begin)},{Convert.ToHexString(End)})";
    }

    private sealed record Case(Span[] Grants, Span[] Asked)
    {
        public override string ToString() => $"asked {string.Join(' ', (object[])Asked)} of {string.Join(' ', (object[])Grants)}";
    }
}
