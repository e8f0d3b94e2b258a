using Perf.Engine.Transactions;
using Perf.Store.Backend;
using Perf.Store.Mvcc;

namespace Perf.Store.Lease;

/// <summary>
/// The leases. One part is replicated and driven by the apply thread: which leases exist, with which TTL, and which
/// keys hang on them. The other part is local and belongs to the leader: how long each lease still runs. Every
/// member may be read from any thread; one lock guards it all and is never held across work of others.
/// </summary>
public sealed partial class Lessor : ILeaseAttachments
{
    /// <summary>A longer TTL is refused.</summary>
    public const long TtlSecondsMax = 9_000_000_000;

    private readonly Lock _gate = new();
    private readonly LessorOptions _options;
    private readonly TimeProvider _clock;
    private readonly long _clockStart;
    private readonly DueHeap<ExpirySlot> _expiries = new();
    private readonly DueHeap<CheckpointSlot> _checkpoints = new();
    private readonly ILeaseRecords _records;
    private Dictionary<long, LeaseEntry> _leases = [];
    private bool _isPrimary;
    private bool _persistCheckpoints;
    private long _granted;
    private long _revoked;
    private long _renewed;
    private long _expired;

    /// <summary>
    /// Makes a lessor over the records of <paramref name="records"/>, demoted. Which keys hang on which lease comes
    /// afterwards, from the key-value store's own restore.
    /// </summary>
    public Lessor(ILeaseRecords records, TimeProvider clock, LessorOptions options)
    {
        _records = records;
        _clock = clock;
        _clockStart = clock.GetTimestamp();
        _options = options;
        records.ForEach(record => Add(_leases, record));
    }

    /// <summary>
    /// Checkpoints go to disk as well (--experimental-enable-lease-checkpoint-persist, or a cluster of 3.6 and up).
    /// Set on the apply thread: it decides what the lease bucket holds.
    /// </summary>
    public bool PersistCheckpoints
    {
        get => Volatile.Read(ref _persistCheckpoints);
        set => Volatile.Write(ref _persistCheckpoints, value);
    }

    /// <summary>This member counts the leases down.</summary>
    public bool IsPrimary
    {
        get
        {
            lock (_gate)
            {
                return _isPrimary;
            }
        }
    }

    /// <summary>Figures for the metrics.</summary>
    public LessorCounters Counters
    {
        get
        {
            lock (_gate)
            {
                return new LessorCounters(_leases.Count, _granted, _revoked, _renewed, _expired);
            }
        }
    }

    /// <summary>
    /// Starts over with the leases of another data file, demoted: a snapshot is being installed. Comes before the key
    /// space goes over to the file, for that attaches its keys anew. Apply thread.
    /// </summary>
    public void Restore(DataFile file)
    {
        var leases = new Dictionary<long, LeaseEntry>();
        using (ReadTransaction read = file.BeginRead())
        {
            if (read.HasBucket(Buckets.Lease))
            {
                BucketCursor cursor = read.OpenCursor(Buckets.Lease);
                for (bool more = cursor.SeekFirst(); more; more = cursor.Next())
                {
                    Add(leases, cursor.Value);
                }
            }
        }
        StartOver(leases);
    }

    /// <summary>
    /// Grants a lease under the id that was chosen before the proposal. A TTL below the floor is raised to it. Apply
    /// thread.
    /// </summary>
    public StoreError Grant(long id, long ttlSeconds, out long grantedSeconds)
    {
        grantedSeconds = 0;
        if (id == 0)
        {
            return StoreError.LeaseNotFound;
        }
        if (ttlSeconds > TtlSecondsMax)
        {
            return StoreError.LeaseTtlTooLarge;
        }

        lock (_gate)
        {
            var lease = new LeaseEntry(id, Math.Max(ttlSeconds, _options.TtlSecondsMin), remainingSeconds: 0);
            if (!_leases.TryAdd(id, lease))
            {
                return StoreError.LeaseExist;
            }
            _granted++;
            grantedSeconds = lease.TtlSeconds;
            if (_isPrimary)
            {
                StartLocked(lease, TimeSpan.Zero);
            }
            Persist(lease);
            return StoreError.None;
        }
    }

    /// <summary>
    /// Revokes a lease: it is gone at once for renewals, then its keys are deleted in ascending order under one
    /// revision, and its record with them in the same commit. Whoever waits for it is told last. Apply thread.
    /// </summary>
    public StoreError Revoke(long id, ILeasedKeys keys)
    {
        LeaseEntry? lease;
        byte[][] attached;
        lock (_gate)
        {
            if (!_leases.Remove(id, out lease))
            {
                return StoreError.LeaseNotFound;
            }
            _expiries.Remove(lease);
            _checkpoints.Remove(lease);
            _revoked++;
            attached = lease.SortedKeys();
        }

        if (attached.Length > 0)
        {
            keys.DeleteKeys(attached);
        }
        lock (_gate)
        {
            _records.Delete(id);
            lease.Settled?.SetResult();
        }
        return StoreError.None;
    }

    /// <summary>
    /// Notes the remaining TTL that counts from the next leader on; 0 clears it. An unknown lease is no error. Apply
    /// thread.
    /// </summary>
    public void Checkpoint(long id, long remainingSeconds)
    {
        lock (_gate)
        {
            if (!_leases.TryGetValue(id, out LeaseEntry? lease))
            {
                return;
            }
            lease.RemainingSeconds = remainingSeconds;
            if (PersistCheckpoints || lease.IsRemainingStored)
            {
                // Once on disk it is kept true, whatever the flag says now: an old one would end the lease early.
                Persist(lease);
            }
            if (_isPrimary)
            {
                RescheduleCheckpointLocked(lease);
            }
        }
    }

    /// <inheritdoc/>
    public bool Exists(long lease)
    {
        lock (_gate)
        {
            return _leases.ContainsKey(lease);
        }
    }

    /// <inheritdoc/>
    public void Attach(long lease, ReadOnlySpan<byte> key)
    {
        lock (_gate)
        {
            if (_leases.TryGetValue(lease, out LeaseEntry? entry))
            {
                entry.Attach(key);
            }
        }
    }

    /// <inheritdoc/>
    public void Detach(long lease, ReadOnlySpan<byte> key)
    {
        lock (_gate)
        {
            if (_leases.TryGetValue(lease, out LeaseEntry? entry))
            {
                entry.Detach(key);
            }
        }
    }

    private void Add(Dictionary<long, LeaseEntry> leases, ReadOnlySpan<byte> bytes)
    {
        if (!LeaseRecord.TryRead(bytes, out LeaseRecord record))
        {
            throw new InvalidDataException(
                $"bucket lease: a record of {bytes.Length} bytes is not a lease: {Convert.ToHexString(bytes)}");
        }
        long ttl = Math.Max(record.TtlSeconds, _options.TtlSecondsMin);
        leases[record.Id] = new LeaseEntry(record.Id, ttl, record.RemainingSeconds);
    }

    private void StartOver(Dictionary<long, LeaseEntry> leases)
    {
        lock (_gate)
        {
            SettleAllLocked();
            _expiries.Clear();
            _checkpoints.Clear();
            _isPrimary = false;
            _leases = leases;
        }
    }

    private void Persist(LeaseEntry lease)
    {
        lease.IsRemainingStored = lease.RemainingSeconds != 0;
        Span<byte> record = stackalloc byte[LeaseRecord.BytesMax];
        int bytes = new LeaseRecord(lease.Id, lease.TtlSeconds, lease.RemainingSeconds).Write(record);
        _records.Put(lease.Id, record[..bytes]);
    }
}
