using Etcdserverpb;
using Google.Protobuf;
using Mvccpb;
using Perf.Grpc;
using Xunit;

namespace Perf.Rpc.Tests;

/// <summary>KV.RangeStream (SURFACE RNG-13).</summary>
public sealed class RangeStreamTests : IAsyncLifetime
{
    private const string Kv = "/etcdserverpb.KV/";
    private const int Keys = 137;

    private readonly RpcServer _server = new() { Configure = config => config.MaxRequestBytes = 16 * 1024 };

    private static readonly ClientMethod<RangeRequest, RangeStreamResponse> Method = new(
        Kv + "RangeStream", message => message.ToByteArray(), bytes => RangeStreamResponse.Parser.ParseFrom(bytes.Span));

    public async Task InitializeAsync()
    {
        await _server.InitializeAsync();
        for (int i = 0; i < Keys; i++)
        {
            await PutAsync($"k{i:d4}", new string('v', 500));
        }
    }

    public Task DisposeAsync() => _server.DisposeAsync();

    [Theory]
    [InlineData(0)]
    [InlineData(1)]
    [InlineData(9)]
    [InlineData(10)]
    [InlineData(11)]
    [InlineData(30)]
    [InlineData(Keys - 1)]
    [InlineData(Keys)]
    [InlineData(Keys + 1)]
    public async Task AllPiecesTogetherAreTheWholeRange(long limit)
    {
        foreach (bool keysOnly in new[] { false, true })
        {
            RangeRequest request = All();
            request.Limit = limit;
            request.KeysOnly = keysOnly;
            RangeResponse whole = await _server.CallAsync<RangeResponse>(Kv + "Range", request);
            List<RangeResponse> pieces = await StreamAsync(request);
            Assert.Equal(whole.Kvs, pieces.SelectMany(piece => piece.Kvs));
            Assert.Equal(whole.Count, pieces[^1].Count);
            Assert.Equal(whole.More, pieces[^1].More);
            Assert.Equal(whole.Header, pieces[^1].Header);
            Assert.All(pieces.SkipLast(1), piece => Assert.True(piece is { Header: null, More: false, Count: 0 }));
            Assert.True(limit is 0 or > 10 ? pieces.Count > 1 : pieces.Count == 1);
        }
    }

    [Fact]
    public async Task PiecesComeNearTheRequestLimit()
    {
        List<RangeResponse> pieces = await StreamAsync(All());
        Assert.All(pieces, piece => Assert.True(piece.CalculateSize() < 3 * 16 * 1024));
        Assert.Contains(pieces, piece => piece.CalculateSize() > 8 * 1024);
    }

    [Theory]
    [InlineData(10, 499, 1000, 20)]
    [InlineData(10, 500, 1000, 10)]
    [InlineData(10, 2000, 1000, 10)]
    [InlineData(10, 2001, 1000, 5)]
    [InlineData(1, 2001, 1000, 1)]
    public void PiecesGrowAndShrink(long keys, int bytes, int wanted, long next) =>
        Assert.Equal(next, KvService.NextPieceKeys(keys, bytes, wanted));

    [Fact]
    public async Task WritesAfterTheFirstPieceAreNotSeen()
    {
        await using ClientStream<RangeRequest, RangeStreamResponse> stream =
            _server.Channel.ServerStream(Method, All(), RpcServer.Options());
        Assert.True(await stream.MoveNextAsync());
        List<KeyValue> seen = [.. stream.Current.RangeResponse.Kvs];
        long revision = (await _server.CallAsync<RangeResponse>(Kv + "Range", All())).Header.Revision;
        await PutAsync("k9999", "new");
        while (await stream.MoveNextAsync())
        {
            seen.AddRange(stream.Current.RangeResponse.Kvs);
        }

        Assert.Equal(Keys, seen.Count);
        Assert.All(seen, kv => Assert.True(kv.ModRevision <= revision));
        Assert.Equal(revision, stream.Current.RangeResponse.Header.Revision);
    }

    [Fact]
    public async Task CountOnlyAndOneKeyAreOnePiece()
    {
        RangeRequest count = All();
        count.CountOnly = true;
        RangeResponse counted = Assert.Single(await StreamAsync(count));
        Assert.Equal((Keys, 0), (counted.Count, counted.Kvs.Count));
        RangeResponse one = Assert.Single(await StreamAsync(new RangeRequest { Key = Bytes("k0001") }));
        Assert.Equal((1, "k0001"), (one.Count, one.Kvs[0].Key.ToStringUtf8()));
        RangeResponse none = Assert.Single(await StreamAsync(new RangeRequest { Key = Bytes("none"), Serializable = true }));
        Assert.Equal((0, true), (none.Count, none.Header.Revision > 0));
    }

    [Fact]
    public async Task RefusesWhatItCannotStream()
    {
        RangeRequest sorted = All();
        sorted.SortOrder = RangeRequest.Types.SortOrder.Descend;
        Assert.Equal((StatusCode.Unimplemented, "RangeStream does not support custom sort orders"), await StatusAsync(sorted));
        RangeRequest filtered = All();
        filtered.MinModRevision = 1;
        Assert.Equal((StatusCode.Unimplemented, "RangeStream does not support revision filters"), await StatusAsync(filtered));
        Assert.Equal((StatusCode.InvalidArgument, "etcdserver: key is not provided"), await StatusAsync(new RangeRequest()));
        RangeRequest future = All();
        future.Revision = 1L << 40;
        Assert.Equal(StatusCode.OutOfRange, (await StatusAsync(future)).Code);
    }

    private static RangeRequest All() => new() { Key = Bytes("k"), RangeEnd = Bytes("l") };

    private static ByteString Bytes(string text) => ByteString.CopyFromUtf8(text);

    private Task<PutResponse> PutAsync(string key, string value) =>
        _server.CallAsync<PutResponse>(Kv + "Put", new PutRequest { Key = Bytes(key), Value = Bytes(value) });

    private async Task<List<RangeResponse>> StreamAsync(RangeRequest request)
    {
        var pieces = new List<RangeResponse>();
        await using ClientStream<RangeRequest, RangeStreamResponse> stream =
            _server.Channel.ServerStream(Method, request, RpcServer.Options());
        while (await stream.MoveNextAsync())
        {
            pieces.Add(stream.Current.RangeResponse);
        }

        return pieces;
    }

    private async Task<(StatusCode Code, string Text)> StatusAsync(RangeRequest request)
    {
        RpcException e = await Assert.ThrowsAsync<RpcException>(() => StreamAsync(request));
        return (e.Code, e.Message);
    }
}
