using System.Text;
using BenchmarkDotNet.Attributes;
using Perf.Store.Backend;
using Perf.Store.Mvcc;

namespace Perf.Bench.Micro;

/// <summary>The index of keys in memory: what every get, put and count passes through.</summary>
public class KeyTreeBenchmarks
{
    private readonly Random _random = new(1);
    private byte[][] _keys = [];
    private KeyTable _table = null!;
    private KeyTree _tree = null!;
    private int _at;

    [Params(10_000, 1_000_000)]
    public int Keys { get; set; }

    [GlobalSetup]
    public void Setup()
    {
        _table = new KeyTable(new ReaderEpochs());
        _tree = new KeyTree(_table);
        _keys = [.. Enumerable.Range(0, Keys).Select(i => Encoding.ASCII.GetBytes($"registry/pods/default/{i:D9}"))];
        _random.Shuffle(_keys);
        foreach (byte[] key in _keys)
        {
            Insert(key);
        }
    }

    [Benchmark]
    public uint Find() => _tree.FindShared(_keys[_random.Next(Keys)]);

    /// <summary>Keys in half of the tree, by the counts of its subtrees.</summary>
    [Benchmark]
    public long CountHalf() => _tree.CountLive(KeyRange.Of("registry/"u8, "registry/pods/default/0005"u8));

    /// <summary>A key taken out and put back.</summary>
    [Benchmark]
    public void RemoveAndInsert()
    {
        byte[] key = _keys[_at++ % Keys];
        uint id = _tree.FindExact(key);
        _tree.BeginChange();
        _tree.SetAlive(key, alive: false);
        _tree.Remove(key);
        _tree.Insert(key, id);
        _tree.SetAlive(key, alive: true);
        _tree.EndChange();
    }

    private void Insert(byte[] key)
    {
        uint id = _table.Add(key);
        _tree.BeginChange();
        _tree.Insert(key, id);
        _tree.SetAlive(key, alive: true);
        _tree.EndChange();
    }
}
