using Perf.Engine.IO;
using Perf.Engine.Wal;
using Xunit;

namespace Perf.Engine.Tests.Wal;

/// <summary>
/// Faults of the medium in logs that were closed in order. A start either has every acknowledged record or names file,
/// offset and reason; it never goes on with less.
/// </summary>
public sealed class WalDamageTests
{
    private static readonly WalOptions Options = WalSamples.Small with { SegmentBytes = 1024 };

    [Fact]
    public void Any_truncated_zeroed_or_flipped_byte_of_three_segments_is_survived_or_named()
    {
        (Dictionary<string, byte[]> files, WalModel expected) = MakeThreeSegments();
        int refused = 0;
        int survived = 0;
        foreach ((string path, byte[] original) in files)
        {
            if (!path.EndsWith(".wal", StringComparison.Ordinal))
            {
                continue;
            }

            for (int at = 0; at < original.Length; at++)
            {
                Check(path, original[..at], $"{path} cut at {at}");

                byte[] changed = (byte[])original.Clone();
                changed[at] ^= (byte)(1 << (at % 8));
                Check(path, changed, $"{path} bit flipped at {at}");

                if (original[at] != 0)
                {
                    changed = (byte[])original.Clone();
                    changed[at] = 0;
                    Check(path, changed, $"{path} zeroed at {at}");
                }

                if (at % 512 == 0)
                {
                    changed = (byte[])original.Clone();
                    changed.AsSpan(at, Math.Min(512, original.Length - at)).Clear();
                    Check(path, changed, $"{path} sector zeroed at {at}");
                }
            }
        }

        Assert.True(refused > 1000, $"{refused} refused, {survived} survived");
        Assert.True(survived > 100, $"{refused} refused, {survived} survived");

        void Check(string path, byte[] changed, string where)
        {
            SimDisk disk = Restore(files);
            WalSamples.WriteAll(disk, path, changed);
            var model = new WalModel();
            try
            {
                WalLog.Open(disk, WalSamples.Directory, default, Options, model).Dispose();
                Assert.True(expected.Equals(model), $"{where}: {expected} became {model}");
                survived++;
            }
            catch (CorruptionException e)
            {
                Assert.NotEmpty(e.Reason);
                Assert.StartsWith(WalSamples.Directory, e.File, StringComparison.Ordinal);

                // Refused means untouched.
                Assert.Equal(changed, WalSamples.ReadAll(disk, path));
                refused++;
            }
        }
    }

    [Fact]
    public void Without_the_sidecar_only_the_last_group_may_be_lost()
    {
        (Dictionary<string, byte[]> files, WalModel expected) = MakeThreeSegments();
        string last = files.Keys.Where(p => p.EndsWith(".wal", StringComparison.Ordinal)).Max(StringComparer.Ordinal)!;
        files.Remove(WalSamples.MarkPath);
        byte[] original = files[last];
        WalOptions options = Options with { MarkPath = null };
        int cutOff = 0;
        for (int at = 0; at < original.Length; at++)
        {
            SimDisk disk = Restore(files);
            byte[] changed = (byte[])original.Clone();
            changed[at] ^= (byte)(1 << (at % 8));
            WalSamples.WriteAll(disk, last, changed);
            var model = new WalModel();
            try
            {
                WalLog.Open(disk, WalSamples.Directory, default, options, model).Dispose();
            }
            catch (CorruptionException)
            {
                continue;
            }

            // The last group is the last entry and its hard state.
            if (!expected.Equals(model))
            {
                cutOff++;
                Assert.InRange(expected.LastIndex - model.LastIndex, 0UL, 1UL);
                Assert.True(disk.FileExists(last + ".broken"));
                Assert.Equal(changed, WalSamples.ReadAll(disk, last + ".broken"));
            }
        }

        Assert.True(cutOff > 50);
    }

