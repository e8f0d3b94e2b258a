using System.Runtime.CompilerServices;

namespace Perf.Store.Mvcc;

internal sealed partial class KeyTree
{
    /// <summary>
    /// Finds and enters keys that come in ascending order, as at a start: neighbours share the way down. Good while
    /// nobody else changes the tree. Apply thread.
    /// </summary>
    /// <remarks>Optimized at once: a start is over before the runtime has seen to it.</remarks>
    internal sealed class Ascent(KeyTree tree)
    {
        private Leaf? _leaf;

        /// <summary>Keys from here on are in other leaves; null: there are none.</summary>
        private byte[]? _fence;
        private int _at;

        /// <summary>The key's id, or 0.</summary>
        [MethodImpl(MethodImplOptions.AggressiveOptimization)]
        public uint Find(ReadOnlySpan<byte> key)
        {
            if (_leaf is null || (_fence is not null && key.SequenceCompareTo(_fence) >= 0))
            {
                Descend(key);
            }

            _at = tree.LowerBound(_leaf!, key, out bool found);
            return found ? _leaf!.Ids[_at] : 0;
        }

        /// <summary>Enters the key that <see cref="Find"/> has just not found.</summary>
        [MethodImpl(MethodImplOptions.AggressiveOptimization)]
        public void Insert(ReadOnlySpan<byte> key, uint id)
        {
            if (_leaf!.Count == Capacity)
            {
                // The leaf will be two.
                _leaf = null;
                tree.Insert(key, id);
                return;
            }

            tree.BeginChange();
            tree.InsertAt(_leaf, _at, key, id);
            tree.Count++;
            tree.EndChange();
        }

        private void Descend(ReadOnlySpan<byte> key)
        {
            _fence = null;
            Node node = tree._root;
            while (node is Branch branch)
            {
                int child = ChildOf(branch, key);
                if (child < branch.Count)
                {
                    _fence = branch.Separators[child];
                }
                node = branch.Children[child]!;
            }

            _leaf = (Leaf)node;
        }
    }
}
