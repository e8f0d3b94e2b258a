using Perf.Engine.IO;
using Perf.Engine.Wal;
using Xunit;

namespace Perf.Engine.Tests.Wal;

public sealed class FileBytesTests
{
    [Theory]
    [InlineData(0)]
    [InlineData(1)]
    [InlineData(IDiskFile.BlockBytes - 1)]
    [InlineData(IDiskFile.BlockBytes)]
    [InlineData(256 << 10)]
    [InlineData((256 << 10) + 1)]
    [InlineData(300_000)]
    public void Zeros_go_over_what_is_there_and_not_a_byte_further(int bytes)
    {
        using var directory = new TempDirectory();
        var simulated = new SimDisk();
        simulated.CreateDirectory(directory.Path);
        byte[] before = new byte[400_000];
        before.AsSpan().Fill(0xFF);
        foreach (IDisk disk in (IDisk[])[FileDisk.Instance, simulated])
        {
            using IDiskFile file = disk.Open(directory["f"], DiskOpen.CreateNew);
            file.Write(before, 0);

            FileBytes.FillZero(file, bytes);

            byte[] after = new byte[before.Length];
            Assert.Equal(before.Length, file.Length);
            Assert.Equal(after.Length, file.Read(after, 0));
            Assert.Equal(-1, after.AsSpan(0, bytes).IndexOfAnyExcept((byte)0));
            Assert.Equal(-1, after.AsSpan(bytes).IndexOfAnyExcept((byte)0xFF));
            Assert.Equal(bytes, FileBytes.FirstNonZero(file, 0, before.Length));
        }
    }
}