    [Fact]
    public void A_lost_segment_is_named()
    {
        (Dictionary<string, byte[]> files, _) = MakeThreeSegments();
        string[] segments = [.. files.Keys.Where(p => p.EndsWith(".wal", StringComparison.Ordinal)).Order(StringComparer.Ordinal)];
        foreach (string segment in segments)
        {
            SimDisk disk = Restore(files);
            disk.Delete(segment);
            Assert.Throws<CorruptionException>(
                () => WalLog.Open(disk, WalSamples.Directory, default, Options, new WalModel()));
        }
    }

    [Fact]
    public void The_last_group_zeroed_is_named_by_the_sidecar_alone()
    {
        (Dictionary<string, byte[]> files, WalModel expected) = MakeThreeSegments();
        string last = files.Keys.Where(p => p.EndsWith(".wal", StringComparison.Ordinal)).Max(StringComparer.Ordinal)!;
        byte[] changed = (byte[])files[last].Clone();
        int end = changed.AsSpan().LastIndexOfAnyExcept((byte)0) + 1;
        changed.AsSpan(end - 150, 150).Clear();

        SimDisk disk = Restore(files);
        WalSamples.WriteAll(disk, last, changed);
        CorruptionException refused = Assert.Throws<CorruptionException>(
            () => WalLog.Open(disk, WalSamples.Directory, default, Options, new WalModel()));
        Assert.Contains("durable", refused.Reason, StringComparison.Ordinal);

        // Without it this is what a torn last group looks like.
        var model = new WalModel();
        WalLog.Open(disk, WalSamples.Directory, default, Options with { MarkPath = null }, model).Dispose();
        Assert.True(model.LastIndex < expected.LastIndex);
    }

    [Fact]
    public void A_damaged_sidecar_or_one_of_another_cluster_is_as_good_as_none()
    {
        (Dictionary<string, byte[]> files, WalModel expected) = MakeThreeSegments();
        byte[] mark = files[WalSamples.MarkPath];
        for (int at = 0; at < mark.Length; at++)
        {
            SimDisk disk = Restore(files);
            byte[] changed = (byte[])mark.Clone();
            changed[at] ^= 0x10;
            WalSamples.WriteAll(disk, WalSamples.MarkPath, changed);
            var model = new WalModel();
            WalLog.Open(disk, WalSamples.Directory, default, Options, model).Dispose();
            Assert.True(expected.Equals(model));
        }

        SimDisk other = WalSamples.NewDisk();
        WalSamples.WriteAll(other, WalSamples.MarkPath, mark);
        WalLog.Create(other, WalSamples.Directory, 5, 6, Options).Dispose();
        WalLog.Open(other, WalSamples.Directory, default, Options, new WalModel()).Dispose();
    }

    [Fact]
    public void Values_that_imitate_marks_do_not_turn_a_torn_tail_into_damage()
    {
        // A value full of well-made frames, one of them a mark with a record that follows from it.
        byte[] imitation = new byte[512];
        int at = 0;
        while (at < 400)
        {
            at += WalFormat.WriteFrame(imitation.AsSpan(at), RecordKind.Crc, 0, default);
            byte[] noop = Convert.FromHexString("080010011801");
            at += WalFormat.WriteFrame(
                imitation.AsSpan(at), RecordKind.Entry, Memory.Crc32C.Append(0, noop), noop);
        }

        for (int shift = 0; shift < 8; shift++)
        {
            SimDisk disk = WalSamples.NewDisk();
            WalLog log = WalLog.Create(disk, WalSamples.Directory, 1, 2, Options with { MarkPath = null });
            byte[] entry = WalSamples.Entry(1, 1, 600);
            imitation.CopyTo(entry.AsSpan(20 + shift));
            log.AppendEntry(1, entry);
            log.Dispose();
            string path = WalSamples.Directory + "/0000000000000000-0000000000000000.wal";
            byte[] bytes = WalSamples.ReadAll(disk, path);

            // The checksum of the entry's record is lost, its lengths are not.
            bytes[bytes.AsSpan().IndexOf(entry.AsSpan(0, 8)) - 5] ^= 0x01;
            WalSamples.WriteAll(disk, path, bytes);
            var model = new WalModel();
            WalLog.Open(disk, WalSamples.Directory, default, Options with { MarkPath = null }, model).Dispose();
            Assert.Empty(model.Entries);
        }
    }

