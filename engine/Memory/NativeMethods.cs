using System.Runtime.InteropServices;
using Microsoft.Win32.SafeHandles;

namespace Perf.Engine.Memory;

/// <summary>
/// The system calls the managed library lacks or gets wrong: its flush returns normally when fsync fails
/// (DESIGN.md, "Why no managed flush"). Decide on the return value only: the first SetLastError call of a process may
/// report a foreign errno, which is good for the log line and for nothing else.
/// </summary>
internal static unsafe partial class NativeMethods
{
    internal const int ReadOnly = 0;
    internal const int ReadWrite = 2;
    internal const int Create = 0x40;
    internal const int Exclusive = 0x80;
    internal const int CloseOnExec = 0x80000;
    internal const uint OwnerOnly = 0x180; // 0600
    internal const uint OwnerDirectory = 0x1C0; // 0700

    internal const int ProtectRead = 1;
    internal const int MapShared = 1;
    internal const int MapNoReserve = 0x4000;

    internal const int LockExclusive = 2;
    internal const int LockNonBlocking = 4;
    internal const int Unlock = 8;
    internal const int SetDescriptionLock = 37; // F_OFD_SETLK
    internal const short WriteLock = 1; // F_WRLCK
    internal const short NoLock = 2; // F_UNLCK

    internal const uint WritebackStart = 2; // SYNC_FILE_RANGE_WRITE
    internal const uint WritebackFinish = 1; // SYNC_FILE_RANGE_WAIT_BEFORE

    internal const int PriorityOfThread = 0; // PRIO_PROCESS, which is a thread's on Linux

    internal const int ErrorInterrupted = 4;
    internal const int ErrorAgain = 11;
    internal const int ErrorAccess = 13;
    internal const int ErrorInvalid = 22;
    internal const int ErrorNoSpace = 28;
    internal const int ErrorNotSupported = 95;
    internal const int ErrorQuota = 122;

    /// <summary>O_DIRECTORY has different values on the two machines we run on.</summary>
    internal static int Directory =>
        RuntimeInformation.ProcessArchitecture == Architecture.Arm64 ? 0x4000 : 0x10000;

    /// <summary>O_DIRECT as well.</summary>
    internal static int Direct =>
        RuntimeInformation.ProcessArchitecture == Architecture.Arm64 ? 0x10000 : 0x4000;

    [LibraryImport("libc", EntryPoint = "open", SetLastError = true, StringMarshalling = StringMarshalling.Utf8)]
    internal static partial int Open(string path, int flags, uint mode);

    [LibraryImport("libc", EntryPoint = "pread", SetLastError = true)]
    internal static partial nint Read(SafeFileHandle file, byte* target, nint count, long offset);

    [LibraryImport("libc", EntryPoint = "pwrite", SetLastError = true)]
    internal static partial nint Write(SafeFileHandle file, byte* source, nint count, long offset);

    [LibraryImport("libc", EntryPoint = "pwritev", SetLastError = true)]
    internal static partial nint WriteGather(SafeFileHandle file, IoVector* parts, int count, long offset);

    [LibraryImport("libc", EntryPoint = "fsync", SetLastError = true)]
    internal static partial int SyncAll(SafeFileHandle file);

    [LibraryImport("libc", EntryPoint = "fdatasync", SetLastError = true)]
    internal static partial int SyncData(SafeFileHandle file);

    [LibraryImport("libc", EntryPoint = "ftruncate", SetLastError = true)]
    internal static partial int Truncate(SafeFileHandle file, long length);

    [LibraryImport("libc", EntryPoint = "lseek", SetLastError = true)]
    internal static partial long Seek(SafeFileHandle file, long offset, int whence);

    [LibraryImport("libc", EntryPoint = "fallocate", SetLastError = true)]
    internal static partial int Allocate(SafeFileHandle file, int mode, long offset, long length);

    [LibraryImport("libc", EntryPoint = "sync_file_range", SetLastError = true)]
    internal static partial int SyncRange(SafeFileHandle file, long offset, long length, uint flags);

    [LibraryImport("libc", EntryPoint = "flock", SetLastError = true)]
    internal static partial int LockWhole(SafeFileHandle file, int operation);

    [LibraryImport("libc", EntryPoint = "fcntl", SetLastError = true)]
    internal static partial int Control(SafeFileHandle file, int command, FileLock* argument);

    [LibraryImport("libc", EntryPoint = "mmap", SetLastError = true)]
    internal static partial void* Map(void* address, nuint length, int protection, int flags, SafeFileHandle file, long offset);

    [LibraryImport("libc", EntryPoint = "munmap", SetLastError = true)]
    internal static partial int Unmap(void* address, nuint length);

    [LibraryImport("libc", EntryPoint = "setpriority")]
    internal static partial int SetPriority(int which, uint who, int nice);

    [LibraryImport("libc", EntryPoint = "rename", SetLastError = true, StringMarshalling = StringMarshalling.Utf8)]
    internal static partial int Rename(string source, string target);

    [LibraryImport("libc", EntryPoint = "unlink", SetLastError = true, StringMarshalling = StringMarshalling.Utf8)]
    internal static partial int Unlink(string path);

    [LibraryImport("libc", EntryPoint = "mkdir", SetLastError = true, StringMarshalling = StringMarshalling.Utf8)]
    internal static partial int MakeDirectory(string path, uint mode);

    /// <summary>struct iovec.</summary>
    [StructLayout(LayoutKind.Sequential)]
    internal struct IoVector
    {
        public byte* Start;
        public nint Bytes;
    }

    /// <summary>struct flock on 64-bit Linux.</summary>
    [StructLayout(LayoutKind.Sequential)]
    internal struct FileLock
    {
        public short Type;
        public short Whence;
        public long Start;
        public long Length;
        public int Process;
    }
}
