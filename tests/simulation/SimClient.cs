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
    private const long Patience = 3 * VirtualTime.Second;

    private readonly ProtoBuffer _body = new();
    private readonly Dictionary<string, long> _mods = new(StringComparer.Ordinal);
    private long _operation;
    private int _values;

    public long Operations => _operation;

    public void Start() => world.Time.After(dice.Between(0, VirtualTime.Second), Next);

    private static byte[] Bytes(string text) => Encoding.UTF8.GetBytes(text);

    private void Next()
    {
        if (world.IsOver)
        {
            return;
        }

        long operation = ++_operation;
        SimMember? member = world.Hosts[dice.Below(world.Hosts.Length)].Member;
        if (member is null)
        {
            Finished(operation);
            return;
        }

        world.Time.After(Patience, () => Finished(operation));
        string key = Key(dice.Below(world.Plan.Keys));
        if (dice.Percent(world.Plan.CompactPercent))
        {
            Compact(member, operation);
            return;
        }

        switch (dice.Below(10))
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
            case < 8:
                ReadLinearizable(member, key, operation);
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
            _operation++;
            world.Time.After(dice.Between(0, world.Plan.ThinkMax), Next);
        }
    }

    private static string Key(int number) => $"k{number.ToString("d2", CultureInfo.InvariantCulture)}";

    private string NewValue() => $"c{number}v{(++_values).ToString(CultureInfo.InvariantCulture)}";

    private void Put(SimMember member, string key, long operation)
    {
        string value = NewValue();
        _body.Clear();
        _body.Bytes(1, Bytes(key));
        _body.Bytes(2, Bytes(value));
        Write(member, InternalField.Put, [(key, value)], operation, $"put {key}={value}", (floor, request) =>
        {
            (long revision, _) = Answers.Write(request.Response);
            world.Judge.Acked(key, value, revision, floor);
            _mods[key] = revision;
        });
    }

    private void Delete(SimMember member, string key, long operation)
    {
        _body.Clear();
        _body.Bytes(1, Bytes(key));
        Write(member, InternalField.DeleteRange, [], operation, $"delete {key}", (floor, request) =>
        {
            (long revision, long deleted) = Answers.Write(request.Response);
            world.Judge.AckedDelete(key, deleted, revision, floor);
            _mods[key] = 0;
        });
    }

    /// <summary>If the key is as this client last saw it: two puts in one revision. Else a read.</summary>
    private void CompareAndSet(SimMember member, string key, long operation)
    {
        long mod = _mods.GetValueOrDefault(key);
        string other = $"x{key}";
        string value = NewValue();
        string second = NewValue();
        _body.Clear();
        int compare = _body.BeginMessage(1);
        _body.UInt64(2, (ulong)CompareTarget.Mod);
        _body.Bytes(3, Bytes(key));
        _body.Int64(6, mod);
        _body.EndMessage(compare);
        foreach ((string k, string v) in (ReadOnlySpan<(string, string)>)[(key, value), (other, second)])
        {
            int op = _body.BeginMessage(2);
            int put = _body.BeginMessage(2);
            _body.Bytes(1, Bytes(k));
            _body.Bytes(2, Bytes(v));
            _body.EndMessage(put);
            _body.EndMessage(op);
        }

        int read = _body.BeginMessage(3);
        int range = _body.BeginMessage(1);
        _body.Bytes(1, Bytes(key));
        _body.EndMessage(range);
        _body.EndMessage(read);
        string text = $"txn {key} if mod={mod} put {value},{second}";
        Write(member, InternalField.Txn, [(key, value), (other, second)], operation, text, (floor, request) =>
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
                _mods.Remove(key);
            }
        });
    }

    private void Compact(SimMember member, long operation)
    {
        long revision = Math.Max(1, member.State.Machine.Kv.PublishedRevision - dice.Between(0, 50));
        world.Judge.AskedCompaction(revision);
        _body.Clear();
        _body.Int64(1, revision);
        Write(member, InternalField.Compaction, [], operation, $"compact {revision}", (_, _) => { });
    }

    private void Write(
        SimMember member,
        int field,
        (string Key, string Value)[] values,
        long operation,
        string text,
        Action<long, PendingRequest> check)
    {
        foreach ((string key, string value) in values)
        {
            world.Judge.Submitted(key, value);
        }

        long floor = world.Judge.LastRevision;
        world.Chronicle.Line($"c{number} m{member.Number} {text}");
        member.Propose(field, _body.WrittenMemory, request =>
        {
            world.Chronicle.Note(7, (ulong)number, (ulong)request.Error);
            world.Chronicle.Line($"c{number} m{member.Number} {text}: {request.Error}");
            switch (request.Error)
            {
                case StoreError.None:
                    check(floor, request);
                    break;
                case StoreError.NoLeader or StoreError.TooManyRequests:
                    foreach ((_, string value) in values)
                    {
                        world.Judge.Refused(value);
                    }

                    break;
                case StoreError.Timeout or StoreError.Stopped or StoreError.Compacted or StoreError.FutureRev:
                    break;
                default:
                    throw new SimulationFailure($"{text}: {request.Error}");
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
        _body.Clear();
        _body.Bytes(1, Bytes(from));
        if (to is not null)
        {
            _body.Bytes(2, Bytes(to));
        }

        _body.Int64(4, at);
        StoreError error = member.Range(_body.Written, out RangeAnswer answer);
        switch (error)
        {
            case StoreError.None:
                world.Chronicle.Line($"c{number} m{member.Number} read {from} at {at}: {answer.Revision}");
                world.Judge.Read(member.Number, isLinearizable, from, to, at, answer, floor);
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
            default:
                throw new SimulationFailure($"read: {error}");
        }

        Finished(operation);
    }
}
