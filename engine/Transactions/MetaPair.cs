using Perf.Engine.IO;
using Perf.Engine.Pages;

namespace Perf.Engine.Transactions;

/// <summary>The two meta pages of a file, and the file that has nothing else yet.</summary>
internal static class MetaPair
{
    /// <summary>The valid meta with the higher txid; refuses a file without one, or with one that cannot be true.</summary>
    public static MetaPage ReadNewest(IDiskFile file)
    {
        Span<byte> bytes = stackalloc byte[MetaPage.Bytes];
        bool hasFirst = TryRead(file, 0, bytes, out MetaPage first);
        MetaPage second = default;
        bool hasSecond = false;
        if (hasFirst)
        {
            hasSecond = first.Problem() is null && TryRead(file, first.PageBytes, bytes, out second)
                && second.PageBytes == first.PageBytes;
        }
        else
        {
            // The page size is in the damaged page: try each.
            for (int size = PageLayout.PageBytesMin; size <= PageLayout.PageBytesMax && !hasSecond; size *= 2)
            {
                hasSecond = TryRead(file, size, bytes, out second) && second.PageBytes == size;
            }
        }

        if (!hasFirst && !hasSecond)
        {
            throw new CorruptionException(file.Path, 0, "neither meta page is valid");
        }

        MetaPage newest = hasFirst && (!hasSecond || first.Txid >= second.Txid) ? first : second;
        string? problem = newest.Problem();
        if (problem is null && newest.HighWater * newest.PageBytes > file.Length)
        {
            problem = $"meta: high-water mark {newest.HighWater}, but the file has {file.Length} bytes";
        }

        return problem is null ? newest : throw new CorruptionException(file.Path, 0, problem);
    }

    /// <summary>
    /// Makes an empty file: two metas and an empty root. It gets its name only when it is whole and durable, so a
    /// crash leaves either no file or a good one.
    /// </summary>
    public static void MakeFile(IDisk disk, string path, int pageBytes, bool noSync)
    {
        string draft = path + ".tmp";
        if (disk.FileExists(draft))
        {
            disk.Delete(draft);
        }

        byte[] image = new byte[3 * pageBytes];
        Span<byte> root = image.AsSpan(2 * pageBytes);
        PageHeader.Write(root, PageLayout.FirstDataPage, PageLayout.LeafFlag, 0, 0);
        uint checksum = PageTrailer.Write(root, PageLayout.LeafTrailerMagic, 0);
        for (int slot = 0; slot < 2; slot++)
        {
            var meta = new MetaPage
            {
                PageBytes = pageBytes,
                Root = PageLayout.FirstDataPage,
                Freelist = MetaPage.NoFreelist,
                HighWater = 3,
                Txid = (ulong)slot,
                AllTrailers = true,
                RootChecksum = checksum,
            };
            meta.Write(image.AsSpan(slot * pageBytes, pageBytes), slot);
        }

        using (IDiskFile file = disk.Open(draft, DiskOpen.CreateNew))
        {
            file.Write(image, 0);
            if (!noSync)
            {
                file.SyncAll();
            }
        }

        disk.Rename(draft, path);
        if (!noSync)
        {
            disk.SyncDirectory(Path.GetDirectoryName(path) is { Length: > 0 } parent ? parent : ".");
        }
    }

    private static bool TryRead(IDiskFile file, long offset, Span<byte> bytes, out MetaPage meta)
    {
        meta = default;
        return file.Read(bytes, offset) == bytes.Length && MetaPage.TryRead(bytes, out meta);
    }
}
