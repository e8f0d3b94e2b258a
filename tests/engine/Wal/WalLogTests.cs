using Perf.Engine.IO;
using Perf.Engine.Wal;
using Xunit;

namespace Perf.Engine.Tests.Wal;

public sealed class WalLogTests
{
    private readonly SimDisk _disk = WalSamples.NewDisk();

    [Fact]
    public void A_new_log_opens_empty_with_its_ids()
    {
        Create().Dispose();
        var model = new WalModel();
        using WalLog log = Open(model);

        Assert.Equal(WalSamples.NodeId, log.NodeId);
        Assert.Equal(WalSamples.ClusterId, log.ClusterId);
        Assert.Equal(0UL, log.LastIndex);
        Assert.Empty(model.Entries);
        Assert.Equal([(0UL, 0UL)], model.Snapshots);
        Assert.False(_disk.DirectoryExists(WalSamples.Directory + ".tmp"));
    }

    [Fact]
    public void Create_refuses_a_directory_with_a_log_and_replaces_an_empty_one()
    {
        _disk.CreateDirectory(WalSamples.Directory);
        Create().Dispose();
        Assert.Throws<IOException>(Create);
    }

    [Fact]
    public void Open_without_a_log_says_so()
    {
        Assert.Throws<IOException>(() => Open(new WalModel()));
        Assert.False(WalLog.Exists(_disk, WalSamples.Directory));
    }

