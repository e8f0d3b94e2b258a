using System.Net;
using System.Net.Sockets;
using Xunit;

namespace Perf.Client.Tests;

/// <summary>The client against three members of a real etcd: one is killed, the leader moves, a connection goes silent.</summary>
public sealed class MemberFaultTests : IAsyncLifetime
{
    private const int Port = 31262;

    private readonly CancellationTokenSource _limit = new(TimeSpan.FromSeconds(120));
    private EtcdProcess[] _members = [];

    private CancellationToken Limit => _limit.Token;

    public async Task InitializeAsync()
    {
        if (!File.Exists(EtcdProcess.Etcd))
        {
            return;
        }

        string cluster = string.Join(',', Enumerable.Range(0, 3).Select(i => $"m{i}=http://127.0.0.1:{Port + (2 * i) + 1}"));
        _members = await Task.WhenAll(Enumerable.Range(0, 3).Select(i => Task.Run(
            () => new EtcdProcess(Port + (2 * i), "--name", $"m{i}", "--initial-cluster", cluster))));
    }

    public Task DisposeAsync()
    {
        foreach (EtcdProcess member in _members)
        {
            member.Dispose();
        }

        _limit.Dispose();
        return Task.CompletedTask;
    }

    [InteropFact]
    public async Task A_member_killed_costs_no_read_no_acknowledged_write_and_no_event()
    {
        await using EtcdClient client = await ConnectAsync(_members.Select(m => m.Endpoint));
        await using Watching watching = client.Watches.Start("k", new WatchOptions { Prefix = true });
        await watching.Created.WaitAsync(Limit);
        var acknowledged = new HashSet<string>();
        for (int i = 0; i < 60; i++)
        {
            if (i == 20)
            {
                _members[0].Kill();
            }

            try
            {
                await client.Kv.PutAsync($"k{i}", "v", null, Limit);
                acknowledged.Add($"k{i}");
            }
            catch (EtcdException e) when (e.Code == RpcCode.Unavailable)
            {
                // It was on its way to the one killed, or to a leader that is no more: nobody knows, and we are told so.
            }

            // Reads are made again until somebody answers.
            await client.Kv.GetAsync("k0", null, Limit);
        }

        Assert.True(acknowledged.Count > 50, $"only {acknowledged.Count} writes of 60");
        GetResponse all = await client.Kv.GetAsync("k", new GetOptions { Prefix = true }, Limit);
        Assert.Empty(acknowledged.Except(all.Kvs.Select(kv => kv.Key.ToString())));
        await SeenOnceAsync(watching, all.Kvs.Select(kv => kv.ModRevision));
    }

    [InteropFact]
    public async Task A_leader_that_moves_goes_unnoticed()
    {
        await using EtcdClient client = await ConnectAsync(_members.Select(m => m.Endpoint));
        await using Watching watching = client.Watches.Start("k", new WatchOptions { Prefix = true, RequireLeader = true });
        await watching.Created.WaitAsync(Limit);
        var revisions = new List<long>();
        for (int round = 0; round < 3; round++)
        {
            var members = new List<(string Endpoint, StatusResponse Status)>();
            foreach (EtcdProcess member in _members)
            {
                members.Add((member.Endpoint, await client.Maintenance.StatusAsync(member.Endpoint, Limit)));
            }

            (string leader, StatusResponse status) = members.First(m => m.Status.Header.MemberId == m.Status.Leader);
            ulong target = members.First(m => m.Endpoint != leader).Status.Header.MemberId;
            await client.Maintenance.MoveLeaderAsync(target, leader, Limit);
            for (int i = 0; i < 10; i++)
            {
                revisions.Add((await client.Kv.PutAsync($"k{i}", $"{round}", null, Limit)).Header.Revision);
            }
        }

        await SeenOnceAsync(watching, revisions);
    }

    [InteropFact]
    public async Task A_connection_that_goes_silent_is_given_up_and_its_calls_go_elsewhere()
    {
        using var hole = new SilencedProxy(_members[0].Port);
        await using EtcdClient client = await EtcdClient.ConnectAsync(new EtcdClientOptions
        {
            Endpoints = [hole.Endpoint, _members[1].Endpoint],
            KeepAliveTimeout = TimeSpan.FromSeconds(2),
        });
        await using Watching watching = client.Watches.Start("k", new WatchOptions { Prefix = true });
        await watching.Created.WaitAsync(Limit);
        for (int i = 0; i < 4; i++)
        {
            await client.Kv.GetAsync("k", null, Limit);
        }

        Assert.True(hole.Connections > 0);
        hole.Silence();
        await using EtcdClient writer = await ConnectAsync([_members[2].Endpoint]);
        var revisions = new List<long>();
        for (int i = 0; i < 4; i++)
        {
            revisions.Add((await writer.Kv.PutAsync("k", $"{i}", null, Limit)).Header.Revision);

            // Every other one is sent into the hole, and made again elsewhere once nobody answers there.
            await client.Kv.GetAsync("k", null, Limit);
        }

        await SeenOnceAsync(watching, revisions);
    }

    private static Task<EtcdClient> ConnectAsync(IEnumerable<string> endpoints) =>
        EtcdClient.ConnectAsync(new EtcdClientOptions { Endpoints = [.. endpoints] });

    private async Task SeenOnceAsync(Watching watching, IEnumerable<long> revisions)
    {
        var expected = new SortedSet<long>(revisions);
        var seen = new List<long>();
        while (!expected.IsSubsetOf(seen))
        {
            seen.AddRange((await watching.Responses.ReadAsync(Limit)).Events.Select(e => e.Kv.ModRevision));
        }

        Assert.Equal(seen.Order().Distinct(), seen);
    }

    /// <summary>Passes bytes on both ways until it is silenced; then connections stay open and nothing comes through.</summary>
    private sealed class SilencedProxy : IDisposable
    {
        private readonly TcpListener _listener = new(IPAddress.Loopback, 0);
        private readonly CancellationTokenSource _stop = new();
        private readonly int _target;
        private volatile bool _silent;
        private int _connections;

        public SilencedProxy(int target)
        {
            _target = target;
            _listener.Start();
            _ = Task.Run(AcceptAsync);
        }

        public string Endpoint => $"127.0.0.1:{((IPEndPoint)_listener.LocalEndpoint).Port}";

        public int Connections => Volatile.Read(ref _connections);

        public void Silence() => _silent = true;

        public void Dispose()
        {
            _stop.Cancel();
            _listener.Dispose();
        }

        private async Task AcceptAsync()
        {
            try
            {
                while (true)
                {
                    TcpClient near = await _listener.AcceptTcpClientAsync(_stop.Token);
                    Interlocked.Increment(ref _connections);
                    var far = new TcpClient();
                    await far.ConnectAsync(IPAddress.Loopback, _target, _stop.Token);
                    _ = CopyAsync(near.GetStream(), far.GetStream());
                    _ = CopyAsync(far.GetStream(), near.GetStream());
                }
            }
            catch (Exception e) when (e is OperationCanceledException or SocketException or ObjectDisposedException)
            {
                // The end.
            }
        }

        private async Task CopyAsync(NetworkStream source, NetworkStream target)
        {
            byte[] buffer = new byte[16 * 1024];
            try
            {
                for (int count; (count = await source.ReadAsync(buffer, _stop.Token)) > 0;)
                {
                    if (!_silent)
                    {
                        await target.WriteAsync(buffer.AsMemory(0, count), _stop.Token);
                    }
                }
            }
            catch (Exception e) when (e is OperationCanceledException or IOException or ObjectDisposedException)
            {
                // The end.
            }
        }
    }
}
