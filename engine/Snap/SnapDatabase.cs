using System.Globalization;
using Perf.Engine.IO;

namespace Perf.Engine.Snap;

/// <summary>
/// A v3 database received from the leader (FORMATS A.14), kept as &lt;index16&gt;.snap.db until it becomes db. While it
/// arrives it is a tmp file, which etcd too deletes at its start.
/// </summary>
public sealed class SnapDatabase : IDisposable
{
    private const string Suffix = ".snap.db";

    private readonly IDisk _disk;
    private readonly string _directory;
    private readonly ulong _index;
    private readonly string _arriving;
    private readonly IDiskFile _file;
    private bool _isKept;

    /// <summary>Begins to receive the database of a snapshot at an index.</summary>
    public SnapDatabase(IDisk disk, string directory, ulong index)
    {
        _disk = disk;
        _directory = directory;
        _index = index;
        _arriving = Path.Combine(directory, $"tmp{index:x16}");
        if (disk.FileExists(_arriving))
        {
            disk.Delete(_arriving);
        }

        _file = disk.Open(_arriving, DiskOpen.CreateNew);
    }

    /// <summary>Bytes received so far.</summary>
    public long Length { get; private set; }

    /// <summary>Path of the database of a snapshot.</summary>
    public static string PathOf(string directory, ulong index) => Path.Combine(directory, $"{index:x16}{Suffix}");

    /// <summary>Takes the next bytes.</summary>
    public void Append(ReadOnlySpan<byte> bytes)
    {
        _file.Write(bytes, Length);
        Length += bytes.Length;
    }

    /// <summary>Gives the complete file its name; it is durable on return. Returns its path.</summary>
    public string Keep()
    {
        _file.SyncAll();
        string path = PathOf(_directory, _index);
        _disk.Rename(_arriving, path);
        _isKept = true;
        _disk.SyncDirectory(_directory);
        return path;
    }

    /// <summary>Throws away what was not kept.</summary>
    public void Dispose()
    {
        _file.Dispose();
        if (!_isKept && _disk.FileExists(_arriving))
        {
            _disk.Delete(_arriving);
        }
    }

    /// <summary>Deletes received databases of snapshots older than the index; returns how many went.</summary>
    public static int PurgeBelow(IDisk disk, string directory, ulong index)
    {
        int purged = 0;
        foreach (string name in disk.List(directory))
        {
            if (name.Length == 16 + Suffix.Length && name.EndsWith(Suffix, StringComparison.Ordinal)
                && ulong.TryParse(name.AsSpan(0, 16), NumberStyles.AllowHexSpecifier, CultureInfo.InvariantCulture, out ulong older)
                && older < index)
            {
                disk.Delete(Path.Combine(directory, name));
                purged++;
            }
        }

        return purged;
    }

    /// <summary>Deletes what an interrupted receive or defragmentation left: tmp*, db.tmp*. As etcd does at start.</summary>
    public static void DeleteLeftovers(IDisk disk, string directory)
    {
        foreach (string name in disk.List(directory))
        {
            if (name.StartsWith("tmp", StringComparison.Ordinal) || name.StartsWith("db.tmp", StringComparison.Ordinal))
            {
                disk.Delete(Path.Combine(directory, name));
            }
        }
    }
}
