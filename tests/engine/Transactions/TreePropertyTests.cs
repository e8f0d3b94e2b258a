using System.Buffers.Binary;
using FsCheck;
using FsCheck.Fluent;
using Perf.Engine.IO;
using Perf.Engine.Transactions;
using Perf.Testing;
using Xunit;

namespace Perf.Engine.Tests.Transactions;

/// <summary>
/// Any few batches leave what a sorted dictionary holds: read in order, by key, from any place on and from the end, and
/// after another start. <see cref="ModelTests"/> makes larger trees; here a failure comes with the few steps that lead to it.
/// </summary>
public sealed class TreePropertyTests
{
    private const string Bucket = "key";
    private const int KeyNumbers = 400;

    private enum What
    {
        Put,
        Delete,
        Commit,
        Relocate,
        Reopen,
    }

    [Fact]
    public void Any_batches_read_back_as_a_sorted_dictionary() => Properties.Hold(
        Cases, Smaller, cases: 60, check: Run, sizeMax: 30);

    private static Gen<Case> Cases { get; } =
        from pageBytes in Gen.Elements(1024, 4096)
        from keyBytes in Gen.Elements(4, 40, 220)
        from steps in Steps.ArrayOf()
        select new Case(pageBytes, keyBytes, steps);

    private static Gen<Step> Steps { get; } =
        from what in Gen.Frequency(
            (8, Gen.Constant(What.Put)),
            (6, Gen.Constant(What.Delete)),
            (4, Gen.Constant(What.Commit)),
            (1, Gen.Constant(What.Relocate)),
            (1, Gen.Constant(What.Reopen)))
        from start in Gen.Choose(0, KeyNumbers - 1)
        from count in Gen.Frequency((3, Gen.Choose(1, 6)), (2, Gen.Choose(1, KeyNumbers)))
        from each in Gen.Choose(1, 3)
        from valueBytes in Gen.Frequency((6, Gen.Choose(0, 120)), (1, Gen.Choose(120, 9000)))
        select new Step(what, start, count, each, valueBytes);

    private static IEnumerable<Case> Smaller(Case input) =>
        Properties.Smaller(input.Steps, Smaller).Select(steps => input with { Steps = steps });

    private static IEnumerable<Step> Smaller(Step step) =>
    [
        .. Properties.Smaller(step.Count - 1).Select(less => step with { Count = less + 1 }),
        .. Properties.Smaller(step.Start).Select(less => step with { Start = less }),
        .. Properties.Smaller(step.ValueBytes).Select(less => step with { ValueBytes = less }),
        .. Properties.Smaller(step.Each - 1).Select(less => step with { Each = less + 1 }),
    ];

    private static void Run(Case input)
    {
        SimDisk disk = TestFile.NewDisk();
        var model = new Model();
        var batch = new WriteBatch();
        DataFile file = TestFile.Open(disk, input.PageBytes);
        try
        {
            model.Ensure(Bucket, batch);
            foreach (Step step in input.Steps)
            {
                switch (step.What)
                {
                    case What.Commit:
                    case What.Relocate:
                        batch.RelocateTailPagesMax = step.What == What.Relocate ? step.Count : 0;
                        Commit();
                        break;
                    case What.Reopen:
                        Commit();
                        file.Dispose();
                        file = TestFile.Open(disk, input.PageBytes);
                        Compare(file, model, input.KeyBytes);
                        break;
                    default:
                        Change(step);
                        break;
                }
            }

            Commit();
            Compare(file, model, input.KeyBytes);
            model.RequireEqualAndSound(file);
        }
        finally
        {
            file.Dispose();
        }

        void Commit()
        {
            file.Commit(batch);
            batch.Clear();
            batch.RelocateTailPagesMax = 0;
            model.RequireEqual(file);
        }

        void Change(Step step)
        {
            for (int i = step.Start; i < Math.Min(KeyNumbers, step.Start + step.Count); i += step.Each)
            {
                byte[] key = Key(i, input.KeyBytes);
                if (step.What == What.Delete)
                {
                    model.Delete(Bucket, key, batch);
                }
                else
                {
                    byte[] value = new byte[step.ValueBytes];
                    value.AsSpan().Fill((byte)(i + step.ValueBytes));
                    model.Put(Bucket, key, value, batch);
                }
            }
        }
    }

    private static void Compare(DataFile file, Model model, int keyBytes)
    {
        using ReadTransaction tx = file.BeginRead();
        BucketCursor cursor = tx.OpenCursor(Bucket);
        byte[][] keys = [.. model[Bucket].Keys];
        Assert.Equal(keys.Length > 0, cursor.SeekLast());
        if (keys.Length > 0)
        {
            Assert.Equal(keys[^1], cursor.Key.ToArray());
        }

        // Each key there may be, and what comes directly behind it.
        int next = 0;
        for (int i = 0; i < KeyNumbers; i++)
        {
            byte[] key = Key(i, keyBytes);
            bool isThere = model[Bucket].TryGetValue(key, out byte[]? value);
            Assert.Equal(isThere, tx.TryGet(Bucket, key, out ReadOnlySpan<byte> found));
            Assert.Equal(value ?? [], found.ToArray());
            Lands(ref cursor, key, next);
            next += isThere ? 1 : 0;
            Lands(ref cursor, [.. key, 0], next);
        }

        Lands(ref cursor, [], 0);

        void Lands(ref BucketCursor at, byte[] key, int expected)
        {
            Assert.Equal(expected < keys.Length, at.Seek(key));
            if (expected < keys.Length)
            {
                Assert.Equal(keys[expected], at.Key.ToArray());
            }
        }
    }

    private static byte[] Key(int number, int bytes)
    {
        byte[] key = new byte[bytes];
        BinaryPrimitives.WriteInt32BigEndian(key.AsSpan(bytes - 4), number);
        return key;
    }

    private sealed record Step(What What, int Start, int Count, int Each, int ValueBytes)
    {
        public override string ToString() => What switch
        {
            What.Put => $"put {Start}..+{Count}/{Each} ({ValueBytes} bytes)",
            What.Delete => $"delete {Start}..+{Count}/{Each}",
            What.Relocate => $"commit, moving {Count} pages",
            _ => What.ToString().ToLowerInvariant(),
        };
    }

    private sealed record Case(int PageBytes, int KeyBytes, Step[] Steps)
    {
        public override string ToString() => $"pages of {PageBytes}, keys of {KeyBytes}: {string.Join("; ", (object[])Steps)}";
    }
}
