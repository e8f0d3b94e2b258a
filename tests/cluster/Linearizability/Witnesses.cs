using System.Text;
using Etcdserverpb;
using Google.Protobuf;
using Perf.Cluster.Tests.Harness;
using Perf.Grpc;
using Perf.Simulation;

namespace Perf.Cluster.Tests.Linearizability;

/// <summary>
/// Clients that put, delete, compare and read a few keys at once, and remember what they asked, what had been known to
/// anybody then, and what they were told. Every value is put once.
/// </summary>
internal sealed class Witnesses(MemberGroup group)
{
    public const string Prefix = "k";

    private const int Keys = 3;
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(5);
    private static readonly TimeSpan PauseAfterFailure = TimeSpan.FromMilliseconds(10);

    private readonly CancellationTokenSource _over = new();
    private readonly List<Task> _clients = [];
    private readonly Lock _gate = new();
    private readonly List<(string Key, string Value)> _puts = [];
    private readonly List<Action<Judge>> _told = [];
    private readonly SortedDictionary<string, int> _kinds = new(StringComparer.Ordinal);
    private long _newest = 1;
    private int _asked;

    /// <summary>Operations that were answered.</summary>
    public int Answers
    {
        get
        {
            lock (_gate)
            {
                return _told.Count;
            }
        }
    }

    public void Start(int clients)
    {
        for (int i = 0; i < clients; i++)
        {
            int seed = i;
            _clients.Add(Task.Run(() => RunAsync(new Random(seed))));
        }
    }

    /// <summary>A client that fails for a reason of its own has ended, and nobody would wait for it.</summary>
    public void ThrowIfFailed()
    {
        foreach (Task client in _clients.Where(c => c.IsFaulted))
        {
            client.GetAwaiter().GetResult();
        }
    }

    public async Task StopAsync()
    {
        await _over.CancelAsync();
        await Task.WhenAll(_clients);
    }

    /// <summary>Tells the judge who put what: before history is told.</summary>
    public void Submit(Judge judge)
    {
        foreach ((string key, string value) in _puts)
        {
            judge.Submitted(key, value);
        }
    }

    /// <summary>Has every answer judged: when history is told.</summary>
    public void Check(Judge judge)
    {
        foreach (Action<Judge> told in _told)
        {
            told(judge);
        }
    }

    public string Describe() =>
        $"{string.Join(", ", _kinds.Select(k => $"{k.Value} {k.Key}"))}; {_asked - _told.Count} of {_asked} without an answer";

    private async Task RunAsync(Random random)
    {
        Caller? caller = null;
        try
        {
            while (!_over.IsCancellationRequested)
            {
                if (caller is null || random.Next(20) == 0)
                {
                    await (caller?.DisposeAsync() ?? ValueTask.CompletedTask);
                    EtcdProcess[] running = [.. group.Running];
                    caller = new Caller(running[random.Next(running.Length)].Url, Patience);
                }

                Interlocked.Increment(ref _asked);
                try
                {
                    await StepAsync(caller, random);
                }
                catch (RpcException)
                {
                    // In doubt: it has happened, or not, or will.
                    await caller.DisposeAsync();
                    caller = null;
                    await Task.Delay(PauseAfterFailure);
                }
            }
        }
        finally
        {
            await (caller?.DisposeAsync() ?? ValueTask.CompletedTask);
        }
    }

    private async Task StepAsync(Caller caller, Random random)
    {
        string key = $"{Prefix}{random.Next(Keys)}";
        long floor = Volatile.Read(ref _newest);
        switch (random.Next(20))
        {
            case < 6:
                string put = Value(key);
                long at = (await caller.PutAsync(key, put)).Header.Revision;
                Told("puts", at, judge => judge.Acked(key, put, at, floor));
                break;
            case < 8:
                DeleteRangeResponse deleted = await caller.DeleteAsync(new DeleteRangeRequest { Key = Bytes(key) });
                Told(
                    "deletes",
                    deleted.Header.Revision,
                    judge => judge.AckedDelete(key, deleted.Deleted, deleted.Header.Revision, floor));
                break;
            case < 13:
                await CompareAsync(caller, key, random);
                break;
            case < 17:
                await ReadAsync(caller, "reads", floor, isSerializable: false, at: 0);
                break;
            case < 19:
                await ReadAsync(caller, "serializable reads", floor, isSerializable: true, at: 0);
                break;
            default:
                await ReadAsync(caller, "reads of the past", floor, isSerializable: false, 1 + random.NextInt64(floor));
                break;
        }
    }

    private async Task CompareAsync(Caller caller, string key, Random random)
    {
        // What is there, as it was a moment ago somewhere: true often, and often overtaken by others.
        RangeResponse before = await caller.RangeAsync(new RangeRequest { Key = Bytes(key), Serializable = random.Next(2) == 0 });
        long expected = before.Kvs.Count == 0 ? 0 : before.Kvs[0].ModRevision;
        string value = Value(key);
        var txn = new TxnRequest
        {
            Compare =
            {
                new Compare { Key = Bytes(key), Target = Compare.Types.CompareTarget.Mod, ModRevision = expected },
            },
            Success = { new RequestOp { RequestPut = new PutRequest { Key = Bytes(key), Value = Bytes(value) } } },
            Failure = { new RequestOp { RequestRange = new RangeRequest { Key = Bytes(key) } } },
        };
        long floor = Volatile.Read(ref _newest);
        TxnResponse answer = await caller.TxnAsync(txn);
        long revision = answer.Header.Revision;
        Told("compares", revision, judge =>
        {
            judge.Compared(key, expected, answer.Succeeded, revision, floor);
            if (answer.Succeeded)
            {
                judge.Acked(key, value, revision, floor);
            }
            else
            {
                judge.Read(0, true, key, null, 0, new RangeAnswer(revision, States(answer.Responses[0].ResponseRange)), floor);
            }
        });
    }

    private async Task ReadAsync(Caller caller, string kind, long floor, bool isSerializable, long at)
    {
        RangeResponse answer = await caller.RangeAsync(new RangeRequest
        {
            Key = Bytes(Prefix),
            RangeEnd = Bytes("l"),
            Serializable = isSerializable,
            Revision = at,
        });
        Told(
            kind,
            answer.Header.Revision,
            judge => judge.Read(0, !isSerializable, Prefix, "l", at, new RangeAnswer(answer.Header.Revision, States(answer)), floor));
    }

    private string Value(string key)
    {
        lock (_gate)
        {
            string value = $"v{_puts.Count}";
            _puts.Add((key, value));
            return value;
        }
    }

    private void Told(string kind, long revision, Action<Judge> check)
    {
        lock (_gate)
        {
            _newest = Math.Max(_newest, revision);
            _kinds[kind] = _kinds.GetValueOrDefault(kind) + 1;
            _told.Add(check);
        }
    }

    private static List<KeyState> States(RangeResponse answer) =>
    [
        .. answer.Kvs.Select(kv => new KeyState(
            kv.ModRevision, kv.Key.ToStringUtf8(), false, kv.Value.ToStringUtf8(), kv.CreateRevision, kv.Version, kv.Lease)),
    ];

    private static ByteString Bytes(string text) => ByteString.CopyFrom(Encoding.UTF8.GetBytes(text));
}
