using Perf.Engine.IO;
using Perf.Engine.Wal;
using Xunit;

namespace Perf.Engine.Tests.Wal;

public sealed class WalFormatTests
{
    // Computed apart from this code, by the description of the format.
    private static readonly string[] GoldenFrames =
    [
        "04000000000000840804100000000000",
        "0f00000000000081080110f1f5c8fe031a05080110b42400",
        "0d00000000000083080510a7c4e07c1a0408001000000000",
        "0700000000000081080410a7c4e07c00",
        "140000000000008408021084f38eca081a0a0800100218012202686900000000",
        "1000000000000000080310d68387ec021a06080210011801",
        "0800000000000000080410d68387ec02",
        "1500000000000083080210d2b3e0d40f1a0b0800100218022203616263000000",
        "1200000000000086080510cbe7b4810d1a08080110021a020801000000000000",
    ];

    [Fact]
    public void A_small_log_is_byte_for_byte_what_the_format_says()
    {
        SimDisk disk = WalSamples.NewDisk();
        using WalLog log = WalLog.Create(disk, WalSamples.Directory, 1, 0x1234, WalSamples.Small);
        log.AppendEntry(1, Convert.FromHexString("08001002180122026869"));
        log.AppendHardState(2, 1, 1);
        log.Sync();
        log.AppendEntry(2, Convert.FromHexString("0800100218022203616263"));
        log.AppendSnapshot(new WalSnapshot(1, 2, new byte[] { 0x08, 0x01 }));
        log.Flush();

        byte[] bytes = WalSamples.ReadAll(
            disk, WalSamples.Directory + "/0000000000000000-0000000000000000.wal");
        byte[] golden = Convert.FromHexString(string.Concat(GoldenFrames));
        Assert.Equal(4096, bytes.Length);
        Assert.Equal(Convert.ToHexString(golden), Convert.ToHexString(bytes.AsSpan(0, golden.Length)));
        Assert.Equal(-1, bytes.AsSpan(golden.Length).IndexOfAnyExcept((byte)0));
    }

    [Fact]
    public void Every_frame_reads_back_and_no_other_length_field_is_taken()
    {
        byte[] target = new byte[4096];
        for (int dataBytes = 0; dataBytes < 300; dataBytes++)
        {
            byte[] data = new byte[dataBytes];
            int written = WalFormat.WriteFrame(target, RecordKind.Entry, 0xdeadbeef, data);
            Assert.Equal(0, written % 8);
            Assert.True(WalFormat.TryReadLength(target, out FrameHead head));
            Assert.Equal(written, head.FrameBytes);
            Assert.True(WalFormat.TryReadRecord(target.AsSpan(8, (int)head.RecordBytes), out RecordView record));
            Assert.Equal(RecordKind.Entry, record.Kind);
            Assert.Equal(0xdeadbeef, record.Crc);
            Assert.Equal(dataBytes, record.Data.Length);

            byte top = target[7];
            for (int other = 0; other < 256; other++)
            {
                target[7] = (byte)other;
                Assert.Equal(other == top, WalFormat.TryReadLength(target, out _));
            }
        }
    }

    [Fact]
    public void One_kind_of_data_never_passes_for_another()
    {
        byte[] entry = WalSamples.Entry(3, 9, 20);
        byte[] noop = Convert.FromHexString("080010031809");
        byte[] state = Convert.FromHexString("080310011809");
        byte[] snapshot = Convert.FromHexString("080910031a020801");

        Assert.True(RecordData.TryReadEntry(entry, out _, out _));
        Assert.True(RecordData.TryReadEntry(noop, out _, out _));
        Assert.False(RecordData.TryReadEntry(state, out _, out _));
        Assert.False(RecordData.TryReadEntry(Convert.FromHexString("080110011809"), out _, out _));
        Assert.False(RecordData.TryReadEntry(snapshot, out _, out _));

        Assert.True(RecordData.TryReadState(state, out _, out _, out _));
        Assert.False(RecordData.TryReadState(entry, out _, out _, out _));
        Assert.False(RecordData.TryReadState(noop, out _, out _, out _));
        Assert.False(RecordData.TryReadState(snapshot, out _, out _, out _));
        Assert.False(RecordData.TryReadState(Convert.FromHexString("08091003"), out _, out _, out _));

        Assert.True(RecordData.TryReadSnapshot(snapshot, out _, out _, out _));
        Assert.False(RecordData.TryReadSnapshot(entry, out _, out _, out _));
        Assert.False(RecordData.TryReadSnapshot(state, out _, out _, out _));
    }

    [Fact]
    public void Readers_of_record_data_survive_any_bytes()
    {
        var random = new Random(7);
        byte[] bytes = new byte[64];
        for (int i = 0; i < 100_000; i++)
        {
            random.NextBytes(bytes);
            ReadOnlySpan<byte> part = bytes.AsSpan(0, random.Next(bytes.Length));
            WalFormat.TryReadRecord(part, out _);
            RecordData.TryReadEntry(part, out _, out _);
            RecordData.TryReadState(part, out _, out _, out _);
            RecordData.TryReadSnapshot(part, out _, out _, out _);
            RecordData.TryReadMetadata(part, out _, out _);
            GroupMarkSearch.Find(part);
        }
    }

    [Fact]
    public void Segment_names_are_sixteen_lower_case_digits_each()
    {
        Assert.Equal("000000000000000a-00000000000001ff.wal", new SegmentName(10, 511).ToString());
        Assert.True(SegmentName.TryParse("000000000000000a-00000000000001ff.wal", out SegmentName name));
        Assert.Equal(new SegmentName(10, 511), name);
        Assert.False(SegmentName.TryParse("000000000000000a-00000000000001ff.wal.broken", out _));
        Assert.False(SegmentName.TryParse("0.tmp", out _));
        Assert.False(SegmentName.TryParse("000000000000000a_00000000000001ff.wal", out _));
    }
}
