using Perf.Engine;
using Perf.Engine.Transactions;
using Perf.Store.Backend;
using Perf.Store.Mvcc;
using Xunit;

namespace Perf.Store.Tests.Mvcc;

/// <summary>However the work is cut and whoever does it, the index is the same.</summary>
public sealed class IndexLoaderTests
{
    private const int Keys = 4_000;

    private static readonly Dictionary<string, WorkRunner> Runners = new()
    {
        ["one after the other"] = (count, work) =>
        {
            for (int i = 0; i < count; i++)
            {
                work(i);
            }
        },
        ["last first"] = (count, work) =>
        {
            for (int i = count - 1; i >= 0; i--)
            {
                work(i);
            }
        },
        ["threads"] = RunOnThreads,
    };

    [Theory]
    [InlineData("one after the other", 4)]
    [InlineData("last first", 3)]
    [InlineData("threads", 2)]
    [InlineData("threads", 7)]
    public void Pieces_make_the_index_that_one_pass_makes(string runner, int parts)
    {
        using StoreRig rig = Filled();
        KeyIndex whole = Load(rig.Backend.File, null, 1, out long newestWhole);
        KeyIndex pieces = Load(rig.Backend.File, Runners[runner], parts, out long newest);
        pieces.Tree.Verify();
        Assert.Equal(newestWhole, newest);
        Assert.Equal(Describe(whole), Describe(pieces));
        Assert.Equal(whole.Tree.CountLive(KeyRange.Of([0], [0])), pieces.Tree.CountLive(KeyRange.Of([0], [0])));
    }

    [Fact]
    public void Damage_met_by_whoever_reads_comes_out_as_it_is()
    {
        using StoreRig rig = Filled();
        var batch = new WriteBatch();
        batch.Put(Buckets.Key, new byte[17], [1]);
        rig.Backend.File.Commit(batch);
        Assert.Throws<CorruptionException>(() => Load(rig.Backend.File, Runners["threads"], 4, out _));
    }

    private static KeyIndex Load(DataFile file, WorkRunner? runner, int parts, out long newest)
    {
        var index = new KeyIndex(new ReaderEpochs());
        newest = IndexLoader.Load(file, index, runner, parts, pieceBytes: 16 << 10);
        return index;
    }

    private static StoreRig Filled()
    {
        var rig = new StoreRig();
        var random = new Random(7);
        for (int i = 0; i < Keys; i++)
        {
            rig.Put(Key(random.Next(Keys)), new string('v', random.Next(200)), lease: 0);
            if (i % 10 == 0)
            {
                rig.Delete(Key(random.Next(Keys)));
            }
        }

        rig.Store.Publish();
        rig.Backend.CommitAll();
        return rig;
    }

    /// <summary>Some differ early, some only behind what they have in common, and one begins what others are.</summary>
    private static string Key(int i) => (i % 3) switch
    {
        0 => $"key/{i}",
        1 => $"registry/with/the/same/beginning/{i}",
        _ => "registry/with/the/same/beginning/1"[..^(i % 2)],
    };

    private static List<string> Describe(KeyIndex index)
    {
        var lines = new List<string>();
        uint[] ids = new uint[KeyTree.LeafKeysMax];
        for (byte[]? from = []; from is not null;)
        {
            int count = index.Tree.CopyLeaf(from, ids, out from);
            foreach (uint id in ids[..count])
            {
                string line = Convert.ToHexString(index.Keys.Key(id));
                for (KeyVersion version = index.Keys.Newest(id); ; version = index.Keys.OlderVersionOf(version.Older))
                {
                    line += $" {version.Main}.{version.Sub} {version.Length} {version.IsTombstone}";
                    if (version.Older == 0)
                    {
                        break;
                    }
                }

                lines.Add(line);
            }
        }

        return lines;
    }

    private static void RunOnThreads(int count, Action<int> work)
    {
        var threads = new Thread[count];
        for (int i = 0; i < count; i++)
        {
            int part = i;
            threads[i] = new Thread(() => work(part));
            threads[i].Start();
        }

        foreach (Thread thread in threads)
        {
            thread.Join();
        }
    }
}
