using Perf.Engine.IO;

namespace Perf.Engine.Snap;

/// <summary>A .snap file's name: term and index of the snapshot in it.</summary>
public readonly record struct SnapName(ulong Term, ulong Index)
{
    /// <summary>The file name, 16 hex digits each.</summary>
    public string FileName => $"{Term:x16}-{Index:x16}.snap";
}

/// <summary>
/// etcd's .snap files (FORMATS A.7): {1 crc, 2 data}, where data is an encoded raftpb.Snapshot and crc its CRC-32C.
/// </summary>
public static class SnapFile
{
    /// <summary>Writes a snapshot under its final name; the file and its name are durable on return.</summary>
    public static void Write(IDisk disk, string directory, ulong term, ulong index, ReadOnlySpan<byte> raftSnapshot)
    {
        throw new NotImplementedException();
    }

    /// <summary>Reads one file's encoded raftpb.Snapshot; throws <c>CorruptionException</c> when it is unreadable.</summary>
    public static byte[] Read(IDisk disk, string directory, SnapName name)
    {
        throw new NotImplementedException();
    }

    /// <summary>
    /// The newest readable snapshot that <paramref name="wanted"/> accepts, or null. Unreadable ones met on the way
    /// are renamed to .broken.
    /// </summary>
    public static (SnapName Name, byte[] RaftSnapshot)? ReadNewest(IDisk disk, string directory, Func<SnapName, bool> wanted)
    {
        throw new NotImplementedException();
    }

    /// <summary>All .snap files by name, newest first.</summary>
    public static IReadOnlyList<SnapName> List(IDisk disk, string directory)
    {
        throw new NotImplementedException();
    }

    /// <summary>Deletes the oldest .snap files while more than <paramref name="keepMax"/> are there (0 keeps all).</summary>
    public static int Purge(IDisk disk, string directory, int keepMax)
    {
        throw new NotImplementedException();
    }
}
