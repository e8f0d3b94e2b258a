using System.IO.Compression;
using System.Text;
using Perf.Node.Logging;
using Xunit;

namespace Perf.Node.Tests;

public sealed class RotatingFileTests : IDisposable
{
    private static readonly byte[] Line = Encoding.ASCII.GetBytes(new string('x', 39) + "\n");

    private readonly string _directory = Directory.CreateTempSubdirectory("perf-rotate").FullName;
    private readonly ManualTime _time = new();

    private string LogPath => Path.Combine(_directory, "etcd.log");

    public void Dispose() => Directory.Delete(_directory, recursive: true);

    [Fact]
    public void AFullFileIsPutAsideUnderTheTimesName()
    {
        using var file = new RotatingFile(LogPath, new LogRotation { FileBytesMax = 100 }, _time);
        Write(file, 5);
        Eventually(() => Assert.Equal(
            ["etcd-2026-01-02T03-04-05.000.log", "etcd-2026-01-02T03-04-05.001.log", "etcd.log"], Names()));
        Assert.Equal(80, new FileInfo(Path.Combine(_directory, "etcd-2026-01-02T03-04-05.000.log")).Length);
        Assert.Equal(40, new FileInfo(LogPath).Length);
    }

    [Fact]
    public void WhatWasThereCounts()
    {
        File.WriteAllBytes(LogPath, new byte[90]);
        using var file = new RotatingFile(LogPath, new LogRotation { FileBytesMax = 100 }, _time);
        Write(file, 1);
        Assert.Equal(40, new FileInfo(LogPath).Length);
    }

    [Fact]
    public void OnlyTheNewestStay()
    {
        string stranger = Path.Combine(_directory, "etcd-notes.log");
        File.WriteAllText(stranger, "");
        using var file = new RotatingFile(LogPath, new LogRotation { FileBytesMax = 40, BackupsMax = 2 }, _time);
        for (int i = 0; i < 5; i++)
        {
            Write(file, 1);
            _time.Advance(TimeSpan.FromMinutes(1));
        }

        Eventually(() => Assert.Equal(
            ["etcd-2026-01-02T03-07-05.000.log", "etcd-2026-01-02T03-08-05.000.log", "etcd-notes.log", "etcd.log"], Names()));
    }

    [Fact]
    public void TheOldGo()
    {
        using var file = new RotatingFile(LogPath, new LogRotation { FileBytesMax = 40, DaysMax = 1 }, _time);
        Write(file, 2);
        _time.Advance(TimeSpan.FromDays(2));
        Write(file, 1);
        Eventually(() => Assert.Equal(["etcd-2026-01-04T03-04-05.000.log", "etcd.log"], Names()));
    }

    [Fact]
    public void WhatIsPutAsideMayBeCompressed()
    {
        using var file = new RotatingFile(LogPath, new LogRotation { FileBytesMax = 40, Compress = true }, _time);
        Write(file, 2);
        Eventually(() => Assert.Equal(["etcd-2026-01-02T03-04-05.000.log.gz", "etcd.log"], Names()));
        using var gzip = new GZipStream(
            File.OpenRead(Path.Combine(_directory, "etcd-2026-01-02T03-04-05.000.log.gz")), CompressionMode.Decompress);
        using var text = new StreamReader(gzip);
        Assert.Equal(Encoding.ASCII.GetString(Line), text.ReadToEnd());
    }

    [Fact]
    public void ALineLongerThanAFileIsWrittenWhole()
    {
        using var file = new RotatingFile(LogPath, new LogRotation { FileBytesMax = 10 }, _time);
        Write(file, 1);
        Assert.Equal(40, new FileInfo(LogPath).Length);
    }

    private static void Write(RotatingFile file, int lines)
    {
        for (int i = 0; i < lines; i++)
        {
            file.Write(LogLevel.Info, Line);
        }
    }

    private static void Eventually(Action assertion)
    {
        for (int i = 0; ; i++)
        {
            try
            {
                assertion();
                return;
            }
            catch (Exception) when (i < 200)
            {
                Thread.Sleep(25);
            }
        }
    }

    private string[] Names() =>
        [.. Directory.EnumerateFiles(_directory).Select(p => Path.GetFileName(p)!).Order(StringComparer.Ordinal)];
}
