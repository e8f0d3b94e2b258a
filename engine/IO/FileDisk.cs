using System.Runtime.InteropServices;
using Microsoft.Win32.SafeHandles;
using Perf.Engine.Memory;

namespace Perf.Engine.IO;

/// <summary>The real disk, through our own system calls.</summary>
public sealed class FileDisk : IDisk
{
    /// <summary>The one instance there needs to be: it has no state.</summary>
    public static readonly FileDisk Instance = new();

    private FileDisk()
    {
        // The first call of a process may report a foreign errno: let it be this one.
        _ = NativeMethods.Unlink(string.Empty);
    }

    /// <inheritdoc/>
    public IDiskFile Open(string path, DiskOpen mode)
    {
        int flags = NativeMethods.CloseOnExec | mode switch
        {
            DiskOpen.ReadOnly => NativeMethods.ReadOnly,
            DiskOpen.ReadWrite => NativeMethods.ReadWrite,
            DiskOpen.CreateNew => NativeMethods.ReadWrite | NativeMethods.Create | NativeMethods.Exclusive,
            DiskOpen.OpenOrCreate => NativeMethods.ReadWrite | NativeMethods.Create,
            _ => throw new ArgumentOutOfRangeException(nameof(mode)),
        };
        int descriptor;
        do
        {
            descriptor = NativeMethods.Open(path, flags, NativeMethods.OwnerOnly);
        }
        while (descriptor < 0 && Marshal.GetLastPInvokeError() == NativeMethods.ErrorInterrupted);
        return descriptor < 0
            ? throw Failure(path, "open")
            : new RealFile(new SafeFileHandle(descriptor, ownsHandle: true), path);
    }

    /// <inheritdoc/>
    public bool FileExists(string path) => File.Exists(path);

    /// <inheritdoc/>
    public bool DirectoryExists(string path) => Directory.Exists(path);

    /// <inheritdoc/>
    public void CreateDirectory(string path)
    {
        if (Directory.Exists(path))
        {
            return;
        }

        string? parent = Path.GetDirectoryName(Path.GetFullPath(path));
        if (!string.IsNullOrEmpty(parent))
        {
            CreateDirectory(parent);
        }

        if (NativeMethods.MakeDirectory(path, NativeMethods.OwnerDirectory) != 0 && !Directory.Exists(path))
        {
            throw Failure(path, "mkdir");
        }
    }

    /// <inheritdoc/>
    public IReadOnlyList<string> List(string directory)
    {
        var names = new List<string>();
        foreach (string entry in Directory.EnumerateFileSystemEntries(directory))
        {
            names.Add(Path.GetFileName(entry));
        }

        names.Sort(StringComparer.Ordinal);
        return names;
    }

    /// <inheritdoc/>
    public void Rename(string source, string target)
    {
        if (NativeMethods.Rename(source, target) != 0)
        {
            throw Failure(source, "rename");
        }
    }

    /// <inheritdoc/>
    public void Delete(string path)
    {
        if (NativeMethods.Unlink(path) != 0)
        {
            throw Failure(path, "unlink");
        }
    }

    /// <inheritdoc/>
    public void DeleteDirectory(string path) => Directory.Delete(path, recursive: true);

    /// <inheritdoc/>
    public void SyncDirectory(string path)
    {
        string name = path.Length == 0 ? "." : path;
        int flags = NativeMethods.ReadOnly | NativeMethods.Directory | NativeMethods.CloseOnExec;
        int descriptor = NativeMethods.Open(name, flags, 0);
        if (descriptor < 0)
        {
            throw Failure(name, "fsync directory");
        }

        using var handle = new SafeFileHandle(descriptor, ownsHandle: true);
        if (NativeMethods.SyncAll(handle) != 0)
        {
            throw Failure(name, "fsync directory");
        }
    }

    /// <summary>The exception for the call that has just failed on this thread.</summary>
    internal static DiskException Failure(string path, string call)
    {
        int errno = Marshal.GetLastPInvokeError();
        string detail = Marshal.GetPInvokeErrorMessage(errno);
        return errno is NativeMethods.ErrorNoSpace or NativeMethods.ErrorQuota
            ? new DiskFullException(path, call, errno, detail)
            : new DiskException(path, call, errno, detail);
    }
}
