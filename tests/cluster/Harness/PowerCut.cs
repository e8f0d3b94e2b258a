using System.Diagnostics;
using System.Runtime.InteropServices;
using Microsoft.Win32.SafeHandles;
using Xunit;

namespace Perf.Cluster.Tests.Harness;

/// <summary>Needs root and a loop device. Skipped without, whatever PERF_REQUIRE_INTEROP says: a container may have neither.</summary>
public sealed class PowerCutFactAttribute : FactAttribute
{
    public PowerCutFactAttribute()
    {
        if (!Environment.IsPrivilegedProcess)
        {
            Skip = "only root may mount";
        }
        else if (!File.Exists("/dev/loop-control") || !Directory.Exists("/sys/fs/ext4"))
        {
            Skip = "no loop device or no ext4 here";
        }
        else if (PowerCut.TryMount() is { } reason)
        {
            Skip = "an ext4 on a loop device cannot be mounted: " + reason;
        }
    }
}

/// <summary>
/// An ext4 in a file, mounted through a loop device, that can lose its power: what was not synced is gone. The kernel's
/// own shutdown of a file system does it: the journal's memory is dropped and nothing more reaches the device.
/// </summary>
internal sealed class PowerCut : IDisposable
{
    private const int ImageBytes = 192 << 20;

    /// <summary>The ioctl of xfs and ext4 that ends all writing.</summary>
    private const nuint Shutdown = 0x8004587d;

    /// <summary>Without writing out the journal first: as a plug that is pulled.</summary>
    private const uint NoLogFlush = 2;

    private readonly TempDirectory _scratch = new();
    private string _image;
    private int _cuts;
    private bool _isMounted;

    public PowerCut()
    {
        Directory.CreateDirectory(Path);
        _image = _scratch["image"];
        using (FileStream image = File.Create(_image))
        {
            image.SetLength(ImageBytes);
        }

        Run("mkfs.ext4", "-q", "-F", _image);
        Mount();
    }

    /// <summary>Where the file system is mounted.</summary>
    public string Path => _scratch["mount"];

    /// <summary>Why it does not work here; null when it does.</summary>
    public static string? TryMount()
    {
        try
        {
            using var tried = new PowerCut();
            return null;
        }
        catch (Exception e)
        {
            return e.Message;
        }
    }

    /// <summary>Pulls the plug. Files stay open, and every further write fails.</summary>
    public void Cut()
    {
        using SafeFileHandle directory = OpenDirectory(Path);
        uint flag = NoLogFlush;
        int result = Control(directory, Shutdown, ref flag);
        Assert.True(result == 0, $"the file system does not shut down: error {Marshal.GetLastPInvokeError()}");
    }

    /// <summary>
    /// Mounts again what survived, which replays the journal. Nobody may have files open. It is a copy that is mounted: a process that
    /// was started in a namespace of its own meanwhile (a test of networks does) has the old mount in it too, and while that lives the
    /// same image would come back as the file system that was shut down.
    /// </summary>
    public void Restore()
    {
        Unmount();
        string survived = _scratch[$"image{++_cuts}"];
        Run("cp", "--sparse=always", _image, survived);
        File.Delete(_image);
        _image = survived;
        Mount();
    }

    public void Dispose()
    {
        if (_isMounted)
        {
            Unmount();
        }

        _scratch.Dispose();
    }

    private void Mount()
    {
        Run("mount", "-o", "loop", _image, Path);
        _isMounted = true;
    }

    private void Unmount()
    {
        Run("umount", Path);
        _isMounted = false;
    }

    private static void Run(string program, params string[] arguments)
    {
        using Process process = Process.Start(
            new ProcessStartInfo(program, arguments) { RedirectStandardError = true, RedirectStandardOutput = true })!;
        Task<string> output = process.StandardOutput.ReadToEndAsync();
        string errors = process.StandardError.ReadToEnd();
        process.WaitForExit();
        if (process.ExitCode != 0)
        {
            throw new IOException($"{program} {string.Join(' ', arguments)}: {errors}{output.Result}");
        }
    }

    private static SafeFileHandle OpenDirectory(string path)
    {
        var handle = new SafeFileHandle(Open(path, flags: 0), ownsHandle: true);
        Assert.False(handle.IsInvalid, $"{path}: error {Marshal.GetLastPInvokeError()}");
        return handle;
    }

    [DllImport("libc", EntryPoint = "open", SetLastError = true)]
    private static extern int Open([MarshalAs(UnmanagedType.LPUTF8Str)] string path, int flags);

    [DllImport("libc", EntryPoint = "ioctl", SetLastError = true)]
    private static extern int Control(SafeFileHandle file, nuint request, ref uint argument);
}
