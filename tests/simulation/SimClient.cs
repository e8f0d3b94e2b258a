using System.Globalization;
using System.Text;
using Perf.Node.Consensus;
using Perf.Store;
using Perf.Store.Commands;

namespace Perf.Simulation;

/// <summary>
/// Asks one thing after the other of some member, every put with a value of its own, and has each answer judged.
/// What is not answered in time may have happened or not.
/// </summary>
internal sealed class SimClient(Simulation world, int number, Dice dice)
{
    private const long Patience = VirtualTime.Second;

    private readonly ProtoBuffer _body = new();
    private readonly Dictionary<string, long> _mods = new(StringComparer.Ordinal);
    private readonly List<(string Key, string Value)> _values = [];
    private long _operation;
    private int _valueCount;
    private string? _key;
    private long _deletedAt;

    public void Start() => world.Time.After(dice.Between(0, VirtualTime.Second), Next);

    public static string Key(int number) => $"k{number.ToString("d2", CultureInfo.InvariantCulture)}";

    private static byte[] Bytes(string text) => Encoding.UTF8.GetBytes(text);

    private void Next()
    {
        if (world.IsOver)
        {
            return;
        }

        if (world.Time.Now < world.LullUntil && world.AwakeClient != number)
        {
            world.Time.At(world.LullUntil + dice.Between(0, world.Plan.ThinkMax), Next);
            return;
        }

        long operation = ++_operation;
        if (world.AnyHost(dice).Member is not { } member)
        {
            Finished(operation);
            return;
        }

        world.Asked++;
        world.Time.After(Patience, () =>
        {
            if (operation == _operation)
            {
                world.Ambiguous++;
                Finished(operation);
            }
        });
        string key = Key(dice.Percent(world.Plan.HotPercent) ? 0 : dice.Below(world.Plan.Keys));
        _key = key;
        world.Enter(key);
        _values.Clear();
        _body.Clear();
        if (_deletedAt != 0 || dice.Percent(world.Plan.CompactPercent))
        {
            Compact(member, operation);
            return;
        }

        if (dice.Percent(world.Plan.LeasePercent))
        {
            UseLease(member, operation);
            return;
        }

        switch (dice.Below(13))
        {
            case < 3:
                Put(member, key, operation);
                break;
            case 3:
                Delete(member, key, operation);
                break;
            case < 6:
                CompareAndSet(member, key, operation);
                break;
            case 6:
                Tree(member, key, operation);
                break;
            case < 9:
                ReadLinearizable(member, key, operation);
                break;
            case 9:
                Glance(member, key, operation);
                break;
            default:
                Read(member, isLinearizable: false, key, operation, floor: 0);
                break;
        }
    }

    /// <summary>The answer has come or is no longer waited for: once for each operation.</summary>
    private void Finished(long operation)
    {
        if (operation == _operation)
        {
            if (_key is not null)
            {
                world.Leave(_key);
                _key = null;
            }

            _operation++;
            world.Time.After(dice.Between(0, world.Plan.ThinkMax), Next);
        }
    }

    private string NewValue(string key)
    {
        string value = $"c{number}v{(++_valueCount).ToString(CultureInfo.InvariantCulture)}";
        _values.Add((key, value));
        return value;
    }

    private void WritePut(string key, string value, long lease = 0, bool hasPrevious = false)
    {
        _body.Bytes(1, Bytes(key));
        _body.Bytes(2, Bytes(value));
        _body.Int64(3, lease);
        _body.Bool(4, hasPrevious);
    }

    private void Put(SimMember member, string key, long operation)
    {
        string value = NewValue(key);
        long lease = dice.Percent(world.Plan.LeasePercent) ? SomeLease() : 0;
        WritePut(key, value, lease, dice.Percent(20));
        Write(member, InternalField.Put, operation, $"put {key}={value} lease {lease}", (floor, request) =>
        {
            (long revision, _) = Answers.Write(request.Response);
            world.Judge.Acked(key, value, revision, floor);
            _mods[key] = revision;
        });
    }

    private void Delete(SimMember member, string key, long operation)
    {
        bool isRange = dice.Percent(15);
        _body.Bytes(1, Bytes(key));
        if (isRange)
        {
            _body.Bytes(2, Bytes(Key((int)dice.Between(1, 3) + int.Parse(key[1..], CultureInfo.InvariantCulture))));
        }

        _body.Bool(3, dice.Percent(20));
        Write(member, InternalField.DeleteRange, operation, $"delete {key}", (floor, request) =>
        {
            (long revision, long deleted) = Answers.Write(request.Response);
            if (isRange)
            {
                world.Judge.CheckedOne();
                return;
            }

            world.Judge.AckedDelete(key, deleted, revision, floor);
            _mods[key] = 0;

            // Whoever cleans up goes on to compact what is gone, tombstone and all.
            _deletedAt = deleted > 0 && dice.Percent(8 * world.Plan.CompactPercent) ? revision : 0;
        });
    }

