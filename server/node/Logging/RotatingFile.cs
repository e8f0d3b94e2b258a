using System.Globalization;
using System.IO.Compression;

namespace Perf.Node.Logging;

/// <summary>
/// A log file that is put aside under the time's name ("etcd-2026-01-02T15-04-05.000.log") before it grows too large;
/// files put aside are compressed and deleted as told. What fails here is left for the next time: no trouble with
/// the log stops the member.
/// </summary>
internal sealed class RotatingFile : ILogOutput, IDisposable
{
    private const string TimeFormat = "yyyy-MM-ddTHH-mm-ss.fff";
    private const string CompressedSuffix = ".gz";

    private readonly Lock _gate = new();
    private readonly string _path;
    private readonly LogRotation _rotation;
    private readonly TimeProvider _time;
    private FileStream? _file;
    private int _tidyRequests;

    public RotatingFile(string path, LogRotation rotation, TimeProvider time)
    {
        _path = Path.GetFullPath(path);
        _rotation = rotation;
        _time = time;
        _file = Open();
    }

    private string Directory => Path.GetDirectoryName(_path)!;

    private string Prefix => Path.GetFileNameWithoutExtension(_path) + "-";

    private string Extension => Path.GetExtension(_path);

    /// <inheritdoc/>
    public void Write(LogLevel level, ReadOnlySpan<byte> line)
    {
        lock (_gate)
        {
            try
            {
                _file ??= Open();
                if (_file.Length > 0 && _file.Length + line.Length > _rotation.FileBytesMax)
                {
                    Rotate();
                }

                _file!.Write(line);
                _file.Flush();
            }
            catch (Exception e) when (e is IOException or UnauthorizedAccessException)
            {
                // The line is lost; the next one tries again.
            }
        }
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        lock (_gate)
        {
            _file?.Dispose();
            _file = null;
        }
    }

    private FileStream Open()
    {
        System.IO.Directory.CreateDirectory(Directory);
        var options = new FileStreamOptions
        {
            Mode = FileMode.Append,
            Access = FileAccess.Write,
            Share = FileShare.ReadWrite | FileShare.Delete,
        };
        if (!OperatingSystem.IsWindows())
        {
            options.UnixCreateMode = UnixFileMode.UserRead | UnixFileMode.UserWrite;
        }

        return new FileStream(_path, options);
    }

    private void Rotate()
    {
        _file!.Dispose();
        _file = null;
        DateTimeOffset now = _rotation.LocalTime ? _time.GetLocalNow() : _time.GetUtcNow();
        string aside;
        do
        {
            aside = Path.Combine(Directory, Prefix + now.ToString(TimeFormat, CultureInfo.InvariantCulture) + Extension);
            now = now.AddMilliseconds(1);
        }
        while (File.Exists(aside) || File.Exists(aside + CompressedSuffix));

        File.Move(_path, aside);
        _file = Open();

        // Not here: whoever writes a line does not wait for a hundred megabytes to be compressed.
        if (Interlocked.Increment(ref _tidyRequests) == 1)
        {
            ThreadPool.UnsafeQueueUserWorkItem(static file => file.Tidy(), this, preferLocal: false);
        }
    }

    /// <summary>Tidies until nobody has asked meanwhile; what fails is left for the next rotation.</summary>
    private void Tidy()
    {
        int requests;
        do
        {
            requests = Volatile.Read(ref _tidyRequests);
            try
            {
                TidyBackups();
            }
            catch (Exception e) when (e is IOException or UnauthorizedAccessException)
            {
                // A file of a later rotation finds it again.
            }
        }
        while (Interlocked.CompareExchange(ref _tidyRequests, 0, requests) != requests);
    }

    /// <summary>Deletes what is too old or too many, and compresses the rest.</summary>
    private void TidyBackups()
    {
        List<(string Path, DateTime Time)> backups = Backups();
        DateTimeOffset now = _rotation.LocalTime ? _time.GetLocalNow() : _time.GetUtcNow();
        DateTime oldest = _rotation.DaysMax > 0 ? now.DateTime.AddDays(-_rotation.DaysMax) : DateTime.MinValue;
        for (int i = 0; i < backups.Count; i++)
        {
            (string path, DateTime time) = backups[i];
            if (time < oldest || (_rotation.BackupsMax > 0 && i >= _rotation.BackupsMax))
            {
                File.Delete(path);
            }
            else if (_rotation.Compress && !path.EndsWith(CompressedSuffix, StringComparison.Ordinal))
            {
                Compress(path);
            }
        }
    }

    /// <summary>Files put aside, the newest first. Others that lie beside them are not ours.</summary>
    private List<(string Path, DateTime Time)> Backups()
    {
        var backups = new List<(string Path, DateTime Time)>();
        foreach (string path in System.IO.Directory.EnumerateFiles(Directory, Prefix + "*"))
        {
            string name = Path.GetFileName(path);
            name = name.EndsWith(CompressedSuffix, StringComparison.Ordinal) ? name[..^CompressedSuffix.Length] : name;
            if (name.EndsWith(Extension, StringComparison.Ordinal)
                && DateTime.TryParseExact(
                    name[Prefix.Length..^Extension.Length],
                    TimeFormat,
                    CultureInfo.InvariantCulture,
                    DateTimeStyles.None,
                    out DateTime time))
            {
                backups.Add((path, time));
            }
        }

        backups.Sort((a, b) => b.Time.CompareTo(a.Time));
        return backups;
    }

    private static void Compress(string path)
    {
        string unfinished = path + CompressedSuffix + ".tmp";
        using (FileStream source = File.OpenRead(path))
        using (FileStream target = File.Create(unfinished))
        using (var gzip = new GZipStream(target, CompressionLevel.Optimal))
        {
            source.CopyTo(gzip);
        }

        File.Move(unfinished, path + CompressedSuffix, overwrite: true);
        File.Delete(path);
    }
}
