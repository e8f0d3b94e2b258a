using System.Collections.Concurrent;
using Etcdserverpb;
using Google.Protobuf;
using Mvccpb;
using Perf.Grpc;
using Xunit;

namespace Perf.Cluster.Tests.Harness;

/// <summary>
/// Clients that write while members come and go. Each key is written once and never again, whatever the answer: so what is
/// acknowledged must be there at the acknowledged revision, nothing may be there twice, and nothing that nobody wrote.
/// </summary>
internal sealed class UniqueWrites(MemberGroup group, string prefix = "load/") : IAsyncDisposable
{
    private const int PageKeys = 5000;

    private readonly ConcurrentDictionary<string, long> _acknowledged = new();
    private readonly ConcurrentDictionary<string, byte> _unknown = new();
    private CancellationTokenSource _over = new();
    private readonly List<Task> _clients = [];
    private int _started;

    /// <summary>Writes acknowledged so far.</summary>
    public int Count => _acknowledged.Count;

    /// <summary>The newest revision somebody was told.</summary>
    public long Revision { get; private set; }

    /// <summary>Starts so many clients; each writes, waits a little, and writes again.</summary>
    public void Start(int clients, TimeSpan pause)
    {
        for (int i = 0; i < clients; i++)
        {
            _clients.Add(Task.Run(() => RunAsync(pause, _over.Token)));
        }
    }

    /// <summary>Waits until that many more are acknowledged.</summary>
    public void WaitForMore(int count)
    {
        int target = Count + count;
        MemberGroup.Eventually(() => Count, c => c >= target, "writes go on", c => $"{c} of {target}");
    }

    /// <summary>Ends the clients, which may be started again; one that fails for a reason of its own fails here.</summary>
    public async Task StopAsync()
    {
        await _over.CancelAsync();
        await Task.WhenAll(_clients);
        _clients.Clear();
        _over.Dispose();
        _over = new CancellationTokenSource();
    }

    /// <summary>Compares with what a server has.</summary>
    public async Task VerifyAsync(EtcdProcess server)
    {
        await using var caller = new Caller(server);
        int found = 0;
        ByteString from = ByteString.CopyFromUtf8(prefix);
        ByteString end = ByteString.CopyFromUtf8(prefix[..^1] + (char)(prefix[^1] + 1));
        while (true)
        {
            RangeResponse page = await caller.RangeAsync(new RangeRequest { Key = from, RangeEnd = end, Limit = PageKeys });
            foreach (KeyValue kv in page.Kvs)
            {
                string key = kv.Key.ToStringUtf8();
                Assert.Equal(key, kv.Value.ToStringUtf8());
                Assert.True(kv.Version == 1, $"{key} was written {kv.Version} times");
                if (_acknowledged.TryGetValue(key, out long revision))
                {
                    Assert.True(kv.ModRevision == revision, $"{key} is at {kv.ModRevision}, acknowledged at {revision}");
                    found++;
                }
                else
                {
                    Assert.True(_unknown.ContainsKey(key), $"{key} is there, and was refused or never written");
                }
            }

            if (!page.More)
            {
                break;
            }

            from = ByteString.CopyFrom([.. page.Kvs[^1].Key.Span, 0]);
        }

        Assert.True(found == Count, $"{Count} writes were acknowledged, {found} are there");
    }

    public async ValueTask DisposeAsync()
    {
        await StopAsync();
        _over.Dispose();
    }

    private async Task RunAsync(TimeSpan pause, CancellationToken over)
    {
        Caller? caller = null;
        int member = Interlocked.Increment(ref _started);
        try
        {
            while (!over.IsCancellationRequested)
            {
                if (caller is null)
                {
                    EtcdProcess[] running = [.. group.Running];
                    if (running.Length > 0)
                    {
                        caller = new Caller(running[++member % running.Length].Url, TimeSpan.FromSeconds(3));
                    }
                }

                if (caller is null || !await TryWriteAsync(caller))
                {
                    await (caller?.DisposeAsync() ?? ValueTask.CompletedTask);
                    caller = null;
                    await Task.Delay(5);
                }

                await Task.Delay(pause);
            }
        }
        finally
        {
            await (caller?.DisposeAsync() ?? ValueTask.CompletedTask);
        }
    }

    private async Task<bool> TryWriteAsync(Caller caller)
    {
        string key = $"{prefix}{Interlocked.Increment(ref _started):d9}";
        _unknown[key] = 0;
        try
        {
            PutResponse answer = await caller.PutAsync(key, key);
            _acknowledged[key] = answer.Header.Revision;
            Revision = Math.Max(Revision, answer.Header.Revision);
            return true;
        }
        catch (RpcException e)
        {
            // These were refused before anybody proposed them; of any other failure nobody knows.
            if (e.Code is StatusCode.ResourceExhausted or StatusCode.InvalidArgument or StatusCode.PermissionDenied)
            {
                _unknown.Remove(key, out _);
            }

            return false;
        }
    }
}
