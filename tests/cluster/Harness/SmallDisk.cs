using System.Diagnostics;
using Xunit;

namespace Perf.Cluster.Tests.Harness;

/// <summary>Needs root and mount. Skipped without, whatever PERF_REQUIRE_INTEROP says: a container may have neither.</summary>
public sealed class SmallDiskFactAttribute : FactAttribute
{
    public SmallDiskFactAttribute()
    {
        if (!Environment.IsPrivilegedProcess)
        {
            Skip = "only root may mount";
            return;
        }

        try
        {
            using var tried = new SmallDisk(1 << 20);
        }
        catch (Exception e)
        {
            Skip = "a file system of limited size cannot be mounted: " + e.Message;
        }
    }
}

/// <summary>A file system in memory that has so many bytes and no more, and can be filled up by somebody else.</summary>
internal sealed class SmallDisk : IDisposable
{
    private readonly TempDirectory _scratch = new();

    public SmallDisk(long bytes)
    {
        Directory.CreateDirectory(Path);
        Run("mount", "-t", "tmpfs", "-o", $"size={bytes}", "tmpfs", Path);
    }

    /// <summary>Where it is mounted.</summary>
    public string Path => _scratch["mount"];

    public long FreeBytes => new DriveInfo(Path).AvailableFreeSpace;

    /// <summary>Takes everything but so much.</summary>
    public void Fill(long bytesLeft)
    {
        byte[] piece = new byte[1 << 16];
        using FileStream filler = File.OpenWrite(System.IO.Path.Combine(Path, "filler"));
        filler.Seek(0, SeekOrigin.End);
        for (long free = FreeBytes; free > bytesLeft; free = FreeBytes)
        {
            filler.Write(piece.AsSpan(0, (int)Math.Min(piece.Length, free - bytesLeft)));
            filler.Flush();
        }
    }

    /// <summary>Gives back what was filled.</summary>
    public void Free() => File.Delete(System.IO.Path.Combine(Path, "filler"));

    /// <summary>A larger disk with the same files.</summary>
    public void Grow(long bytes) => Run("mount", "-o", $"remount,size={bytes}", Path);

    public void Dispose()
    {
        Run("umount", Path);
        _scratch.Dispose();
    }

    private static void Run(string program, params string[] arguments)
    {
        using Process process = Process.Start(new ProcessStartInfo(program, arguments) { RedirectStandardError = true })!;
        string errors = process.StandardError.ReadToEnd();
        process.WaitForExit();
        if (process.ExitCode != 0)
        {
            throw new IOException($"{program} {string.Join(' ', arguments)}: {errors}");
        }
    }
}
