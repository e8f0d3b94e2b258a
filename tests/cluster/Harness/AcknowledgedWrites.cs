using System.Collections.Concurrent;
using Etcdserverpb;
using Mvccpb;
using Perf.Grpc;
using Xunit;

namespace Perf.Cluster.Tests.Harness;

/// <summary>
/// Clients that write until their server dies, and remember what it had acknowledged by then. Each client has keys of
/// its own and one request under way, so that afterwards a key holds what was last acknowledged or the one write after it.
/// </summary>
internal sealed class AcknowledgedWrites(int clients)
{
    private const int KeysPerClient = 40;

    private readonly ConcurrentDictionary<string, Write> _last = new();
    private long _revision;
    private long _compacted;
    private int _count;

    /// <summary>Puts acknowledged so far.</summary>
    public int Count => _count;

    /// <summary>Writes until the server does not answer; ends with it.</summary>
    public async Task RunAsync(EtcdProcess server)
    {
        await using var caller = new Caller(server);
        await Task.WhenAll(Enumerable.Range(0, clients).Select(client => Task.Run(() => WriteAsync(caller, client))));
    }

    /// <summary>Everything acknowledged is there.</summary>
    public async Task VerifyAsync(EtcdProcess server)
    {
        await using var caller = new Caller(server);
        RangeResponse everything = await caller.EverythingAsync();
        Assert.True(
            everything.Header.Revision >= _revision,
            $"revision {everything.Header.Revision} after {_revision} was acknowledged");
        _revision = everything.Header.Revision;
        Dictionary<string, KeyValue> found = everything.Kvs.ToDictionary(kv => kv.Key.ToStringUtf8());
        foreach ((string key, Write write) in _last)
        {
            KeyValue? kv = found.GetValueOrDefault(key);
            string value = kv?.Value.ToStringUtf8() ?? "nothing";
            bool isTried = value == write.Tried;
            Assert.True(
                value == (write.Acknowledged ?? "nothing") || isTried,
                $"{key}: found {Show(value)}, acknowledged {Show(write.Acknowledged)}, tried {Show(write.Tried)}");
            if (!isTried && kv is not null)
            {
                Assert.Equal(write.Revision, kv.ModRevision);
            }

            _last[key] = new Write(kv is null ? null : value, kv?.ModRevision ?? 0, null);
        }
    }

    private static string Show(string? value) => value is null ? "-" : value.Split('.')[0];

    private async Task WriteAsync(Caller caller, int client)
    {
        try
        {
            for (int i = 0; ; i++)
            {
                string key = $"{client}/{i % KeysPerClient}";
                int number = Interlocked.Increment(ref _count);
                string value = $"{number}.{new string('x', number * 37 % 1500)}";
                Write before = _last.GetValueOrDefault(key);
                _last[key] = before with { Tried = value };
                PutResponse answer = await caller.PutAsync(key, value);
                _last[key] = new Write(value, answer.Header.Revision, null);
                Note(answer.Header.Revision);
                if (client == 0 && i % 100 == 99)
                {
                    long target = answer.Header.Revision - 200;
                    if (target > _compacted)
                    {
                        await caller.CompactAsync(new CompactionRequest { Revision = target });
                        _compacted = target;
                    }
                }
            }
        }
        catch (RpcException e) when (e.Code is StatusCode.Unavailable or StatusCode.Unknown or StatusCode.DeadlineExceeded)
        {
            // It is dead: whether the last write is there nobody knows.
        }
    }

    private void Note(long revision)
    {
        for (long seen = Volatile.Read(ref _revision); seen < revision;)
        {
            long was = Interlocked.CompareExchange(ref _revision, revision, seen);
            if (was == seen)
            {
                return;
            }

            seen = was;
        }
    }

    /// <summary>What a key holds: the value acknowledged last, its revision, and a later one without an answer.</summary>
    private readonly record struct Write(string? Acknowledged, long Revision, string? Tried);
}
