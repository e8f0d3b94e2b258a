using System.Buffers;
using BenchmarkDotNet.Attributes;
using Etcdserverpb;
using Google.Protobuf;
using Perf.Raft;
using Perf.Store.Commands;

namespace Perf.Bench.Micro;

/// <summary>A put on its way: read from the wire, made an entry, read back by a follower.</summary>
public class CodecBenchmarks
{
    private const ulong Term = 7;
    private const ulong Index = 123_456;

    private byte[] _put = [];
    private byte[] _entry = [];
    private byte[] _target = [];

    [Params(256, 1024)]
    public int ValueBytes { get; set; }

    [GlobalSetup]
    public void Setup()
    {
        var value = new byte[ValueBytes];
        new Random(1).NextBytes(value);
        _put = new PutRequest
        {
            Key = ByteString.CopyFromUtf8("registry/pods/default/pod-000001"),
            Value = ByteString.CopyFrom(value),
            Lease = 7587,
        }.ToByteArray();
        _target = new byte[_put.Length + EntryCodec.HeadroomBytes];
        _entry = EntryCodec.Write(_target, EntryType.Normal, Term, Index, _put, hasData: true, lease: null)
            .Encoded.ToArray();
    }

    [Benchmark]
    public int PutView() =>
        Perf.Store.Commands.PutView.TryParse(_put, out PutView view) ? view.Value.Length : throw Refused();

    /// <summary>The same by the general library, for scale.</summary>
    [Benchmark]
    public int PutMessage() => PutRequest.Parser.ParseFrom(_put).Value.Length;

    [Benchmark]
    public int WriteEntry() =>
        EntryCodec.Write(_target, EntryType.Normal, Term, Index, _put, hasData: true, lease: null).Encoded.Length;

    [Benchmark]
    public ulong ReadEntry() => EntryCodec.TryRead(_entry, lease: null, out Entry entry) == OperationStatus.Done
        ? entry.Index
        : throw Refused();

    private static InvalidOperationException Refused() => new("the codec refuses its own bytes");
}