    private void WriteCompare(string key, long mod)
    {
        int compare = _body.BeginMessage(1);
        _body.UInt64(2, (ulong)CompareTarget.Mod);
        _body.Bytes(3, Bytes(key));
        _body.Int64(6, mod);
        _body.EndMessage(compare);
    }

    private void WriteOp(int branch, int kind, Action write)
    {
        int op = _body.BeginMessage(branch);
        int inner = _body.BeginMessage(kind);
        write();
        _body.EndMessage(inner);
        _body.EndMessage(op);
    }

    /// <summary>If the key is as this client last saw it: two puts in one revision. Else a read.</summary>
    private void CompareAndSet(SimMember member, string key, long operation)
    {
        long mod = _mods.GetValueOrDefault(key);
        string other = $"x{key}";
        string value = NewValue(key);
        string second = NewValue(other);
        WriteCompare(key, mod);
        WriteOp(2, 2, () => WritePut(key, value));
        WriteOp(2, 2, () => WritePut(other, second));
        WriteOp(3, 1, () => _body.Bytes(1, Bytes(key)));
        string text = $"txn {key} if mod={mod} put {value},{second}";
        Write(member, InternalField.Txn, operation, text, (floor, request) =>
        {
            (long revision, long succeeded) = Answers.Write(request.Response);
            world.Judge.Compared(key, mod, succeeded != 0, revision, floor);
            if (succeeded != 0)
            {
                world.Judge.Acked(key, value, revision, floor);
                world.Judge.Acked(other, second, revision, floor);
                _mods[key] = revision;
            }
            else
            {
                foreach ((_, string unused) in (ReadOnlySpan<(string, string)>)[(key, value), (other, second)])
                {
                    world.Judge.Refused(unused);
                }

                _mods.Remove(key);
            }
        });
    }

    /// <summary>
    /// A txn in a txn, with reads of the past, of what it has just written and of a whole range, with leases and deletes.
    /// </summary>
    private void Tree(SimMember member, string key, long operation)
    {
        string other = Key(dice.Below(world.Plan.Keys));
        string inner = $"y{key}";
        long at = dice.Percent(50) ? dice.Between(1, Math.Max(1, member.State.Machine.Kv.PublishedRevision + 1)) : 0;
        bool isOpen = dice.Percent(40);
        if (dice.Percent(50))
        {
            WriteCompare(key, _mods.GetValueOrDefault(key));
        }

        if (key != other && dice.Percent(60))
        {
            WriteOp(2, 2, () => WritePut(key, NewValue(key), dice.Percent(30) ? SomeLease() : 0));
        }

        WriteOp(2, 1, () =>
        {
            _body.Bytes(1, Bytes(key));
            _body.Int64(4, at);
        });
        WriteOp(2, 4, () =>
        {
            WriteCompare(other, dice.Percent(50) ? 0 : _mods.GetValueOrDefault(other));
            WriteOp(2, 2, () => WritePut(inner, NewValue(inner)));
            WriteOp(3, 3, () => _body.Bytes(1, Bytes(other)));
            WriteOp(3, 1, () =>
            {
                _body.Bytes(1, Bytes("k"));
                _body.Bytes(2, Bytes(isOpen ? "\0" : "l"));
            });
        });
        WriteOp(3, 1, () => _body.Bytes(1, Bytes(other)));
        Write(member, InternalField.Txn, operation, $"txn tree {key} {other} at {at}", (_, _) => world.Judge.CheckedOne());
    }

    /// <summary>One key or a range of any kind, with or without an end, as somebody who may or may not.</summary>
    private void Glance(SimMember member, string key, long operation)
    {
        string end = dice.Of("", "\0", "l", Key(int.Parse(key[1..], CultureInfo.InvariantCulture) + 3));
        WriteOp(2, 1, () =>
        {
            _body.Bytes(1, Bytes(key));
            if (end.Length > 0)
            {
                _body.Bytes(2, Bytes(end));
            }
        });
        string text = $"txn read {key}..{(end == "\0" ? "open" : end)}";
        Write(member, InternalField.Txn, operation, text, (_, _) => world.Judge.CheckedOne());
    }

    private void Compact(SimMember member, long operation)
    {
        long revision = _deletedAt != 0 ? _deletedAt
            : Math.Max(1, member.State.Machine.Kv.PublishedRevision - (dice.Percent(30) ? 0 : dice.Between(0, 50)));
        _deletedAt = 0;
        world.Judge.AskedCompaction(revision);
        _body.Int64(1, revision);
        Write(member, InternalField.Compaction, operation, $"compact {revision}", (_, _) => { });
    }

    private long SomeLease() => world.SomeLease(dice);

