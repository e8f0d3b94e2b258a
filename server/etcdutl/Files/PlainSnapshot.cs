using Perf.Compression;

namespace Perf.Etcdutl.Files;

/// <summary>
/// A snapshot as it was before `snapshot save --compress`: the file itself, or a decompressed copy that goes away with
/// this.
/// </summary>
internal sealed class PlainSnapshot : IDisposable
{
    private readonly bool _isCopy;

    private PlainSnapshot(string path, bool isCopy)
    {
        Path = path;
        _isCopy = isCopy;
    }

    public string Path { get; }

    /// <summary>
    /// Decompresses where that is needed, into a directory that has room for the data. What does not exist is returned
    /// as it is, to be refused by who opens it.
    /// </summary>
    public static PlainSnapshot Of(string path, string scratchDirectory)
    {
        if (!File.Exists(path) || !Zstd.IsFrame(path))
        {
            return new PlainSnapshot(path, isCopy: false);
        }

        string copy = System.IO.Path.Combine(scratchDirectory, $"etcdutl-{Guid.NewGuid():n}.db");
        var options = new FileStreamOptions { Mode = FileMode.CreateNew, Access = FileAccess.Write };
        if (!OperatingSystem.IsWindows())
        {
            options.UnixCreateMode = UnixFileMode.UserRead | UnixFileMode.UserWrite;
        }

        var plain = new PlainSnapshot(copy, isCopy: true);
        try
        {
            using FileStream source = File.OpenRead(path);
            using var target = new FileStream(copy, options);
            Zstd.Decompress(source, target);
            return plain;
        }
        catch (Exception e)
        {
            plain.Dispose();
            throw e is InvalidDataException ? new InvalidDataException($"{path}: {e.Message}", e) : e;
        }
    }

    public void Dispose()
    {
        if (_isCopy)
        {
            File.Delete(Path);
        }
    }
}