    [Fact]
    public void In_a_segment_without_group_marks_the_rule_of_etcd_decides()
    {
        WalOptions asEtcd = Options with { GroupMarks = false, MarkPath = null, SegmentBytes = 8192 };
        SimDisk disk = WalSamples.NewDisk();
        using (WalLog log = WalLog.Create(disk, WalSamples.Directory, 1, 2, asEtcd))
        {
            for (ulong i = 1; i <= 4; i++)
            {
                log.AppendEntry(i, WalSamples.Entry(1, i, 1000));
                log.Sync();
            }
        }

        string path = WalSamples.Directory + "/0000000000000000-0000000000000000.wal";
        byte[] original = WalSamples.ReadAll(disk, path);
        int end = original.AsSpan().LastIndexOfAnyExcept((byte)0) + 1;

        // A flipped bit without a zero sector: refused.
        byte[] changed = (byte[])original.Clone();
        changed[end - 500] ^= 1;
        Assert.Throws<CorruptionException>(() => Open(changed, out _));

        // A sector of zeros in the last record: torn.
        changed = (byte[])original.Clone();
        changed.AsSpan((end - 600) / 512 * 512, 512).Clear();
        Open(changed, out WalModel model);
        Assert.Equal(3UL, model.LastIndex);

        // A record that is longer than the file: torn.
        Open(original[..(end - 40)], out model);
        Assert.Equal(3UL, model.LastIndex);

        void Open(byte[] bytes, out WalModel read)
        {
            SimDisk copy = WalSamples.NewDisk();
            copy.CreateDirectory(WalSamples.Directory);
            WalSamples.WriteAll(copy, path, bytes);
            read = new WalModel();
            WalLog.Open(copy, WalSamples.Directory, default, asEtcd, read).Dispose();
        }
    }

    [Fact]
    public void Reading_back_a_changed_byte_is_named()
    {
        SimDisk disk = WalSamples.NewDisk();
        using WalLog log = WalLog.Create(disk, WalSamples.Directory, 1, 2, WalSamples.Small);
        for (ulong i = 1; i <= 10; i++)
        {
            log.AppendEntry(i, WalSamples.Entry(1, i, 100));
        }

        log.Sync();
        disk.FlipBit(WalSamples.Directory + "/0000000000000000-0000000000000000.wal", 700, 3);
        Assert.Throws<CorruptionException>(() => log.ReadEntries(1, 11, int.MaxValue, new WalModel()));
    }

    private static (Dictionary<string, byte[]> Files, WalModel Expected) MakeThreeSegments()
    {
        SimDisk disk = WalSamples.NewDisk();
        var driver = new WalDriver(
            WalLog.Create(disk, WalSamples.Directory, WalSamples.NodeId, WalSamples.ClusterId, Options));
        ulong index = 0;
        for (int segment = 0; segment < 3; segment++)
        {
            for (int i = 0; i < 4; i++)
            {
                index++;
                driver.Entry(1, index, 90 + i * 13);
                driver.State(1, 1, index);
                driver.Sync();
            }

            if (segment < 2)
            {
                driver.Cut();
            }
        }

        WalModel expected = driver.Now;
        driver.Log.Dispose();
        var files = new Dictionary<string, byte[]> { [WalSamples.MarkPath] = WalSamples.ReadAll(disk, WalSamples.MarkPath) };
        foreach (string name in disk.List(WalSamples.Directory))
        {
            string path = WalSamples.Directory + "/" + name;
            files.Add(path, WalSamples.ReadAll(disk, path));
        }

        Assert.Equal(4, files.Count);
        return (files, expected);
    }

    private static SimDisk Restore(Dictionary<string, byte[]> files)
    {
        SimDisk disk = WalSamples.NewDisk();
        disk.CreateDirectory(WalSamples.Directory);
        foreach ((string path, byte[] bytes) in files)
        {
            WalSamples.WriteAll(disk, path, bytes);
        }

        return disk;
    }
}
