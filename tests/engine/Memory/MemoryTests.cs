using FsCheck;
using FsCheck.Fluent;
using Perf.Engine.Memory;
using Perf.Engine.Tree;
using Xunit;

namespace Perf.Engine.Tests;

public class MemoryTests
{
    [Fact]
    public void Crc32c_by_instruction_equals_the_table_and_the_published_value()
    {
        Assert.Equal(0xE3069283u, Crc32C.Append(0, "123456789"u8));
        Assert.Equal(0xE3069283u, Crc32C.AppendPlain(0, "123456789"u8));
        Prop.ForAll<byte[], uint>((data, seed) => Crc32C.Append(seed, data) == Crc32C.AppendPlain(seed, data))
            .QuickCheckThrowOnFailure();
        byte[] large = new byte[10_007];
        new Random(1).NextBytes(large);
        for (int cut = 0; cut < large.Length; cut += 501)
        {
            Assert.Equal(
                Crc32C.AppendPlain(0, large),
                Crc32C.Append(Crc32C.Append(0, large.AsSpan(0, cut)), large.AsSpan(cut)));
        }
    }

    [Fact]
    public void Key_order_by_vectors_equals_the_order_byte_by_byte()
    {
        var random = new Random(2);
        for (int round = 0; round < 200_000; round++)
        {
            // Long common prefixes, so that the difference falls anywhere.
            byte[] left = new byte[random.Next(70)];
            random.NextBytes(left);
            byte[] right = left[..random.Next(left.Length + 1)];
            Array.Resize(ref right, right.Length + random.Next(3));
            if (right.Length > 0 && random.Next(2) == 0)
            {
                right[random.Next(right.Length)] ^= (byte)(1 << random.Next(8));
            }

            Assert.Equal(
                Math.Sign(KeyOrder.ComparePlain(left, right)), Math.Sign(KeyOrder.Compare(left, right)));
            Assert.Equal(
                Math.Sign(left.AsSpan().SequenceCompareTo(right)), Math.Sign(KeyOrder.Compare(left, right)));
        }
    }

    [Fact]
    public void A_slab_goes_back_with_its_last_reference_and_not_before()
    {
        Slab slab = Slab.Rent(5000);
        Assert.True(slab.Length >= 5000);
        slab.Span[0] = 42;
        slab.Retain();
        slab.Release();
        Assert.Equal(42, slab.Span[0]);
        slab.Release();

        // What no shelf keeps: a pooled one may be another test's by now.
        Slab large = Slab.Rent(Slab.PooledBytesMax + 1);
        large.Retain();
        large.Release();
        Assert.Equal(large.Length, large.Span.Length);
        large.Release();
        Assert.Throws<InvariantException>(() => large.Span.Length);
        Assert.Throws<InvariantException>(large.Release);
    }

    [Fact]
    public void A_slab_writer_hands_out_pieces_that_do_not_overlap()
    {
        var random = new Random(3);
        var pieces = new List<(Memory<byte> Piece, Slab Owner, byte Mark)>();
        using (var writer = new SlabWriter())
        {
            for (int i = 0; i < 5000; i++)
            {
                int bytes = random.Next(200) == 0 ? random.Next(3 << 20) : random.Next(2000);
                Memory<byte> piece = writer.Allocate(bytes, out Slab owner);
                Assert.Equal(bytes, piece.Length);
                piece.Span.Fill((byte)i);
                pieces.Add((piece, owner, (byte)i));
                if (pieces.Count > 100)
                {
                    int at = random.Next(pieces.Count);
                    Assert.Equal(-1, pieces[at].Piece.Span.IndexOfAnyExcept(pieces[at].Mark));
                    pieces[at].Owner.Release();
                    pieces.RemoveAt(at);
                }
            }
        }

        foreach ((Memory<byte> piece, Slab owner, byte mark) in pieces)
        {
            Assert.Equal(-1, piece.Span.IndexOfAnyExcept(mark));
            owner.Release();
        }
    }

    [Fact]
    public void Warm_slabs_are_rented_without_allocation()
    {
        using var writer = new SlabWriter();
        Turn(writer, 2000);

        // Tests beside this one empty the shared shelves now and then: some turn of several must be free.
        long least = long.MaxValue;
        for (int attempt = 0; attempt < 20 && least > 0; attempt++)
        {
            long before = GC.GetAllocatedBytesForCurrentThread();
            Turn(writer, 2000);
            least = Math.Min(least, GC.GetAllocatedBytesForCurrentThread() - before);
        }

        Assert.Equal(0, least);
    }

    private static void Turn(SlabWriter writer, int count)
    {
        for (int i = 0; i < count; i++)
        {
            writer.Allocate(1000, out Slab owner).Span[0] = 1;
            owner.Release();
            Slab.Rent(100_000).Release();
        }
    }

    [Fact]
    public void A_thread_that_is_to_stand_back_has_the_nice_value_asked_for()
    {
        string nice = "";
        var thread = new Thread(() =>
        {
            string self = Directory.ResolveLinkTarget("/proc/thread-self", returnFinalTarget: false)!.FullName;
            Niceness.Set(int.Parse(Path.GetFileName(self), System.Globalization.CultureInfo.InvariantCulture), 7);
            string stat = File.ReadAllText("/proc/thread-self/stat");

            // Behind the name in brackets, which may have blanks, the 17th field.
            nice = stat[(stat.LastIndexOf(')') + 2)..].Split(' ')[16];
        });
        thread.Start();
        thread.Join();
        Assert.Equal("7", nice);
    }
}
