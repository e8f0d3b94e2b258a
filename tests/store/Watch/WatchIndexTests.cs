using System.Text;
using Perf.Store.Watch;
using Xunit;

namespace Perf.Store.Tests.Watch;

public class WatchIndexTests
{
    [Fact]
    public void Any_churn_of_keys_and_ranges_matches_what_a_plain_list_matches()
    {
        for (int seed = 0; seed < 20; seed++)
        {
            var random = new Random(seed);
            var index = new WatchIndex();
            var stream = new WatchStream(shard: null!, new RecordingOutput(), permission: null);
            var watchers = new List<Watcher>();
            for (int step = 0; step < 600; step++)
            {
                if (watchers.Count == 0 || random.Next(5) < (step < 400 ? 3 : 1))
                {
                    var watcher = new Watcher(stream, step, Target(random), nextRevision: 1, progressFrom: 1);
                    watchers.Add(watcher);
                    index.Add(watcher);
                }
                else
                {
                    int at = random.Next(watchers.Count);
                    index.Remove(watchers[at]);
                    watchers.RemoveAt(at);
                }
                Assert.Equal(watchers.Count, index.Count);

                byte[] key = Key(random);
                var groups = new List<WatchGroup>();
                index.Match(key, groups);
                Assert.Equal(groups.Count, groups.Distinct().Count());
                Assert.All(groups, g => Assert.True(g.Count > 0));
                IEnumerable<long> matched = groups.SelectMany(g => Enumerable.Range(0, g.Count).Select(i => g[i].Id));
                Assert.Equal(watchers.Where(w => Covers(w.Target, key)).Select(w => w.Id), matched.Order());
            }
        }
    }

    private static WatchTarget Target(Random random)
    {
        byte[] key = Key(random);
        byte[]? end = null;
        bool isRange = random.Next(3) > 0;
        if (isRange && random.Next(4) > 0)
        {
            end = Key(random);
            if (end.AsSpan().SequenceCompareTo(key) <= 0)
            {
                end = [.. key, 0xFF];
            }
        }
        return new WatchTarget(key, end, isRange) { NoPut = random.Next(4) == 0, PreviousKv = random.Next(4) == 0 };
    }

    private static byte[] Key(Random random) => Encoding.ASCII.GetBytes($"{random.Next(40):x}");

    private static bool Covers(in WatchTarget target, byte[] key)
    {
        if (!target.IsRange)
        {
            return key.AsSpan().SequenceEqual(target.Key);
        }
        return key.AsSpan().SequenceCompareTo(target.Key) >= 0
            && (target.End is null || key.AsSpan().SequenceCompareTo(target.End) < 0);
    }
}
