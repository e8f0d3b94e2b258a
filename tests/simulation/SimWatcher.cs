using System.Buffers;
using System.Text;
using Perf.Store.Commands;
using Perf.Store.Watch;

namespace Perf.Simulation;

/// <summary>
/// A client that watches, and holds every message against history: ordered, unique, whole revisions, nothing left
/// out, resumed where it stopped, progress only behind what was delivered, the previous value right, creations told
/// apart, filters kept. It reads slowly at times, leaves, and goes on with another member.
/// </summary>
internal sealed class SimWatcher
{
    private readonly Simulation _world;
    private readonly int _number;
    private readonly Dice _dice;
    private string _from = "";
    private string _end = "";
    private bool _hasPrevious;
    private bool _noPut;
    private bool _noDelete;
    private Connection? _connection;

    /// <summary>The first revision that was not seen; 0: the first answer says it.</summary>
    private long _next;

    public SimWatcher(Simulation world, int number, Dice dice)
    {
        _world = world;
        _number = number;
        _dice = dice;
    }

    /// <summary>Events that were checked.</summary>
    public long Events { get; private set; }

    /// <summary>Progress messages that were checked.</summary>
    public long Progress { get; private set; }

    /// <summary>Nothing that happened is missing here.</summary>
    public bool IsCaughtUp => _connection is { HasAnswer: true } && !HasMatch(_next, _world.Judge.LastRevision);

    public void Start() => _world.Time.After(_dice.Between(0, 2 * VirtualTime.Second), Turn);

    private void Turn()
    {
        _world.Time.After(200 * VirtualTime.Millisecond, Turn);
        if (_connection is { } connection)
        {
            bool isGone = !connection.Member.IsAlive;
            if (isGone || (_world.IsFaulty && _dice.Percent(2)))
            {
                if (!isGone)
                {
                    connection.Stream.Close();
                }

                _connection = null;
                if (_world.IsFaulty && _dice.Percent(30))
                {
                    // Another watch, not the old one resumed.
                    _from = "";
                }
            }
            else if (_dice.Percent(10))
            {
                connection.Stream.RequestProgress();
            }
            else if (_world.IsFaulty && _dice.Percent(3))
            {
                _world.Count(Fault.WatchClogged);
                connection.FullUntil = _world.Time.Now + _dice.Between(0, 4 * VirtualTime.Second);
            }

            _connection?.Unclog();
            return;
        }

        SimHost host = _world.AnyHost(_dice);
        if (host.Member is not { } member || host.PausedUntil > _world.Time.Now)
        {
            return;
        }

        if (_from.Length == 0)
        {
            Choose();
        }

        var opened = new Connection(this, member);
        _connection = opened;
        opened.Open();
        var body = new ProtoBuffer();
        body.Bytes(1, Encoding.UTF8.GetBytes(_from));
        body.Bytes(2, Encoding.UTF8.GetBytes(_end));
        body.Int64(3, _next);
        body.Bool(4, true);
        if (_noPut || _noDelete)
        {
            body.Bytes(5, _noPut && _noDelete ? [0, 1] : _noPut ? [0] : [1]);
        }

        body.Bool(6, _hasPrevious);
        Judge.Require(WatchCreateView.TryParse(body.Written, out WatchCreateView view), "not a watch request");
        _world.Chronicle.Line($"w{_number} m{member.Number} watches {_from}..{_end} from {_next}");
        opened.Stream.Create(view);
    }

    private void Choose()
    {
        (_from, _end) = _dice.Below(4) switch
        {
            0 => (SimClient.Key(_dice.Below(_world.Plan.Keys)), ""),
            1 => ("k", "l"),
            2 => ("k05", "k15"),
            _ => ("a", "\0"),
        };
        _hasPrevious = _dice.Percent(50);
        _noPut = _dice.Percent(10);
        _noDelete = _dice.Percent(10);
        long last = _world.Judge.LastRevision;
        _next = _dice.Below(4) switch
        {
            0 => _dice.Between(1, last),
            1 => last + _dice.Between(1, 50),
            _ => 0,
        };
    }

    private bool Matches(in KeyState state) =>
        ModelAuth.IsIn(state.Key, _from, _end) && !(state.IsDelete ? _noDelete : _noPut);

    private bool HasMatch(long from, long to)
    {
        for (long revision = Math.Max(2, from); revision <= to; revision++)
        {
            foreach (ref readonly KeyState state in _world.Judge.Transaction(revision).AsSpan())
            {
                if (Matches(state))
                {
                    return true;
                }
            }
        }

        return false;
    }

