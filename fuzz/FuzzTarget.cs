namespace Perf.Fuzz;

/// <summary>
/// A reader of foreign bytes with what must hold of it. Run lets everything bubble up but what the reader promises to
/// throw; a broken promise is a <see cref="BrokenException"/>.
/// </summary>
internal abstract class FuzzTarget(string name)
{
    /// <summary>Name on the command line, and of the folder in Corpus.</summary>
    public string Name { get; } = name;

    /// <summary>The check behaves as if the product had a bug; a campaign must find it.</summary>
    public bool IsPlanted { get; set; }

    /// <summary>Inputs that got past the first check of length or form, where most noise ends.</summary>
    public long Entered { get; private set; }

    /// <summary>Good inputs to begin with.</summary>
    public abstract IEnumerable<byte[]> Seeds();

    public abstract void Run(ReadOnlySpan<byte> input);

    /// <summary>A new input out of old ones. Who knows the form of the bytes keeps to it most of the time.</summary>
    public virtual byte[] Change(Mutator mutator, IReadOnlyList<byte[]> corpus) => mutator.Bytes(corpus);

    /// <summary>To be called once by a run that is past the first check.</summary>
    protected void Enter() => Entered++;

    protected static void Require(bool holds, string promise)
    {
        if (!holds)
        {
            throw new BrokenException(promise);
        }
    }

    protected static void RequireEqual<T>(T expected, T actual, string what)
    {
        if (!EqualityComparer<T>.Default.Equals(expected, actual))
        {
            throw new BrokenException($"{what}: expected {expected}, got {actual}");
        }
    }

    protected static void RequireSame(ReadOnlySpan<byte> expected, ReadOnlySpan<byte> actual, string what)
    {
        if (!expected.SequenceEqual(actual))
        {
            throw new BrokenException(
                $"{what}: expected {Convert.ToHexString(expected)}, got {Convert.ToHexString(actual)}");
        }
    }
}

/// <summary>Something that must hold does not.</summary>
internal sealed class BrokenException(string promise) : Exception(promise);
