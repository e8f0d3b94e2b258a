using Perf.Engine.IO;
using Perf.Engine.Snap;
using Perf.Engine.Transactions;
using Perf.Node.Cluster;
using Perf.Node.Config;
using Perf.Node.Consensus;
using Perf.Node.Logging;
using Perf.Node.Peers;
using Perf.Node.Security;
using Perf.Store.Auth;
using Perf.Store.Membership;
using ConfChange = Perf.Store.Membership.ConfChange;

namespace Perf.Node;

/// <summary>The member among others: how it starts, whom it talks to, how it leaves.</summary>
public sealed partial class EtcdNode : IPeerOwner
{
    private const string RemovalNotice = "the member has been permanently removed from the cluster";

    /// <summary>What a founder waits for an answer from somebody who may already run (etcd: 1 s).</summary>
    private static readonly TimeSpan BootstrapTimeout = TimeSpan.FromSeconds(1);

    /// <summary>What one who joins waits for an answer.</summary>
    private static readonly TimeSpan JoinTimeout = TimeSpan.FromSeconds(5);

    /// <summary>A removed member stays this long, so that what it still has to say is sent.</summary>
    private static readonly TimeSpan RemovalDelay = TimeSpan.FromMilliseconds(500);

    private readonly PeerTransport? _peers;
    private readonly LogReader _logReader;
    private PeerListener? _peerListener;
    private SnapshotSender? _snapshotSender;
    private bool _isHastened;

    /// <summary>Since when a member's streams come in (clock ticks); 0: they do not. Our own id: always.</summary>
    internal long ActiveSince(ulong id) => id == MemberId ? 1 : _peers?.Find(id)?.ActiveSince ?? 0;

    /// <summary>The last measured round trips to the other members.</summary>
    public IReadOnlyList<(ulong Id, TimeSpan RoundTrip)> PeerRoundTrips =>
        [.. (_peers?.Peers ?? []).Select(p => (p.Id, p.RoundTrip))];

    /// <summary>The last measured round trip to a member; zero where none was.</summary>
    public TimeSpan RoundTrip(ulong id) => _peers?.Find(id)?.RoundTrip ?? TimeSpan.Zero;

    void IPeerOwner.Receive(InboundMessage message) => Pipeline.Receive(message);

    void IPeerOwner.ReportUnreachable(ulong id) => Pipeline.OnCore(core => core.ReportUnreachable(id));

    void IPeerOwner.RemovedByPeers() => EndRemoved(RemovalNotice);

    private static EtcdNode Open(IDisk disk, ServerConfig config, Log log, TimeProvider clock, bool hasNetwork)
    {
        DirectoryModes.Check(config, log);
        MakeDirectories(disk, config);
        ITokenProvider tokens = TokenProviders.Open(config, log, clock);
        TlsSide clientTls = TlsSide.OpenForClients(config, log, clock);
        TlsSide peerTls = TlsSide.OpenForPeers(config, log, clock);
        SnapDatabase.DeleteLeftovers(disk, config.SnapDir);
        var founding = new Founding(config, disk, log);
        var client = new PeerHttpClient(new PeerHttpOptions
        {
            Tls = peerTls.ForDialing,
            ReadTimeout = AtLeast(config.RaftReadTimeout),
            WriteTimeout = AtLeast(config.RaftWriteTimeout),
        });
        if (founding.HasLog && disk.FileExists(config.DatabasePath))
        {
            // A damaged file is refused before anything is written to the log.
            DataFile.CheckMetas(disk, config.DatabasePath);
        }

        StartState start = founding.HasLog
            ? founding.Reopen(founding.NewestSnapshot())
            : Begin(founding, config, log, hasNetwork ? new Joining(client) : null);
        PeerTransport? peers = null;
        if (hasNetwork)
        {
            var identity = new PeerIdentity(
                start.Wal.NodeId, start.Wal.ClusterId, Dialect.ServerVersion(config.SpeakAs), config.AdvertisePeerUrls);
            peers = new PeerTransport(identity, client, log, clock, alwaysSnapshot: config.SpeakAs != SpeakAs.V36);
        }

        var node = new EtcdNode(config, disk, log, clock, start, peers, tokens) { ClientTls = clientTls, PeerTls = peerTls };
        try
        {
            if (config.InitialCorruptCheck && !start.IsNew)
            {
                node._corruption?.CheckBeforeStart();
            }

            node.StartPeers();
        }
        catch (Exception e) when (e is IOException or StartRefusedException)
        {
            node.State.Dispose();
            start.Wal.Dispose();
            if (e is StartRefusedException)
            {
                throw;
            }

            throw new StartRefusedException($"cannot listen on the peer address: {e.Message}", e);
        }

        node.StartThreads();
        node.DefragmentIfWorthwhile();
        return node;
    }

    /// <summary>Peers give a sign of life every 5/3 s: shorter patience would cut good connections (etcd: the same).</summary>
    private static TimeSpan AtLeast(TimeSpan timeout)
    {
        TimeSpan least = TimeSpan.FromSeconds(5);
        return timeout > least ? timeout : least;
    }