    [Fact]
    public void A_log_has_one_owner()
    {
        using WalLog log = Create();
        IOException refused = Assert.Throws<IOException>(() => Open(new WalModel()));
        Assert.Contains("locked", refused.Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void A_log_on_a_real_disk_goes_on_in_the_middle_of_a_block(bool noSync)
    {
        using var directory = new TempDirectory();
        string wal = directory["wal"];
        WalOptions options = WalSamples.Small with { SegmentBytes = 64 << 10, MarkPath = directory["walmark"], NoSync = noSync };
        WalLog.Create(FileDisk.Instance, wal, WalSamples.NodeId, WalSamples.ClusterId, options).Dispose();
        var random = new Random(11);
        var written = new List<string>();
        for (int session = 0; session < 6; session++)
        {
            var model = new WalModel();
            using WalLog log = WalLog.Open(FileDisk.Instance, wal, new WalSnapshot(0, 0, default), options, model);
            Assert.Equal(written, model.Entries.Select(e => Convert.ToHexString(e.Bytes)));
            for (int i = 0; i < 40; i++)
            {
                ulong index = log.LastIndex + 1;
                byte[] entry = WalSamples.Entry(1, index, random.Next(0, i % 10 == 0 ? 20_000 : 300));
                log.AppendEntry(index, entry);
                written.Add(Convert.ToHexString(entry));
                if (random.Next(3) == 0)
                {
                    log.Sync();
                }

                if (log.CutDue)
                {
                    log.Cut();
                }
            }
        }
    }

    [Fact]
    public void A_gap_or_a_wrong_entry_is_refused_before_it_is_written()
    {
        using WalLog log = Create();
        Assert.Throws<ArgumentException>(() => log.AppendEntry(2, WalSamples.Entry(1, 2, 5)));
        Assert.Throws<ArgumentException>(() => log.AppendEntry(1, WalSamples.Entry(1, 2, 5)));
        Assert.Throws<ArgumentException>(() => log.AppendEntry(1, "garbage"u8));
        log.AppendEntry(1, WalSamples.Entry(1, 1, 5));
        Assert.Equal(1UL, log.LastIndex);
    }

    [Fact]
    public void Opening_from_a_snapshot_leaves_out_what_was_replaced_before_it()
    {
        // Entries 3 to 6 of term 1 were never committed; a new leader wrote its own 3 and 4, and 3 went into a snapshot.
        using (WalLog log = Create())
        {
            for (ulong i = 1; i <= 6; i++)
            {
                log.AppendEntry(i, WalSamples.Entry(1, i, 20));
            }

            log.AppendEntry(3, WalSamples.Entry(2, 3, 20));
            log.AppendEntry(4, WalSamples.Entry(2, 4, 20));
            log.AppendHardState(2, 1, 4);
            log.AppendSnapshot(new WalSnapshot(3, 2, default));
            log.Sync();
        }

        var terms = new TermsSeen();
        using (WalLog log = WalLog.Open(
            _disk, WalSamples.Directory, new WalSnapshot(3, 2, default), WalSamples.Small, terms))
        {
            Assert.Equal(4UL, log.LastIndex);
        }

        Assert.Equal([(4UL, 2UL)], terms.Entries);
    }

    [Fact]
    public void Opening_from_a_snapshot_gives_what_lies_behind_it()
    {
        using (WalLog log = Create())
        {
            for (ulong i = 1; i <= 60; i++)
            {
                log.AppendEntry(i, WalSamples.Entry(2, i, 200));
                log.AppendHardState(2, 1, i);
                if (i == 40)
                {
                    log.AppendSnapshot(new WalSnapshot(40, 2, new byte[] { 0x08, 0x01 }));
                }

                log.Sync();
                if (log.CutDue)
                {
                    log.Cut();
                }
            }
        }

        IReadOnlyList<WalSnapshot> valid = WalLog.ValidSnapshots(_disk, WalSamples.Directory);
        Assert.Equal([0UL, 40UL], valid.Select(s => s.Index));
        Assert.Equal("0801", Convert.ToHexString(valid[1].ConfState.Span));
        Assert.True(Vouches(0, 0));
        Assert.True(Vouches(40, 2));
        Assert.False(Vouches(40, 3));
        Assert.False(Vouches(41, 2));

        var model = new WalModel();
        WalLog.Open(_disk, WalSamples.Directory, valid[1], WalSamples.Small, model).Dispose();
        Assert.Equal(41UL, model.Entries[0].Index);
        Assert.Equal(60UL, model.LastIndex);

        Assert.Throws<CorruptionException>(() => WalLog.Open(
            _disk, WalSamples.Directory, new WalSnapshot(40, 3, default), WalSamples.Small, new WalModel()));
        Assert.Throws<CorruptionException>(() => WalLog.Open(
            _disk, WalSamples.Directory, new WalSnapshot(41, 2, default), WalSamples.Small, new WalModel()));
    }

    [Fact]
    public void A_snapshot_record_beyond_the_commit_does_not_count()
    {
        using (WalLog log = Create())
        {
            log.AppendEntry(1, WalSamples.Entry(1, 1, 5));
            log.AppendHardState(1, 1, 1);
            log.AppendSnapshot(new WalSnapshot(100, 5, default));
        }

        Assert.Equal([0UL], WalLog.ValidSnapshots(_disk, WalSamples.Directory).Select(s => s.Index));
        Assert.False(Vouches(100, 5));
    }

    [Fact]
    public void A_start_looks_at_no_segment_before_the_one_its_snapshot_needs()
    {
        using (WalLog log = Create())
        {
            for (ulong i = 1; i <= 60; i++)
            {
                log.AppendEntry(i, WalSamples.Entry(2, i, 200));
                log.AppendHardState(2, 1, i);
                if (i == 40)
                {
                    log.AppendSnapshot(new WalSnapshot(40, 2, default));
                }

                log.Sync();
                if (log.CutDue)
                {
                    log.Cut();
                }
            }
        }

        string[] files = [.. _disk.List(WalSamples.Directory).Where(f => f.EndsWith(".wal", StringComparison.Ordinal)).Order()];
        Assert.True(files.Length >= 4);
        Damage(files[0]);
        Assert.Throws<CorruptionException>(() => WalLog.ValidSnapshots(_disk, WalSamples.Directory));
        Assert.True(Vouches(40, 2));
        WalLog.Open(_disk, WalSamples.Directory, new WalSnapshot(40, 2, default), WalSamples.Small, new WalModel()).Dispose();

        // What a start from the snapshot reads is refused as ever.
        Damage(files[^2]);
        Assert.Throws<CorruptionException>(
            () => WalLog.Open(_disk, WalSamples.Directory, new WalSnapshot(40, 2, default), WalSamples.Small, new WalModel()));

        void Damage(string file)
        {
            string path = Path.Combine(WalSamples.Directory, file);
            byte[] bytes = WalSamples.ReadAll(_disk, path);
            bytes[bytes.Length / 2] ^= 4;
            WalSamples.WriteAll(_disk, path, bytes);
        }
    }

    [Fact]
    public void A_received_snapshot_lets_entries_go_on_behind_it()
    {
        var snapshot = new WalSnapshot(100, 5, new byte[] { 0x08, 0x01 });
        using (WalLog log = Create())
        {
            for (ulong i = 1; i <= 10; i++)
            {
                log.AppendEntry(i, WalSamples.Entry(1, i, 5));
            }

            log.AppendSnapshot(snapshot);
            log.AppendHardState(5, 0, 100);
            log.Sync();
            Assert.Equal(100UL, log.LastIndex);
            log.Cut();
            log.AppendEntry(101, WalSamples.Entry(5, 101, 5));
            log.Sync();
            Assert.Equal(101UL, log.FirstReadableIndex);
        }

        var model = new WalModel();
        using (WalLog log = WalLog.Open(_disk, WalSamples.Directory, snapshot, WalSamples.Small, model))
        {
            Assert.Equal([101UL], model.Entries.Select(e => e.Index));
            Assert.Equal((5UL, 0UL, 100UL), model.State);
        }

        // From before the received snapshot there is a hole that nobody can fill.
        Assert.Throws<CorruptionException>(() => Open(new WalModel()));
    }

    [Fact]
    public void A_log_that_went_another_way_ends_where_a_received_snapshot_begins()
    {
        var snapshot = new WalSnapshot(5, 7, new byte[] { 0x08, 0x01 });
        using (WalLog log = Create())
        {
            for (ulong i = 1; i <= 10; i++)
            {
                log.AppendEntry(i, WalSamples.Entry(1, i, 5));
            }

            log.AppendSnapshot(snapshot);
            log.AppendHardState(7, 0, 5);
        }

        var model = new WalModel();
        using WalLog reopened = WalLog.Open(_disk, WalSamples.Directory, snapshot, WalSamples.Small, model);
        Assert.Empty(model.Entries);
        Assert.Equal(5UL, reopened.LastIndex);
    }

    [Fact]
    public void A_hard_state_beyond_the_last_entry_means_that_entries_are_lost()
    {
        using (WalLog log = Create())
        {
            log.AppendEntry(1, WalSamples.Entry(1, 1, 5));
            log.AppendHardState(1, 1, 2);
        }

        CorruptionException refused = Assert.Throws<CorruptionException>(() => Open(new WalModel()));
        Assert.Contains("committed", refused.Reason, StringComparison.Ordinal);
    }

    [Fact]
    public void Reading_back_sees_only_what_is_durable()
    {
        using WalLog log = Create();
        log.AppendEntry(1, WalSamples.Entry(1, 1, 5));
        log.Flush();
        Assert.Equal(0, log.ReadEntries(1, 2, 1000, new WalModel()));
        log.Sync();
        Assert.Equal(1, log.ReadEntries(1, 2, 1000, new WalModel()));
        log.AppendEntry(2, WalSamples.Entry(1, 2, 5));
        log.Flush();
        Assert.Equal(1, log.ReadEntries(1, 3, 1000, new WalModel()));
        Assert.Equal(0, log.ReadEntries(2, 3, 1000, new WalModel()));
    }

    [Fact]
    public void Reading_back_stops_at_the_limit_but_gives_at_least_one()
    {
        using WalLog log = Create();
        for (ulong i = 1; i <= 30; i++)
        {
            log.AppendEntry(i, WalSamples.Entry(1, i, 100));
        }

        log.Sync();
        int entryBytes = WalSamples.Entry(1, 1, 100).Length;
        Assert.Equal(1, log.ReadEntries(5, 30, 1, new WalModel()));
        Assert.Equal(2, log.ReadEntries(5, 30, 2 * entryBytes, new WalModel()));
        Assert.Equal(1, log.ReadEntries(5, 30, 2 * entryBytes - 1, new WalModel()));
        Assert.Equal(25, log.ReadEntries(5, 30, int.MaxValue, new WalModel()));
    }

    [Fact]
    public void Released_segments_are_purged_and_a_start_from_the_snapshot_still_works()
    {
        var snapshot = new WalSnapshot(150, 1, new byte[] { 0x08, 0x01 });
        using (WalLog log = Create())
        {
            for (ulong i = 1; i <= 200; i++)
            {
                log.AppendEntry(i, WalSamples.Entry(1, i, 200));
                log.Sync();
                if (log.CutDue)
                {
                    log.Cut();
                }
            }

            log.AppendHardState(1, 1, 200);
            log.AppendSnapshot(snapshot);
            log.Sync();
            Assert.Equal(0, log.PurgeSegments(2));
            log.ReleaseBelow(150);
            Assert.True(log.PurgeSegments(2) > 3);
            Assert.Equal(0, log.PurgeSegments(2));
            Assert.InRange(log.FirstReadableIndex, 100UL, 151UL);
            Assert.Equal(0, log.ReadEntries(1, 10, 1000, new WalModel()));
            Assert.Equal(50, log.ReadEntries(151, 201, int.MaxValue, new WalModel()));
        }

        Assert.Equal([150UL], WalLog.ValidSnapshots(_disk, WalSamples.Directory).Select(s => s.Index));
        var model = new WalModel();
        WalLog.Open(_disk, WalSamples.Directory, snapshot, WalSamples.Small, model).Dispose();
        Assert.Equal(50, model.Entries.Count);
    }

    [Fact]
    public void A_prepared_segment_is_taken_by_the_next_cut()
    {
        using WalLog log = Create();
        Assert.True(log.NextSegmentDue);
        log.PrepareNextSegment();
        Assert.False(log.NextSegmentDue);
        Assert.True(_disk.FileExists(WalSamples.Directory + "/0.tmp"));
        log.AppendEntry(1, WalSamples.Entry(1, 1, 5));
        log.Cut();
        Assert.False(_disk.FileExists(WalSamples.Directory + "/0.tmp"));
        Assert.True(_disk.FileExists(WalSamples.Directory + "/0000000000000001-0000000000000002.wal"));
        Assert.True(log.NextSegmentDue);
        log.PrepareNextSegment();
        Assert.True(_disk.FileExists(WalSamples.Directory + "/1.tmp"));
    }

    [Fact]
    public void A_purged_segment_is_the_next_one_and_nothing_of_it_is_left()
    {
        string spent = WalSamples.Directory + "/spent.tmp";
        var whole = new WalModel();
        WalOptions options = WalSamples.Small with { ZeroFill = true };
        using (WalLog log = WalLog.Create(_disk, WalSamples.Directory, WalSamples.NodeId, WalSamples.ClusterId, options))
        {
            ulong next = 1;
            void Fill(ulong term, int segments)
            {
                for (int cuts = 0; cuts < segments;)
                {
                    byte[] entry = WalSamples.Entry(term, next, 200);
                    whole.OnEntry(next, term, entry);
                    log.AppendEntry(next++, entry);
                    log.Sync();
                    if (log.CutDue)
                    {
                        log.Cut();
                        cuts++;
                    }
                }
            }

            Fill(term: 1, segments: 4);
            log.AppendSnapshot(new WalSnapshot(next - 1, 1, new byte[] { 0x08, 0x01 }));
            log.Sync();
            log.ReleaseBelow(next - 1);
            long size = WalSamples.Small.SegmentBytes;
            Assert.True(log.PurgeSegments(1) > 2);

            // One is kept, however many went; and as long as it is there no more.
            Assert.True(_disk.FileExists(spent));
            Assert.Contains(WalSamples.ReadAll(_disk, spent), b => b != 0);
            log.PrepareNextSegment();
            Assert.False(_disk.FileExists(spent));
            byte[] made = WalSamples.ReadAll(_disk, WalSamples.Directory + "/0.tmp");
            Assert.Equal(size, made.Length);
            Assert.Equal(-1, made.AsSpan().IndexOfAnyExcept((byte)0));
            Fill(term: 2, segments: 2);
            log.AppendHardState(2, 1, next - 1);
            log.AppendSnapshot(new WalSnapshot(next - 1, 2, new byte[] { 0x08, 0x01 }));
            log.Sync();
            log.ReleaseBelow(next - 1);
            Assert.True(log.PurgeSegments(1) > 0);
            Assert.True(_disk.FileExists(spent));
        }

        // Not used: gone with the next start, as the log is whole without it.
        WalSnapshot last = WalLog.ValidSnapshots(_disk, WalSamples.Directory)[^1];
        var model = new WalModel();
        WalLog.Open(_disk, WalSamples.Directory, last, WalSamples.Small, model).Dispose();
        Assert.False(_disk.FileExists(spent));
        Assert.Equal(whole.Entries.Where(e => e.Index > last.Index).Select(e => e.Index), model.Entries.Select(e => e.Index));
    }

    [Fact]
    public void Leftovers_of_a_prepared_segment_go_at_the_next_start()
    {
        Create().Dispose();
        WalSamples.WriteAll(_disk, WalSamples.Directory + "/0.tmp", "half made"u8);
        Open(new WalModel()).Dispose();
        Assert.False(_disk.FileExists(WalSamples.Directory + "/0.tmp"));
    }

    [Fact]
    public void Entries_larger_than_the_buffers_pass_through()
    {
        WalOptions options = WalSamples.Small with { SegmentBytes = 64_000_000 };
        var driver = new WalDriver(
            WalLog.Create(_disk, WalSamples.Directory, WalSamples.NodeId, WalSamples.ClusterId, options));
        driver.Entry(1, 1, 5_000_000);
        driver.Entry(1, 2, 100);
        driver.Entry(1, 3, 9_000_000);
        driver.Entry(1, 4, 0);
        driver.Sync();
        driver.Log.Dispose();
        var model = new WalModel();
        WalLog.Open(_disk, WalSamples.Directory, default, options, model).Dispose();
        Assert.True(driver.Now.Equals(model));
    }

    [Fact]
    public void After_warming_up_append_flush_and_sync_allocate_nothing()
    {
        WalOptions options = new() { MarkPath = WalSamples.MarkPath, ZeroFill = false };
        using WalLog log = WalLog.Create(new NullDisk(), WalSamples.Directory, 1, 2, options);
        byte[][] entries = Enumerable.Range(1, 20_000).Select(i => WalSamples.Entry(1, (ulong)i, 256)).ToArray();
        Append(0, 10_000);

        long before = GC.GetAllocatedBytesForCurrentThread();
        Append(10_000, 20_000);
        Assert.Equal(before, GC.GetAllocatedBytesForCurrentThread());

        void Append(int from, int to)
        {
            for (int i = from; i < to; i++)
            {
                log.AppendEntry((ulong)i + 1, entries[i]);
                if (i % 20 == 0)
                {
                    log.AppendHardState(1, 1, (ulong)i);
                    log.Flush();
                    log.Sync();
                }
            }
        }
    }

    /// <summary>Everything that a replay hands over, also what it takes back later.</summary>
    private sealed class TermsSeen : IWalVisitor
    {
        public List<(ulong Index, ulong Term)> Entries { get; } = [];

        public void OnEntry(ulong index, ulong term, ReadOnlySpan<byte> encodedEntry) => Entries.Add((index, term));

        public void OnTruncate(ulong index)
        {
        }

        public void OnHardState(ulong term, ulong vote, ulong commit)
        {
        }

        public void OnSnapshot(ulong index, ulong term, ReadOnlySpan<byte> confState)
        {
        }
    }

    private WalLog Create()
    {
        return WalLog.Create(_disk, WalSamples.Directory, WalSamples.NodeId, WalSamples.ClusterId, WalSamples.Small);
    }

    private bool Vouches(ulong index, ulong term) => WalLog.Vouches(_disk, WalSamples.Directory, index, term);

    private WalLog Open(WalModel model)
    {
        return WalLog.Open(_disk, WalSamples.Directory, default, WalSamples.Small, model);
    }
}
