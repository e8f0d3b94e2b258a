using System.Text;
using BenchmarkDotNet.Attributes;
using Perf.Store.Watch;

namespace Perf.Bench.Micro;

/// <summary>Which watchers an event concerns: keys by hash, ranges by a tree.</summary>
public class WatchBenchmarks
{
    private readonly List<WatchGroup> _matched = [];
    private readonly Random _random = new(1);
    private byte[][] _keys = [];
    private WatchIndex _index = null!;

    [Params(100, 10_000)]
    public int Watchers { get; set; }

    /// <summary>True: every watcher has a range of a hundred keys; false: one key.</summary>
    [Params(false, true)]
    public bool Ranges { get; set; }

    [GlobalSetup]
    public void Setup()
    {
        _index = new WatchIndex();
        _keys = [.. Enumerable.Range(0, Watchers).Select(i => Encoding.ASCII.GetBytes($"registry/pods/{i:D9}"))];
        var stream = new WatchStream(shard: null!, output: null!, permission: null);
        for (int i = 0; i < Watchers; i++)
        {
            byte[]? end = Ranges ? Encoding.ASCII.GetBytes($"registry/pods/{i + 100:D9}") : null;
            _index.Add(new Watcher(
                stream, i, new WatchTarget(_keys[i], end, Ranges), nextRevision: 1, progressFrom: 1));
        }
    }

    [Benchmark]
    public int Match()
    {
        _matched.Clear();
        _index.Match(_keys[_random.Next(Watchers)], _matched);
        return _matched.Count;
    }
}
