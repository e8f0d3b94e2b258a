namespace Perf.Engine.Transactions;

/// <summary>Changes of one bucket in strictly ascending key order, pulled once by the commit.</summary>
public interface IChangeSource
{
    /// <summary>Goes to the next change; false after the last one.</summary>
    bool MoveNext();

    /// <summary>The key, 1 to 32,768 bytes; good until the next <see cref="MoveNext"/>.</summary>
    ReadOnlySpan<byte> Key { get; }

    /// <summary>The value to store; empty for a delete. Good until the next <see cref="MoveNext"/>.</summary>
    ReadOnlySpan<byte> Value { get; }

    /// <summary>True: remove the key (no error when it is not there).</summary>
    bool IsDelete { get; }
}