    private static StartState Begin(Founding founding, ServerConfig config, Log log, Joining? joining)
    {
        BootstrapRules.Verify(config, log);
        InitialCluster cluster = OwnCluster(config, out ulong memberId);
        string[] others = [.. cluster.Members.Where(m => m.Name != config.Name).SelectMany(m => m.PeerUrls)];
        if (config.NewCluster)
        {
            RunningCluster? already = others.Length == 0 || joining is null
                ? null
                : joining.AskAsync(others, BootstrapTimeout).GetAwaiter().GetResult();
            if (already?.Members.FirstOrDefault(m => m.Id == memberId) is { ClientUrls.Count: > 0 })
            {
                throw new StartRefusedException($"member {MemberIds.Hex(memberId)} has already been bootstrapped");
            }

            return founding.Found(cluster, memberId);
        }

        RunningCluster? running = joining?.AskAsync(others, JoinTimeout).GetAwaiter().GetResult();
        if (running is null)
        {
            throw new StartRefusedException(
                "cannot fetch cluster info from peer urls: could not retrieve cluster information from the given URLs");
        }

        IReadOnlyList<Member> members = Joining.Match(cluster, running);
        ulong ownId = members.First(m => m.Name == config.Name).Id;
        return founding.Join(ownId, running.ClusterId, members);
    }

    private void StartPeers()
    {
        if (_peers is null)
        {
            return;
        }

        _peers.Owner = this;
        _snapshotSender = new SnapshotSender(Pipeline, _peers, _snapshots, Log);
        if (Config.ListenPeerUrls.Count > 0)
        {
            _peerListener = new PeerListener(Config.ListenPeerUrls, new PeerRequests(this, _peers), PeerTls, Log);
            _peerListener.StartAsync().GetAwaiter().GetResult();
            Log.Info("serving peer traffic", ("address", string.Join(',', Config.ListenPeerUrls.Select(u => u.Authority))));
        }

        foreach (Member member in _start.KnownMembers)
        {
            _peers.Add(member.Id, member.PeerUrls);
        }

        foreach (Member member in State.Machine.Members.Current.Members)
        {
            _peers.Add(member.Id, member.PeerUrls);
        }
    }

    private async Task StopPeersAsync()
    {
        if (_peerListener is not null)
        {
            await _peerListener.DisposeAsync().ConfigureAwait(false);
        }

        if (_peers is not null)
        {
            await _peers.StopAsync().ConfigureAwait(false);
            _peers.Client.Close();
        }
    }

    /// <summary>Apply thread: an applied change of members.</summary>
    private void PeersChanged(ConfChange change)
    {
        switch (change.Kind)
        {
            case ConfChangeKind.RemoveNode:
                _peers?.Remove(change.NodeId);
                break;
            default:
                if (State.Machine.Members.Current.Find(change.NodeId) is { } member)
                {
                    _peers?.Add(member.Id, member.PeerUrls);
                }

                break;
        }
    }

    private void EndRemoved(string notice)
    {
        Log.Warn(notice, ("local-member-id", MemberIds.Hex(MemberId)));
        _ = Task.Delay(RemovalDelay).ContinueWith(
            _ => _ended.TrySetResult(null), CancellationToken.None, TaskContinuationOptions.None, TaskScheduler.Default);
    }

    /// <summary>
    /// At the start nobody leads, and one who has not been told so would wait a whole election timeout. Members run the
    /// clock forward once they hear somebody, up to two ticks before the end. (A lone voter does not wait at all.)
    /// </summary>
    private void HastenElection()
    {
        if (_isHastened)
        {
            return;
        }

        if (Raft.Leader != 0)
        {
            _isHastened = true;
            return;
        }

        if (!Config.InitialElectionTickAdvance)
        {
            _isHastened = true;
        }
        else if (_peers is not null && _peers.Peers.Any(p => p.ActiveSince != 0))
        {
            _isHastened = true;
            int ticks = Config.ElectionTicks - 2;
            Pipeline.OnCore(core =>
            {
                for (int i = 0; i < ticks && core.Leader == 0; i++)
                {
                    core.Tick();
                }
            });
        }
    }

    /// <summary>
    /// A leader whose log has been stuck for an election timeout cannot commit, but its heartbeats would keep the group
    /// from electing one that can.
    /// </summary>
    private void GiveUpStalledLeadership()
    {
        long since = Pipeline.WalLoop.BusySince;
        if (since == 0 || !IsLeader || Environment.TickCount64 - since <= Config.ElectionMs || _peers is null)
        {
            return;
        }

        Log.Warn("the log's disk has been stuck for an election timeout; stepping down");
        Pipeline.OnCore(core => core.StepDown());
    }

    /// <summary>A leader that stops lets somebody else lead first: nobody has to wait for an election timeout.</summary>
    private async Task HandOverAsync()
    {
        if (!IsLeader || _peers is null || _ended.Task.IsCompleted)
        {
            return;
        }

        ulong target = State.Machine.Members.Current.VoterIds
            .Where(id => id != MemberId && ActiveSince(id) != 0)
            .OrderBy(ActiveSince)
            .FirstOrDefault();
        if (target != 0)
        {
            await MoveLeaderAsync(target).ConfigureAwait(false);
        }
    }

    /// <summary>The lowest version of all members as they tell it now; null when one does not answer.</summary>
    internal Task<SemanticVersion?> LowestVersionAsync()
    {
        SemanticVersion own = Dialect.Capability(Config.SpeakAs);
        return _peers is null
            ? Task.FromResult<SemanticVersion?>(own)
            : VersionPoll.LowestAsync(
                _peers.Client, State.Machine.Members.Current.Members, MemberId, own, _peers.Identity);
    }

    private void OnLogRead() => Pipeline.OnCore(core => core.LogReadReady());
}
