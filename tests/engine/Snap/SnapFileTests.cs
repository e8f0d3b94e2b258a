using Perf.Engine.IO;
using Perf.Engine.Snap;
using Xunit;

namespace Perf.Engine.Tests.Snap;

public sealed class SnapFileTests
{
    private const string Snaps = "/data/member/snap";

    private readonly SimDisk _disk = new();

    public SnapFileTests()
    {
        _disk.CreateDirectory(Snaps);
        foreach (string directory in new[] { "/", "/data", "/data/member" })
        {
            _disk.SyncDirectory(directory);
        }
    }

    [Fact]
    public void A_file_is_byte_for_byte_what_the_format_says()
    {
        // Computed apart from this code: {1 crc, 2 data}.
        byte[] snapshot = Convert.FromHexString("0a0568656c6c6f120808021001");
        Assert.Equal("08A69DFC9109120D0A0568656C6C6F120808021001", Convert.ToHexString(SnapFile.Encode(snapshot)));

        SnapFile.Write(_disk, Snaps, 2, 0x191, snapshot);
        Assert.True(_disk.FileExists(Snaps + "/0000000000000002-0000000000000191.snap"));
        Assert.Equal(snapshot, SnapFile.Read(_disk, Snaps, new SnapName(2, 0x191)));
    }

    [Fact]
    public void Every_changed_bit_and_every_missing_byte_is_found()
    {
        byte[] bytes = SnapFile.Encode("a snapshot of some length, so that its length matters"u8);
        for (int at = 0; at < bytes.Length; at++)
        {
            for (int bit = 0; bit < 8; bit++)
            {
                byte[] changed = (byte[])bytes.Clone();
                changed[at] ^= (byte)(1 << bit);
                Assert.Throws<CorruptionException>(() => SnapFile.Decode(changed, "x"));
            }

            Assert.Throws<CorruptionException>(() => SnapFile.Decode(bytes.AsSpan(0, at), "x"));
        }
    }

    [Fact]
    public void The_newest_readable_and_wanted_file_counts_and_broken_ones_are_set_aside()
    {
        foreach (ulong index in new ulong[] { 100, 200, 300, 400 })
        {
            SnapFile.Write(_disk, Snaps, index / 200, index, [(byte)(index / 100), 1, 2]);
        }

        Assert.Equal([400UL, 300, 200, 100], SnapFile.List(_disk, Snaps).Select(n => n.Index));
        _disk.FlipBit(Snaps + "/" + new SnapName(1, 300).FileName, 9, 0);
        (SnapName name, byte[] bytes) = SnapFile.ReadNewest(_disk, Snaps, n => n.Index != 400)!.Value;
        Assert.Equal(new SnapName(1, 200), name);
        Assert.Equal([2, 1, 2], bytes);
        Assert.True(_disk.FileExists(Snaps + "/" + new SnapName(1, 300).FileName + ".broken"));
        Assert.Equal([400UL, 200, 100], SnapFile.List(_disk, Snaps).Select(n => n.Index));
        Assert.Null(SnapFile.ReadNewest(_disk, Snaps, _ => false));
    }

    [Fact]
    public void Purge_keeps_the_newest()
    {
        for (ulong index = 1; index <= 7; index++)
        {
            SnapFile.Write(_disk, Snaps, 1, index, [1]);
        }

        Assert.Equal(0, SnapFile.Purge(_disk, Snaps, 0));
        Assert.Equal(2, SnapFile.Purge(_disk, Snaps, 5));
        Assert.Equal(0, SnapFile.Purge(_disk, Snaps, 5));
        Assert.Equal([7UL, 6, 5, 4, 3], SnapFile.List(_disk, Snaps).Select(n => n.Index));
    }

    [Fact]
    public void Power_off_at_any_call_leaves_the_old_file_or_the_whole_new_one()
    {
        for (int call = 1; ; call++)
        {
            var disk = new SimDisk();
            disk.CreateDirectory(Snaps);
            foreach (string directory in new[] { "/", "/data", "/data/member" })
            {
                disk.SyncDirectory(directory);
            }

            SnapFile.Write(disk, Snaps, 1, 1, "old"u8);
            disk.FailAt(disk.Calls + call, SimFailure.PowerOff);
            bool written = false;
            try
            {
                SnapFile.Write(disk, Snaps, 1, 2, new byte[3000]);
                written = true;
            }
            catch (SimCrashException)
            {
            }

            for (ulong seed = 0; seed < 10; seed++)
            {
                SimDisk crashed = disk.CrashCopy(seed);
                (SnapName name, byte[] bytes) = SnapFile.ReadNewest(crashed, Snaps, _ => true)!.Value;
                Assert.True(name.Index == 2 ? bytes.Length == 3000 : !written);
                SnapDatabase.DeleteLeftovers(crashed, Snaps);
                Assert.DoesNotContain(crashed.List(Snaps), n => n.StartsWith("tmp", StringComparison.Ordinal));
            }

            if (written)
            {
                return;
            }
        }
    }

    [Fact]
    public void A_received_database_gets_its_name_when_it_is_whole()
    {
        using (var receiving = new SnapDatabase(_disk, Snaps, 0x1a2))
        {
            receiving.Append("half"u8);
        }

        Assert.Empty(_disk.List(Snaps));

        using (var receiving = new SnapDatabase(_disk, Snaps, 0x1a2))
        {
            receiving.Append("first "u8);
            receiving.Append("second"u8);
            Assert.Equal(12, receiving.Length);
            Assert.Equal(Snaps + "/00000000000001a2.snap.db", receiving.Keep());
        }

        SimDisk crashed = _disk.CrashCopy(1);
        using (IDiskFile file = crashed.Open(SnapDatabase.PathOf(Snaps, 0x1a2), DiskOpen.ReadOnly))
        {
            byte[] bytes = new byte[12];
            Assert.Equal(12, file.Read(bytes, 0));
            Assert.Equal("first second"u8.ToArray(), bytes);
        }

        Assert.Equal(0, SnapDatabase.PurgeBelow(_disk, Snaps, 0x1a2));
        Assert.Equal(1, SnapDatabase.PurgeBelow(_disk, Snaps, 0x1a3));
        Assert.Empty(_disk.List(Snaps));
    }
}
