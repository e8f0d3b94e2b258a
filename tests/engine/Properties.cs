using System.Globalization;
using FsCheck;
using FsCheck.Fluent;
using Microsoft.FSharp.Core;

namespace Perf.Testing;

/// <summary>
/// What holds for every input, tried on many. The inputs follow from a number, so that a suite says the same each time; a
/// failure prints the smallest input that was found, and the seed and size that lead there again.
/// <code>
/// PERF_PROPERTY_CASES=50         fifty times as many cases
/// PERF_PROPERTY_SEED=7           other cases
/// PERF_PROPERTY_REPLAY=a,b,size  the one case that was printed: "size of 'size' and seed of (a,b)"
/// </code>
/// </summary>
internal static class Properties
{
    private const ulong Seed = 20261121;

    /// <summary>Fails with the shrunk input when <paramref name="check"/> throws.</summary>
    public static void Hold<T>(Gen<T> inputs, Func<T, IEnumerable<T>> shrink, int cases, Action<T> check, int sizeMax = 100)
    {
        Config config = Config.QuickThrowOnFailure
            .WithMaxTest(cases * (int)Number("PERF_PROPERTY_CASES", 1))
            .WithEndSize(sizeMax)
            .WithQuietOnSuccess(true)
            .WithReplay(FSharpOption<Replay>.Some(Begin()));
        Check.One(config, Prop.ForAll(Arb.From(inputs, shrink), check));
    }

    /// <summary>Runs of it left out, long ones first; then its items made smaller, one at a time.</summary>
    public static IEnumerable<T[]> Smaller<T>(T[] items, Func<T, IEnumerable<T>>? shrink = null)
    {
        for (int run = items.Length; run > 0; run /= 2)
        {
            for (int at = 0; at + run <= items.Length; at += run)
            {
                yield return [.. items[..at], .. items[(at + run)..]];
            }
        }

        for (int i = 0; shrink is not null && i < items.Length; i++)
        {
            foreach (T smaller in shrink(items[i]))
            {
                T[] copy = [.. items];
                copy[i] = smaller;
                yield return copy;
            }
        }
    }

    /// <summary>Numbers nearer to zero, the nearest first.</summary>
    public static IEnumerable<int> Smaller(int number)
    {
        for (int less = number; less != 0; less /= 2)
        {
            yield return number - less;
        }
    }

    /// <summary>As <see cref="Smaller(int)"/>.</summary>
    public static IEnumerable<ulong> Smaller(ulong number)
    {
        for (ulong less = number; less != 0; less /= 2)
        {
            yield return number - less;
        }
    }

    /// <summary>Small ones, large ones, and the edges of varints.</summary>
    public static Gen<ulong> Numbers { get; } = Gen.Frequency(
        (2, Gen.Constant(0UL)),
        (4, Gen.Choose(0, 300).Select(n => (ulong)n)),
        (4, Gen.Choose(0, 63).Select(bits => 1UL << bits)),
        (4, Gen.Choose(0, 63).Select(bits => (1UL << bits) - 1)),
        (1, Gen.Constant(ulong.MaxValue)));

    /// <summary>As <see cref="Numbers"/>, of either sign.</summary>
    public static Gen<long> Signed { get; } = Numbers.Select(number => (long)number);

    /// <summary>Any bytes, no more than the size of a case.</summary>
    public static Gen<byte[]> Bytes { get; } = Gen.Choose(0, 255).Select(b => (byte)b).ArrayOf();

    private static Replay Begin()
    {
        if (Environment.GetEnvironmentVariable("PERF_PROPERTY_REPLAY") is not { Length: > 0 } text)
        {
            return new Replay(new Rnd(Number("PERF_PROPERTY_SEED", Seed)), FSharpOption<int>.None);
        }

        ulong[] parts = [.. text.Split(',').Select(part => ulong.Parse(part, CultureInfo.InvariantCulture))];
        return new Replay(new Rnd(parts[0], parts[1]), FSharpOption<int>.Some((int)parts[2]));
    }

    private static ulong Number(string variable, ulong usual) =>
        Environment.GetEnvironmentVariable(variable) is { Length: > 0 } text
            ? ulong.Parse(text, CultureInfo.InvariantCulture)
            : usual;
}
