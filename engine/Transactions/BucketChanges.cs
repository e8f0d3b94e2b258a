using Perf.Engine.Tree;

namespace Perf.Engine.Transactions;

/// <summary>What a batch does to one bucket: explicit changes, copied into one arena, and sources.</summary>
internal sealed class BucketChanges(string name, byte[] nameBytes)
{
    private readonly List<Change> _changes = [];
    private byte[] _arena = [];
    private int _arenaUsed;

    public string Name { get; } = name;

    public byte[] NameBytes { get; } = nameBytes;

    public List<IChangeSource> Sources { get; } = [];

    /// <summary>False when the batch only wants the bucket to exist.</summary>
    public bool HasChanges => _changes.Count > 0 || Sources.Count > 0;

    public void Add(ReadOnlySpan<byte> key, ReadOnlySpan<byte> value, bool isDelete)
    {
        int needed = checked(_arenaUsed + key.Length + value.Length);
        if (needed > _arena.Length)
        {
            Array.Resize(ref _arena, (int)Math.Min(Math.Max(needed, Math.Max(256, _arena.Length * 2L)), Array.MaxLength));
        }

        key.CopyTo(_arena.AsSpan(_arenaUsed));
        value.CopyTo(_arena.AsSpan(_arenaUsed + key.Length));
        _changes.Add(new Change(_changes.Count, _arenaUsed, key.Length, value.Length, isDelete));
        _arenaUsed = needed;
    }

    /// <summary>All changes merged into one ascending stream, to be pulled once.</summary>
    public ChangeStream Open()
    {
        _changes.Sort((left, right) =>
        {
            int order = KeyOrder.Compare(Key(left), Key(right));
            return order != 0 ? order : left.Number - right.Number;
        });
        var inputs = new List<IChangeSource>(Sources);
        if (_changes.Count > 0)
        {
            inputs.Add(new Explicit(this));
        }

        return new ChangeStream(Name, inputs);
    }

    private ReadOnlySpan<byte> Key(Change change) => _arena.AsSpan(change.At, change.KeyBytes);

    private readonly record struct Change(int Number, int At, int KeyBytes, int ValueBytes, bool IsDelete);

    /// <summary>The sorted explicit changes; of several for one key the last.</summary>
    private sealed class Explicit(BucketChanges owner) : IChangeSource
    {
        private int _at = -1;

        public ReadOnlySpan<byte> Key => owner.Key(owner._changes[_at]);

        public ReadOnlySpan<byte> Value
        {
            get
            {
                Change change = owner._changes[_at];
                return owner._arena.AsSpan(change.At + change.KeyBytes, change.ValueBytes);
            }
        }

        public bool IsDelete => owner._changes[_at].IsDelete;

        public bool MoveNext()
        {
            _at++;
            while (_at + 1 < owner._changes.Count
                && owner.Key(owner._changes[_at]).SequenceEqual(owner.Key(owner._changes[_at + 1])))
            {
                _at++;
            }

            return _at < owner._changes.Count;
        }
    }
}
