using System.Collections;

namespace Perf.Grpc;

/// <summary>
/// Headers or trailers of a call, in order. Names are lower case; a name that ends in "-bin" carries bytes, which
/// travel as base64, and is added with <see cref="Add(string, ReadOnlySpan{byte})"/>.
/// </summary>
public sealed class Metadata : IEnumerable<KeyValuePair<string, string>>
{
    private readonly List<KeyValuePair<string, string>> _entries = [];
    private readonly bool _frozen;

    public Metadata()
    {
    }

    private Metadata(bool frozen)
    {
        _frozen = frozen;
    }

    /// <summary>Shared and empty; adding to it throws.</summary>
    public static Metadata Empty { get; } = new(frozen: true);

    public int Count => _entries.Count;

    /// <summary>Adds an entry in its wire form. Several entries may share a name.</summary>
    public void Add(string name, string value)
    {
        if (_frozen)
        {
            throw new InvalidOperationException("Metadata.Empty is shared; make a new Metadata.");
        }

        _entries.Add(new(name.ToLowerInvariant(), value));
    }

    public void Add(string name, ReadOnlySpan<byte> value)
    {
        if (!name.EndsWith("-bin", StringComparison.OrdinalIgnoreCase))
        {
            throw new ArgumentException($"{name}: a name with bytes must end in -bin", nameof(name));
        }

        Add(name, Convert.ToBase64String(value));
    }

    /// <summary>The first value of that name in its wire form, or null.</summary>
    public string? Get(string name)
    {
        foreach (KeyValuePair<string, string> entry in _entries)
        {
            if (string.Equals(entry.Key, name, StringComparison.OrdinalIgnoreCase))
            {
                return entry.Value;
            }
        }

        return null;
    }

    public IEnumerator<KeyValuePair<string, string>> GetEnumerator() => _entries.GetEnumerator();

    IEnumerator IEnumerable.GetEnumerator() => GetEnumerator();
}
