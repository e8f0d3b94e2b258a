using Etcdserverpb;
using Google.Protobuf;
using Perf.Store.Watch;
using Xunit;

namespace Perf.Store.Tests.Watch;

/// <summary>A fake store, a hub over it and one open stream, driven by hand.</summary>
internal sealed class WatchBench
{
    public WatchBench(WatchOptions? options = null, WatchPermission? permission = null)
    {
        Hub = new WatchHub(Store, options ?? new WatchOptions { ClusterId = 7, MemberId = 9 }, _ => Wakes++)
        {
            RaftTerm = 3,
        };
        Store.Hub = Hub;
        Stream = Hub.Open(Output, permission);
    }

    public FakeStore Store { get; } = new();

    public WatchHub Hub { get; }

    public RecordingOutput Output { get; } = new();

    public WatchStream Stream { get; }

    public int Wakes { get; private set; }

    /// <summary>Encodes a create request as a client would.</summary>
    public static byte[] CreateRequest(
        string key,
        string end = "",
        long start = 0,
        long id = 0,
        bool prevKv = false,
        bool fragment = false,
        bool progress = false,
        params WatchCreateRequest.Types.FilterType[] filters)
    {
        var create = new WatchCreateRequest
        {
            Key = ByteString.CopyFromUtf8(key),
            RangeEnd = ByteString.CopyFromUtf8(end),
            StartRevision = start,
            WatchId = id,
            PrevKv = prevKv,
            Fragment = fragment,
            ProgressNotify = progress,
        };
        create.Filters.AddRange(filters);
        return new WatchRequest { CreateRequest = create }.ToByteArray();
    }

    /// <summary>Creates a watch, pumps, and takes what came.</summary>
    public List<WatchResponse> Create(
        string key,
        string end = "",
        long start = 0,
        long id = 0,
        bool prevKv = false,
        bool fragment = false,
        bool progress = false,
        params WatchCreateRequest.Types.FilterType[] filters)
    {
        Assert.True(Stream.TryHandle(CreateRequest(key, end, start, id, prevKv, fragment, progress, filters)));
        return PumpAndTake();
    }

    public void Put(string key, string value = "v")
    {
        Store.Put(key, value);
        Store.Publish();
    }

    public void Delete(string key)
    {
        Store.Delete(key);
        Store.Publish();
    }

    /// <summary>Pumps until nothing is left to do.</summary>
    public void PumpAll()
    {
        for (int i = 0; Hub.Pump(); i++)
        {
            Assert.True(i < 100_000, "the pump does not come to rest");
        }
    }

    public List<WatchResponse> PumpAndTake()
    {
        PumpAll();
        return Output.Take();
    }
}