    private void Receive(Connection connection, ReadOnlySpan<byte> message)
    {
        long header = 0;
        bool isCreated = false;
        bool isCanceled = false;
        long compacted = 0;
        var events = new List<(KeyState State, KeyState? Previous)>();
        var reader = new ProtoReader(message);
        while (reader.Next())
        {
            switch (reader.Field)
            {
                case 1:
                    header = Answers.HeaderRevision(reader.Bytes);
                    break;
                case 3:
                    isCreated = reader.Bool;
                    break;
                case 4:
                    isCanceled = reader.Bool;
                    break;
                case 5:
                    compacted = reader.Int64;
                    break;
                case 11:
                    events.Add(ReadEvent(reader.Bytes));
                    break;
            }
        }

        Judge.Require(!reader.Failed, "a malformed watch response");
        _world.Chronicle.Note(11, (ulong)_number, (ulong)header);
        Judge.Require(header <= _world.Judge.LastRevision, $"watch {_number}: told of {header}, the newest is {_world.Judge.LastRevision}");
        if (isCanceled)
        {
            Judge.Require(
                compacted > _next && compacted <= _world.Judge.CompactionAsked,
                $"watch {_number} from {_next} cancelled, compacted {compacted}, asked {_world.Judge.CompactionAsked}");
            _next = compacted;
            _connection = null;
            connection.Stream.Close();
        }
        else if (isCreated)
        {
            connection.HasAnswer = true;
            _next = _next == 0 ? header + 1 : _next;
        }
        else if (events.Count > 0)
        {
            Check(events, header);
        }
        else
        {
            Progress++;
            Judge.Require(header >= _next - 1, $"watch {_number}: progress {header}, it stands before {_next}");
            Judge.Require(!HasMatch(_next, header), $"watch {_number}: progress {header} overtakes events from {_next} on");
            _next = header + 1;
        }
    }

    private void Check(List<(KeyState State, KeyState? Previous)> events, long header)
    {
        int at = 0;
        while (at < events.Count)
        {
            long revision = events[at].State.Revision;
            Judge.Require(
                revision >= _next && revision <= Math.Min(header, _world.Judge.LastRevision),
                $"watch {_number}: event of {revision}, expected from {_next} to {header}");
            Judge.Require(!HasMatch(_next, revision - 1), $"watch {_number}: events between {_next} and {revision} are missing");
            foreach (KeyState state in _world.Judge.Transaction(revision))
            {
                if (!Matches(state))
                {
                    continue;
                }

                Judge.Require(
                    at < events.Count && events[at].State == state,
                    $"watch {_number} at {revision}: expected {state}, is"
                    + $" {(at < events.Count ? events[at].State.ToString() : "missing")}");
                CheckPrevious(events[at].State, events[at].Previous);
                Events++;
                at++;
            }

            _next = revision + 1;
        }
    }

    private void CheckPrevious(KeyState state, KeyState? told)
    {
        KeyState? before = _world.Judge.At(state.Key, state.Revision - 1);
        bool isWanted = _hasPrevious && before is not null;
        bool mayBeGone = state.Revision <= _world.Judge.CompactionAsked;
        Judge.Require(
            isWanted ? told == before || (told is null && mayBeGone) : told is null,
            $"watch {_number}: {state} came with previous {told}, was {before}");
    }

    private static (KeyState State, KeyState? Previous) ReadEvent(ReadOnlySpan<byte> bytes)
    {
        bool isDelete = false;
        KeyState state = default;
        KeyState? previous = null;
        var reader = new ProtoReader(bytes);
        while (reader.Next())
        {
            switch (reader.Field)
            {
                case 1:
                    isDelete = reader.Int64 == 1;
                    break;
                case 2:
                    state = ReadState(reader.Bytes);
                    break;
                case 3:
                    previous = ReadState(reader.Bytes);
                    break;
            }
        }

        return (state with { IsDelete = isDelete }, previous);
    }

    private static KeyState ReadState(ReadOnlySpan<byte> bytes)
    {
        Judge.Require(KeyValueView.TryParse(bytes, out KeyValueView kv), "an event without a key value");
        return new KeyState(
            kv.ModRevision,
            Encoding.UTF8.GetString(kv.Key),
            false,
            Encoding.UTF8.GetString(kv.Value),
            kv.CreateRevision,
            kv.Version,
            kv.Lease);
    }

    /// <summary>One stream to one life of a member. Messages arrive some time after they were sent, in order.</summary>
    private sealed class Connection(SimWatcher owner, SimMember member) : IWatchOutput
    {
        private readonly ArrayBufferWriter<byte> _buffer = new();
        private readonly Queue<int> _lengths = new();
        private long _last;

        public SimMember Member => member;

        public WatchStream Stream { get; private set; } = null!;

        public bool HasAnswer { get; set; }

        public long FullUntil { get; set; }

        public bool IsFull => owner._world.Time.Now < FullUntil;

        public void Open() => Stream = member.State.Watches.Open(this);

        /// <summary>Says that there is room again.</summary>
        public void Unclog()
        {
            if (FullUntil != 0 && !IsFull)
            {
                FullUntil = 0;
                Stream.Resume();
            }
        }

        public IBufferWriter<byte> StartMessage(int bytes)
        {
            _lengths.Enqueue(bytes);
            return _buffer;
        }

        public bool TryFlush()
        {
            if (IsFull)
            {
                return false;
            }

            byte[] bytes = _buffer.WrittenSpan.ToArray();
            int[] lengths = [.. _lengths];
            _buffer.Clear();
            _lengths.Clear();
            long at = Math.Max(_last + 1, owner._world.Time.Now + owner._dice.Between(10, 2000));
            _last = at;
            owner._world.Time.At(at, () =>
            {
                int from = 0;
                foreach (int length in lengths)
                {
                    if (ReferenceEquals(owner._connection, this))
                    {
                        owner.Receive(this, bytes.AsSpan(from, length));
                    }

                    from += length;
                }
            });
            return true;
        }
    }
}
