using Perf.Store.Backend;

namespace Perf.Store.Mvcc;

/// <summary>The parts of the index that a snapshot install replaces together.</summary>
internal sealed class KeyIndex
{
    public KeyIndex(ReaderEpochs epochs)
    {
        Keys = new KeyTable(epochs);
        Tree = new KeyTree(Keys);
    }

    public KeyTable Keys { get; }

    public KeyTree Tree { get; }

    /// <summary>A record that was loaded names a lease. Apply thread, at start.</summary>
    public bool HasLeases { get; set; }

    /// <summary>Apply thread only.</summary>
    public SupersededQueue Superseded { get; } = new();
}