    private void UseLease(SimMember member, long operation)
    {
        long lease = SomeLease();
        switch (dice.Below(5))
        {
            case 0:
                long id = world.NewLease(dice);
                long ttl = dice.Between(1, 12);
                world.Leases.Asked(id, ttl);
                _body.Int64(1, ttl);
                _body.Int64(2, id);
                Write(member, InternalField.LeaseGrant, operation, $"grant {id} for {ttl}", (_, _) => world.Leases.Acknowledged(id));
                break;
            case 1 when lease != 0:
                world.Leases.AskedEnd(lease);
                _body.Int64(1, lease);
                Write(member, InternalField.LeaseRevoke, operation, $"revoke {lease}", (_, _) =>
                {
                    world.Count(Fault.LeaseRevoked);
                    world.Leases.EndAcknowledged(lease);
                });
                break;
            case > 1 when lease != 0:
                Renew(member, lease, operation);
                break;
            default:
                Finished(operation);
                break;
        }
    }

    private void Renew(SimMember member, long lease, long operation)
    {
        long began = world.Time.Now;
        member.Renew(lease, (error, ttl) =>
        {
            world.Chronicle.Note(12, (ulong)lease, (ulong)error);
            world.Chronicle.Line($"c{number} m{member.Number} renewed {lease}: {error}");
            if (error == StoreError.None)
            {
                world.Leases.Renewed(lease, began, ttl);
                world.Acked++;
            }
            else if (error == StoreError.LeaseNotFound)
            {
                world.Leases.NotFound(lease, began);
            }

            Finished(operation);
        });
    }

    private void Write(SimMember member, int field, long operation, string text, Action<long, PendingRequest> check)
    {
        (string Key, string Value)[] values = [.. _values];
        foreach ((string key, string value) in values)
        {
            world.Judge.Submitted(key, value);
        }

        long floor = world.Judge.LastRevision;
        string user = dice.Below(4) switch { 0 => "u0", 1 => "u1", _ => dice.Percent(3) ? "" : "root" };
        world.Chronicle.Line($"c{number} m{member.Number} {text} as {user}");
        member.Propose(field, _body.WrittenMemory, member.Identity(user), request =>
        {
            world.Chronicle.Note(7, (ulong)number, (ulong)request.Error);
            world.Chronicle.Line($"c{number} m{member.Number} {text}: {request.Error}");
            switch (request.Error)
            {
                case StoreError.None:
                    world.CheckAnswer(request, text, field);
                    check(floor, request);
                    world.Acked++;
                    break;
                case StoreError.Timeout or StoreError.Stopped or StoreError.AnswerLost:
                    world.CheckAnswer(request, text, field);
                    world.Ambiguous += operation == _operation ? 1 : 0;
                    break;
                default:
                    // Not proposed, or refused when it was applied: the model knows which.
                    world.CheckAnswer(request, text, field);
                    foreach ((_, string value) in values)
                    {
                        world.Judge.Refused(value);
                    }

                    break;
            }

            Finished(operation);
        });
    }

    private void ReadLinearizable(SimMember member, string key, long operation)
    {
        long floor = world.Judge.LastRevision;
        member.WhenLinearizable(error =>
        {
            world.Chronicle.Note(8, (ulong)number, (ulong)error);
            if (error == StoreError.None)
            {
                Read(member, isLinearizable: true, key, operation, floor);
            }
            else
            {
                Judge.Require(error == StoreError.Timeout, $"a read: {error}");
                Finished(operation);
            }
        });
    }

    private void Read(SimMember member, bool isLinearizable, string key, long operation, long floor)
    {
        bool isAll = dice.Percent(30);
        string? to = isAll ? "l" : null;
        string from = isAll ? "k" : key;
        long at = dice.Percent(20) ? dice.Between(1, world.Judge.LastRevision) : 0;
        var body = new ProtoBuffer(64);
        body.Bytes(1, Bytes(from));
        if (to is not null)
        {
            body.Bytes(2, Bytes(to));
        }

        body.Int64(4, at);
        StoreError error = member.Range(body.Written, out RangeAnswer answer);
        switch (error)
        {
            case StoreError.None:
                world.Chronicle.Line($"c{number} m{member.Number} read {from} at {at}: {answer.Revision}");
                world.Judge.Read(member.Number, isLinearizable, from, to, at, answer, floor);
                world.Acked++;
                if (!isAll && at == 0)
                {
                    _mods[key] = answer.Keys.Count == 0 ? 0 : answer.Keys[0].Revision;
                }

                break;
            case StoreError.Compacted:
                Judge.Require(at != 0 && at < world.Judge.CompactionAsked, $"revision {at} is compacted, nobody asked");
                break;
            case StoreError.FutureRev:
                Judge.Require(at > member.State.Machine.Kv.PublishedRevision, $"revision {at} is not in the future");
                break;
            case StoreError.Corrupt:
                // The member has found its disk damaged and ends; nothing was served.
                break;
            default:
                throw new SimulationFailure($"read: {error}");
        }

        Finished(operation);
    }
}
