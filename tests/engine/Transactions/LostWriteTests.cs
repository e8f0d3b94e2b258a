using System.Globalization;
using System.Text;
using Perf.Engine.IO;
using Perf.Engine.Transactions;
using Xunit;

namespace Perf.Engine.Tests.Transactions;

/// <summary>
/// A write that is reported as done and was not, or landed one page off, leaves an older page of the same number in
/// its place, whole in itself. Only who points to it can tell.
/// </summary>
public class LostWriteTests
{
    [Theory]
    [InlineData(SimFailure.Phantom)]
    [InlineData(SimFailure.Misdirected)]
    public void A_lost_write_is_found_or_harmless_wherever_it_is(SimFailure failure)
    {
        int found = 0;
        for (int lost = 1; lost <= 60; lost++)
        {
            SimDisk disk = TestFile.NewDisk();
            try
            {
                using DataFile file = TestFile.Open(disk);
                int left = lost;
                disk.Observer = (call, path) =>
                {
                    if (call is "pwrite" or "pwritev" && --left == 0)
                    {
                        disk.FailAt(disk.Calls + 1, failure);
                    }
                };
                for (int round = 1; round <= 30; round++)
                {
                    byte[] value = Encoding.ASCII.GetBytes(round.ToString(CultureInfo.InvariantCulture));
                    var batch = new WriteBatch();
                    batch.Put("small", "key"u8, value);
                    batch.Put("other", value, value);
                    file.Commit(batch);
                    using ReadTransaction read = file.BeginRead();
                    Assert.True(read.TryGet("small", "key"u8, out ReadOnlySpan<byte> is_));
                    Assert.True(is_.SequenceEqual(value), $"write {lost} lost: commit {round} reads {Encoding.ASCII.GetString(is_)}");
                    Assert.True(read.TryGet("other", value, out _));
                }
            }
            catch (CorruptionException e)
            {
                Assert.Equal(TestFile.Path, e.File);
                found++;
            }
        }

        Assert.True(found > 20, $"only {found} of 60 were found");
    }
}
