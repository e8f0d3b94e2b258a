using Perf.Node.Consensus;
using Perf.Node.Logging;
using Perf.Raft;
using Perf.Store.Membership;

namespace Perf.Node.Peers;

/// <summary>What the transport asks of the member. Any thread; must not block.</summary>
internal interface IPeerOwner
{
    /// <summary>A message for the core.</summary>
    void Receive(InboundMessage message);

    /// <summary>Something for this peer was dropped.</summary>
    void ReportUnreachable(ulong id);

    /// <summary>A snapshot is to be sent; the member takes one and reports how it went.</summary>
    void SendSnapshot(RemotePeer peer, in Message message);

    /// <summary>A peer says that this member was removed.</summary>
    void RemovedByPeers();
}

/// <summary>
/// The other members as this one reaches them. Sending is for the core thread; changes of membership come from the
/// apply thread and the start; all may overlap.
/// </summary>
internal sealed class PeerTransport(
    PeerIdentity identity, PeerHttpClient client, Log log, TimeProvider clock, bool alwaysSnapshot) : IPeerSender
{
    /// <summary>Strangers that are answered; the oldest gives way.</summary>
    private const int StrangersMax = 16;

    private readonly object _gate = new();

    // Replaced as a whole; the core looks peers up without a lock. A handful: a scan beats hashing.
    private RemotePeer[] _peers = [];

    // Members of our cluster that we have not heard of yet, because we lag: the leader may be one. They get posts.
    private RemotePeer[] _strangers = [];
    private bool _stopped;

    public PeerIdentity Identity => identity;

    public PeerHttpClient Client => client;

    public Log Log => log;

    public TimeProvider Clock => clock;

    /// <summary>Spell out empty snapshots in messages, as etcd up to 3.5 does.</summary>
    public bool AlwaysSnapshot => alwaysSnapshot;

    /// <summary>Set once, before the first peer is added.</summary>
    public IPeerOwner Owner { get; set; } = null!;

    public IReadOnlyList<RemotePeer> Peers => Volatile.Read(ref _peers);

    /// <inheritdoc/>
    public void Send(ReadOnlySpan<Message> messages)
    {
        foreach (ref readonly Message message in messages)
        {
            RemotePeer? peer = Find(message.To) ?? Find(_strangers, message.To);
            if (message.Type == MessageType.Snap)
            {
                if (peer is not null)
                {
                    Owner.SendSnapshot(peer, message);
                }
            }
            else
            {
                peer?.Send(message);
            }
        }
    }

    /// <summary>A peer by id, or null.</summary>
    public RemotePeer? Find(ulong id) => Find(Volatile.Read(ref _peers), id);

    /// <summary>
    /// Somebody of our cluster spoke to us whom we do not know as a member: where it can be reached. Forgotten when
    /// it turns out to be one.
    /// </summary>
    public void Meet(ulong id, IReadOnlyList<string> urls)
    {
        lock (_gate)
        {
            if (_stopped || id == 0 || id == identity.MemberId || urls.Count == 0 || Find(id) is not null
                || Find(_strangers, id) is not null)
            {
                return;
            }

            RemotePeer[] others = _strangers.Length < StrangersMax ? _strangers : _strangers[1..];
            Volatile.Write(ref _strangers, [.. others, new RemotePeer(this, id, urls)]);
        }
    }

    /// <summary>Adds a peer, or gives it its new addresses.</summary>
    public void Add(ulong id, IReadOnlyList<string> urls)
    {
        RemotePeer peer;
        lock (_gate)
        {
            if (_stopped || id == identity.MemberId)
            {
                return;
            }

            RemotePeer? known = Find(id);
            if (known is not null)
            {
                known.Urls.Set(urls);
                return;
            }

            peer = new RemotePeer(this, id, urls);
            Volatile.Write(ref _peers, [.. _peers, peer]);
            Volatile.Write(ref _strangers, [.. _strangers.Where(p => p.Id != id)]);
        }

        peer.Start();
        log.Info("started remote peer", ("remote-peer-id", MemberIds.Hex(id)), ("urls", string.Join(',', urls)));
    }

    /// <summary>A peer is no longer a member.</summary>
    public void Remove(ulong id)
    {
        RemotePeer? peer;
        lock (_gate)
        {
            peer = Find(id);
            Volatile.Write(ref _peers, [.. _peers.Where(p => p.Id != id)]);
        }

        if (peer is not null)
        {
            _ = peer.StopAsync();
            log.Info("removed remote peer", ("removed-remote-peer-id", MemberIds.Hex(id)));
        }
    }

    /// <summary>Exactly these members, but for ourselves: after a snapshot.</summary>
    public void Become(IReadOnlyList<Store.Membership.Member> members)
    {
        foreach (RemotePeer peer in Peers)
        {
            if (!members.Any(m => m.Id == peer.Id))
            {
                Remove(peer.Id);
            }
        }

        foreach (Store.Membership.Member member in members)
        {
            Add(member.Id, member.PeerUrls);
        }
    }

    public async Task StopAsync()
    {
        RemotePeer[] peers;
        lock (_gate)
        {
            _stopped = true;
            peers = [.. _peers, .. _strangers];
        }

        await Task.WhenAll(peers.Select(p => p.StopAsync())).ConfigureAwait(false);
    }

    private static RemotePeer? Find(RemotePeer[] peers, ulong id)
    {
        foreach (RemotePeer peer in peers)
        {
            if (peer.Id == id)
            {
                return peer;
            }
        }

        return null;
    }
}
