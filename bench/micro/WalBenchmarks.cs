using BenchmarkDotNet.Attributes;
using Perf.Engine.IO;
using Perf.Engine.Wal;
using Perf.Raft;

namespace Perf.Bench.Micro;

/// <summary>Entries into the log, a group of them at a time; with and without the disk's part.</summary>
public class WalBenchmarks
{
    private const int Group = 64;

    private readonly byte[] _target = new byte[512];
    private readonly byte[] _data = new byte[300];
    private string _folder = "";
    private WalLog _log = null!;
    private ulong _index;

    /// <summary>True: as in production.</summary>
    [Params(false, true)]
    public bool Syncs { get; set; }

    [GlobalSetup]
    public void Setup()
    {
        _folder = Directory.CreateTempSubdirectory("perf-micro").FullName;
        string wal = Path.Combine(_folder, "wal");
        _log = WalLog.Create(FileDisk.Instance, wal, 1, 2, new WalOptions { NoSync = !Syncs });
        new Random(1).NextBytes(_data);
        _index = 0;
    }

    [GlobalCleanup]
    public void Cleanup()
    {
        _log.Dispose();
        Directory.Delete(_folder, recursive: true);
    }

    [Benchmark(OperationsPerInvoke = Group)]
    public void AppendGroup()
    {
        if (_log.CutDue)
        {
            _log.Cut();
            _log.ReleaseBelow(_index);
            _log.PurgeSegments(2);
        }

        for (int i = 0; i < Group; i++)
        {
            _index++;
            Entry entry = EntryCodec.Write(_target, EntryType.Normal, 1, _index, _data, hasData: true, lease: null);
            _log.AppendEntry(_index, entry.Encoded.Span);
        }

        _log.AppendHardState(1, 1, _index);
        _log.Flush();
        if (Syncs)
        {
            _log.Sync();
        }
    }
}
