namespace Perf.Engine;

/// <summary>We are wrong: a check failed. Caught only at the process boundary.</summary>
public sealed class InvariantException(string message) : Exception(message);

/// <summary>Bytes on disk are not what was written there. Carries the file, the place and the reason.</summary>
public sealed class CorruptionException(string file, long offset, string reason)
    : Exception($"{file} at offset {offset}: {reason}")
{
    /// <summary>The damaged file.</summary>
    public string File { get; } = file;

    /// <summary>Byte offset of the damage, as near as it is known.</summary>
    public long Offset { get; } = offset;

    /// <summary>What was found and what was expected.</summary>
    public string Reason { get; } = reason;
}

/// <summary>A disk call failed. The message names path, call and errno; decisions rest on the type, not on errno.</summary>
public class DiskException : IOException
{
    public DiskException(string path, string call, int errno, string detail)
        : base($"{path}: {call}: {detail} (errno {errno})")
    {
        Path = path;
        Call = call;
        Errno = errno;
    }

    /// <summary>The file or directory.</summary>
    public string Path { get; }

    /// <summary>The system call that failed.</summary>
    public string Call { get; }

    /// <summary>errno as reported, for the log line.</summary>
    public int Errno { get; }
}

/// <summary>No space or quota left (ENOSPC, EDQUOT).</summary>
public sealed class DiskFullException(string path, string call, int errno, string detail)
    : DiskException(path, call, errno, detail);
