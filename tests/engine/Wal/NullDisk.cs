using Perf.Engine.IO;

namespace Perf.Engine.Tests.Wal;

/// <summary>A disk that takes everything and keeps nothing: for measuring what a caller itself allocates.</summary>
internal sealed class NullDisk : IDisk
{
    public IDiskFile Open(string path, DiskOpen mode) => new NullFile(path);

    public bool FileExists(string path) => false;

    public bool DirectoryExists(string path) => false;

    public void CreateDirectory(string path)
    {
    }

    public IReadOnlyList<string> List(string directory) => [];

    public void Rename(string source, string target)
    {
    }

    public void Delete(string path)
    {
    }

    public void DeleteDirectory(string path)
    {
    }

    public void SyncDirectory(string path)
    {
    }

    private sealed class NullFile(string path) : IDiskFile
    {
        public string Path { get; } = path;

        public long Length => 0;

        public int Read(Span<byte> target, long offset) => 0;

        public void Write(ReadOnlySpan<byte> source, long offset)
        {
        }

        public void WriteBlocks(ReadOnlySpan<byte> source, long offset)
        {
        }

        public void WriteGather(IReadOnlyList<ReadOnlyMemory<byte>> parts, long offset)
        {
        }

        public void SyncData()
        {
        }

        public void SyncAll()
        {
        }

        public void SetLength(long length)
        {
        }

        public void Allocate(long offset, long length)
        {
        }

        public void StartWriteback(long offset, long length)
        {
        }

        public void FinishWriteback(long offset, long length)
        {
        }

        public bool TryLockWhole() => true;

        public bool TryLockDescription() => true;

        public IFileMap Map(long reservedBytes) => throw new NotSupportedException();

        public void Dispose()
        {
        }
    }
}
