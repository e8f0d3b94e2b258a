using System.Globalization;
using System.Runtime.CompilerServices;

namespace Perf.Client.Concurrency;

/// <summary>
/// An election held in etcd: the candidate with the oldest key under the name leads. What <see cref="Mutex"/> says
/// about fencing holds for <see cref="LeaderRevision"/> too.
/// </summary>
public sealed class Election
{
    private readonly Session _session;
    private readonly string _prefix;

    /// <summary>Takes part in (or looks at) the election with this name.</summary>
    public Election(Session session, string name)
    {
        _session = session;
        _prefix = name + "/";
    }

    /// <summary>The key of this candidate; empty before a campaign.</summary>
    public string Key { get; private set; } = "";

    /// <summary>The revision that created <see cref="Key"/>: grows from leader to leader.</summary>
    public long LeaderRevision { get; private set; }

    /// <summary>Header of the answer that elected this candidate.</summary>
    public ResponseHeader Header { get; private set; } = ResponseHeader.None;

    /// <summary>Stands for election and waits until elected. When cancelled the candidacy is withdrawn.</summary>
    public async Task CampaignAsync(Bytes value, CancellationToken cancellation = default)
    {
        EtcdClient client = _session.Client;
        string key = _prefix + _session.Lease.ToString("x", CultureInfo.InvariantCulture);
        TxnResponse answer = await client.Kv.Txn()
            .If(Compare.CreateRevision(key, CompareResult.Equal, 0))
            .Then(Op.Put(key, value, new PutOptions { Lease = _session.Lease }))
            .Else(Op.Get(key))
            .CommitAsync(cancellation).ConfigureAwait(false);
        Key = key;
        LeaderRevision = answer.Header.Revision;
        try
        {
            if (!answer.Succeeded)
            {
                KeyValue own = ((GetResponse)answer.Responses[0]).Kvs[0];
                LeaderRevision = own.CreateRevision;
                if (own.Value != value)
                {
                    await ProclaimAsync(value, cancellation).ConfigureAwait(false);
                }
            }

            await Waiting.ForOlderToGoAsync(client, _prefix, LeaderRevision - 1, cancellation).ConfigureAwait(false);
        }
        catch
        {
            await WithdrawAsync().ConfigureAwait(false);
            throw;
        }

        Header = answer.Header;
    }

    /// <summary>As leader, announces another value.</summary>
    public async Task ProclaimAsync(Bytes value, CancellationToken cancellation = default)
    {
        TxnResponse answer = await _session.Client.Kv.Txn()
            .If(Compare.CreateRevision(Key, CompareResult.Equal, LeaderRevision))
            .Then(Op.Put(Key, value, new PutOptions { Lease = _session.Lease }))
            .CommitAsync(cancellation).ConfigureAwait(false);
        if (!answer.Succeeded)
        {
            throw new EtcdException(RpcCode.FailedPrecondition, "election: not leader");
        }

        Header = answer.Header;
    }

    /// <summary>Gives leadership up; nothing happens when it was lost before.</summary>
    public async Task ResignAsync(CancellationToken cancellation = default)
    {
        if (Key.Length == 0)
        {
            return;
        }

        TxnResponse answer = await _session.Client.Kv.Txn()
            .If(Compare.CreateRevision(Key, CompareResult.Equal, LeaderRevision))
            .Then(Op.Delete(Key))
            .CommitAsync(cancellation).ConfigureAwait(false);
        Header = answer.Header;
        Key = "";
    }

    /// <summary>The leader's pair, or null when there is none.</summary>
    public async Task<KeyValue?> LeaderAsync(CancellationToken cancellation = default) =>
        (await OldestAsync(cancellation).ConfigureAwait(false)).Kvs.FirstOrDefault();

    /// <summary>
    /// Every leader and every value a leader proclaims, from now on. Values that were replaced before they could be
    /// read may be skipped, the latest never is.
    /// </summary>
    public async IAsyncEnumerable<GetResponse> ObserveAsync(
        [EnumeratorCancellation] CancellationToken cancellation = default)
    {
        EtcdClient client = _session.Client;
        while (true)
        {
            GetResponse oldest = await OldestAsync(cancellation).ConfigureAwait(false);
            ResponseHeader header = oldest.Header;
            KeyValue? leader = oldest.Kvs.FirstOrDefault();
            if (leader is null)
            {
                (header, leader) = await FirstPutAsync(header.Revision, cancellation).ConfigureAwait(false);
            }

            yield return new GetResponse { Header = header, Kvs = [leader], Count = 1 };
            bool gone = false;
            var options = new WatchOptions { StartRevision = header.Revision + 1 };
            await foreach (WatchResponse response in
                client.Watches.WatchAsync(leader.Key, options, cancellation).ConfigureAwait(false))
            {
                foreach (WatchEvent e in response.Events)
                {
                    if (e.Type == WatchEventType.Delete)
                    {
                        gone = true;
                        break;
                    }

                    yield return new GetResponse { Header = response.Header, Kvs = [e.Kv], Count = 1 };
                }

                if (gone)
                {
                    break;
                }
            }
        }
    }

    private async Task<(ResponseHeader Header, KeyValue Leader)> FirstPutAsync(
        long revision, CancellationToken cancellation)
    {
        var options = new WatchOptions { Prefix = true, StartRevision = revision, NoDelete = true };
        await foreach (WatchResponse response in
            _session.Client.Watches.WatchAsync(_prefix, options, cancellation).ConfigureAwait(false))
        {
            if (response.Events.Count > 0)
            {
                KeyValue kv = response.Events[0].Kv;
                return (response.Header with { Revision = kv.ModRevision }, kv);
            }
        }

        throw new OperationCanceledException(cancellation);
    }

    private Task<GetResponse> OldestAsync(CancellationToken cancellation) => _session.Client.Kv.GetAsync(
        _prefix,
        new GetOptions { Prefix = true, SortTarget = SortTarget.Create, SortOrder = SortOrder.Ascend, Limit = 1 },
        cancellation);

    private async Task WithdrawAsync()
    {
        using var timeout = new CancellationTokenSource(TimeSpan.FromSeconds(5));
        try
        {
            await ResignAsync(timeout.Token).ConfigureAwait(false);
        }
        catch (Exception e) when (e is EtcdException or OperationCanceledException)
        {
            // The session's lease takes the candidacy away in the end.
            Key = "";
        }
    }
}
