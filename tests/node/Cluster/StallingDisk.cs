using Perf.Engine.IO;

namespace Perf.Node.Tests.Cluster;

/// <summary>The real disk, whose log takes no more while it is told to stall.</summary>
internal sealed class StallingDisk : IDisk
{
    private readonly ManualResetEventSlim _goesOn = new(initialState: true);

    public void Stall() => _goesOn.Reset();

    public void GoOn() => _goesOn.Set();

    public IDiskFile Open(string path, DiskOpen mode)
    {
        IDiskFile file = FileDisk.Instance.Open(path, mode);

        // The first segment is opened in wal.tmp, before that is renamed.
        return path.Contains("/member/wal", StringComparison.Ordinal) ? new StallingFile(file, _goesOn) : file;
    }

    public bool FileExists(string path) => FileDisk.Instance.FileExists(path);

    public bool DirectoryExists(string path) => FileDisk.Instance.DirectoryExists(path);

    public void CreateDirectory(string path) => FileDisk.Instance.CreateDirectory(path);

    public IReadOnlyList<string> List(string directory) => FileDisk.Instance.List(directory);

    public void Rename(string source, string target) => FileDisk.Instance.Rename(source, target);

    public void Delete(string path) => FileDisk.Instance.Delete(path);

    public void DeleteDirectory(string path) => FileDisk.Instance.DeleteDirectory(path);

    public void SyncDirectory(string path) => FileDisk.Instance.SyncDirectory(path);

    private sealed class StallingFile(IDiskFile file, ManualResetEventSlim goesOn) : IDiskFile
    {
        public string Path => file.Path;

        public long Length => file.Length;

        public int Read(Span<byte> target, long offset) => file.Read(target, offset);

        public void Write(ReadOnlySpan<byte> source, long offset)
        {
            goesOn.Wait();
            file.Write(source, offset);
        }

        public void WriteBlocks(ReadOnlySpan<byte> source, long offset)
        {
            goesOn.Wait();
            file.WriteBlocks(source, offset);
        }

        public void WriteGather(IReadOnlyList<ReadOnlyMemory<byte>> parts, long offset)
        {
            goesOn.Wait();
            file.WriteGather(parts, offset);
        }

        public void SyncData()
        {
            goesOn.Wait();
            file.SyncData();
        }

        public void SyncAll()
        {
            goesOn.Wait();
            file.SyncAll();
        }

        public void SetLength(long length) => file.SetLength(length);

        public void Allocate(long offset, long length) => file.Allocate(offset, length);

        public void StartWriteback(long offset, long length) => file.StartWriteback(offset, length);

        public void FinishWriteback(long offset, long length) => file.FinishWriteback(offset, length);

        public bool TryLockWhole() => file.TryLockWhole();

        public bool TryLockDescription() => file.TryLockDescription();

        public IFileMap Map(long reservedBytes) => file.Map(reservedBytes);

        public void Dispose() => file.Dispose();
    }
}
