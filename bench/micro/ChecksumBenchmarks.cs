using BenchmarkDotNet.Attributes;
using Perf.Engine.Memory;

namespace Perf.Bench.Micro;

/// <summary>CRC32C by instruction, and by table as it is without one.</summary>
public class ChecksumBenchmarks
{
    private byte[] _data = [];

    /// <summary>A WAL record of a small put, a page, a large value.</summary>
    [Params(300, 4096, 1 << 20)]
    public int Bytes { get; set; }

    [GlobalSetup]
    public void Setup()
    {
        _data = new byte[Bytes];
        new Random(1).NextBytes(_data);
    }

    [Benchmark]
    public uint Instruction() => Crc32C.Append(0, _data);

    [Benchmark]
    public uint Table() => Crc32C.AppendPlain(0, _data);
}
