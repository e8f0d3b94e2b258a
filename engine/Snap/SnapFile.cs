using System.Globalization;
using Perf.Engine.IO;
using Perf.Engine.Memory;
using Perf.Engine.Wal;

namespace Perf.Engine.Snap;

/// <summary>A .snap file's name: term and index of the snapshot in it.</summary>
public readonly record struct SnapName(ulong Term, ulong Index)
{
    private const int NameLength = 16 + 1 + 16 + 5;

    /// <summary>The file name, 16 hex digits each.</summary>
    public string FileName => $"{Term:x16}-{Index:x16}.snap";

    /// <summary>False for any other kind of name.</summary>
    public static bool TryParse(string fileName, out SnapName name)
    {
        name = default;
        if (fileName.Length != NameLength || fileName[16] != '-' || !fileName.EndsWith(".snap", StringComparison.Ordinal)
            || !ulong.TryParse(fileName.AsSpan(0, 16), NumberStyles.AllowHexSpecifier, CultureInfo.InvariantCulture, out ulong term)
            || !ulong.TryParse(fileName.AsSpan(17, 16), NumberStyles.AllowHexSpecifier, CultureInfo.InvariantCulture, out ulong index))
        {
            return false;
        }

        name = new SnapName(term, index);
        return true;
    }
}

/// <summary>
/// etcd's .snap files (FORMATS A.7): {1 crc, 2 data}, where data is an encoded raftpb.Snapshot and crc its CRC-32C.
/// </summary>
public static class SnapFile
{
    private const byte CrcTag = 0x08;
    private const byte DataTag = 0x12;
    private const int HeadBytesMax = 1 + 5 + 1 + 5;

    /// <summary>
    /// Writes a snapshot. The file and its name are durable on return; the name is never seen without its whole
    /// content.
    /// </summary>
    public static void Write(IDisk disk, string directory, ulong term, ulong index, ReadOnlySpan<byte> raftSnapshot)
    {
        string name = new SnapName(term, index).FileName;
        string making = Path.Combine(directory, "tmp-" + name);
        using (IDiskFile file = disk.Open(making, DiskOpen.OpenOrCreate))
        {
            file.SetLength(0);
            file.Write(Encode(raftSnapshot), 0);
            file.SyncAll();
        }

        disk.Rename(making, Path.Combine(directory, name));
        disk.SyncDirectory(directory);
    }

    /// <summary>
    /// Reads one file's encoded raftpb.Snapshot; throws <see cref="CorruptionException"/> when it is unreadable.
    /// </summary>
    public static byte[] Read(IDisk disk, string directory, SnapName name)
    {
        string path = Path.Combine(directory, name.FileName);
        using IDiskFile file = disk.Open(path, DiskOpen.ReadOnly);
        byte[] bytes = FileBytes.ReadRange(file, 0, file.Length);
        return Decode(bytes, path);
    }

    /// <summary>
    /// The newest readable snapshot that <paramref name="wanted"/> accepts, or null. Unreadable ones met on the way
    /// are renamed to .broken.
    /// </summary>
    public static (SnapName Name, byte[] RaftSnapshot)? ReadNewest(
        IDisk disk, string directory, Func<SnapName, bool> wanted)
    {
        foreach (SnapName name in List(disk, directory))
        {
            if (!wanted(name))
            {
                continue;
            }

            try
            {
                return (name, Read(disk, directory, name));
            }
            catch (CorruptionException)
            {
                string path = Path.Combine(directory, name.FileName);
                disk.Rename(path, path + ".broken");
            }
        }

        return null;
    }

    /// <summary>All .snap files by name, newest first.</summary>
    public static IReadOnlyList<SnapName> List(IDisk disk, string directory)
    {
        var names = new List<SnapName>();
        foreach (string fileName in disk.List(directory))
        {
            if (SnapName.TryParse(fileName, out SnapName name))
            {
                names.Add(name);
            }
        }

        names.Sort((a, b) => (b.Term, b.Index).CompareTo((a.Term, a.Index)));
        return names;
    }

    /// <summary>
    /// Deletes the oldest .snap files while more than <paramref name="keepMax"/> are there (0 keeps all); returns how
    /// many went.
    /// </summary>
    public static int Purge(IDisk disk, string directory, int keepMax)
    {
        if (keepMax <= 0)
        {
            return 0;
        }

        IReadOnlyList<SnapName> names = List(disk, directory);
        for (int i = keepMax; i < names.Count; i++)
        {
            disk.Delete(Path.Combine(directory, names[i].FileName));
        }

        return Math.Max(0, names.Count - keepMax);
    }

    internal static byte[] Encode(ReadOnlySpan<byte> raftSnapshot)
    {
        byte[] bytes = new byte[HeadBytesMax + raftSnapshot.Length];
        int at = 0;
        bytes[at++] = CrcTag;
        at += WalFormat.WriteVarint(bytes.AsSpan(at), Crc32C.Append(0, raftSnapshot));
        bytes[at++] = DataTag;
        at += WalFormat.WriteVarint(bytes.AsSpan(at), (uint)raftSnapshot.Length);
        raftSnapshot.CopyTo(bytes.AsSpan(at));
        return bytes[..(at + raftSnapshot.Length)];
    }

    internal static byte[] Decode(ReadOnlySpan<byte> bytes, string path)
    {
        int at = 0;
        if (bytes.IsEmpty)
        {
            throw new CorruptionException(path, 0, "the file is empty");
        }

        if (bytes[at++] != CrcTag || !WalFormat.TryReadVarint(bytes, ref at, out ulong stored) || at >= bytes.Length
            || bytes[at++] != DataTag || !WalFormat.TryReadVarint(bytes, ref at, out ulong length)
            || length != (ulong)(bytes.Length - at))
        {
            throw new CorruptionException(path, Math.Min(at, bytes.Length), "not a snapshot file");
        }

        uint crc = Crc32C.Append(0, bytes[at..]);
        if (crc != stored)
        {
            throw new CorruptionException(path, at, $"checksum {crc:x8}, the file says {stored:x8}");
        }

        return bytes[at..].ToArray();
    }
}
