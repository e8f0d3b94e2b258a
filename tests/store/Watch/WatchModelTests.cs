using System.Text;
using Etcdserverpb;
using Google.Protobuf;
using Mvccpb;
using Perf.Store.Watch;
using Xunit;

namespace Perf.Store.Tests.Watch;

/// <summary>
/// Random schedules on one thread: writes, publications, compactions, snapshots, creates, cancels, slow clients,
/// progress requests and pump turns in any order, under tiny limits. Every message is held against the list of all
/// events: ordered, unique, atomic, reliable, resumable, bookmarkable, prev_kv, is-create, filters (RELIABILITY 2.4.5).
/// A failure names its seed.
/// </summary>
public class WatchModelTests
{
    private static readonly string[] Keys = ["a", "a/1", "a/2", "b", "b/1", "c", "\0", "\u007f"];

    [Theory]
    [InlineData(0, 120)]
    [InlineData(1000, 120)]
    [InlineData(2000, 120)]
    public void Watches_keep_all_nine_properties(int firstSeed, int seeds)
    {
        for (int seed = firstSeed; seed < firstSeed + seeds; seed++)
        {
            var run = new Run(seed);
            try
            {
                run.Go(steps: 400);
            }
            catch (Exception e)
            {
                throw new InvalidOperationException($"seed {seed}, step {run.Step}: {e.Message}", e);
            }
        }
    }

    [Fact]
    public void A_schedule_replayed_from_its_seed_sends_the_same_bytes()
    {
        Assert.Equal(Trace(77), Trace(77));

        static string Trace(int seed)
        {
            var run = new Run(seed);
            run.Go(steps: 400);
            return run.Trace.ToString();
        }
    }

    [Fact]
    public void The_schedules_reach_every_interesting_state()
    {
        var reached = new SortedDictionary<string, int>();
        for (int seed = 0; seed < 60; seed++)
        {
            var run = new Run(seed);
            run.Go(steps: 400);
            foreach ((string probe, int count) in run.Probes)
            {
                reached[probe] = reached.GetValueOrDefault(probe) + count;
            }
        }
        string[] wanted =
        [
            "canceled-compacted", "canceled-lagging", "created-behind", "created-future", "fragment", "full", "history",
            "prev-kv", "prev-kv-compacted", "progress-all", "progress-each", "refused", "several-revisions", "slow",
            "snapshot", "stream-closed",
        ];
        Assert.Equal(wanted, reached.Keys);
    }

    /// <summary>One watch as its client sees it, and what it ought to see.</summary>
    private sealed class Client
    {
        public required WatchCreateRequest Request { get; init; }

        public long Id { get; set; }

        public bool IsCreated { get; set; }

        public bool IsOver { get; set; }

        /// <summary>First revision that is wanted.</summary>
        public long Start { get; set; }

        /// <summary>Place in the list of all events up to which everything wanted was received.</summary>
        public int Seen { get; set; }

        /// <summary>Told to have seen everything up to here.</summary>
        public long Bookmark { get; set; }

        public bool InFragments { get; set; }

        public bool Wants(long revision, Event change)
        {
            bool isDelete = change.Type == Event.Types.EventType.Delete;
            var dropped = isDelete
                ? WatchCreateRequest.Types.FilterType.Nodelete
                : WatchCreateRequest.Types.FilterType.Noput;
            return revision >= Start && !Request.Filters.Contains(dropped) && Covers(change.Kv.Key);
        }

        private bool Covers(ByteString key)
        {
            ReadOnlySpan<byte> end = Request.RangeEnd.Span;
            if (end.IsEmpty)
            {
                return key.Equals(Request.Key);
            }
            return key.Span.SequenceCompareTo(Request.Key.Span) >= 0
                && (end is [0] || key.Span.SequenceCompareTo(end) < 0);
        }
    }

    /// <summary>A stream: the watches asked for but not yet answered, in order, and those that exist.</summary>
    private sealed class Conversation
    {
        public required WatchStream Stream { get; init; }

        public required RecordingOutput Output { get; init; }

        public Queue<Client> Asked { get; } = new();

        public Dictionary<long, Client> Clients { get; } = [];

        /// <summary>Ids of watches that compaction has ended, until they are canceled.</summary>
        public HashSet<long> Overtaken { get; } = [];

        public int Read { get; set; }
    }

    private sealed class Run
    {
        private readonly int _seed;
        private readonly Random _random;
        private readonly FakeStore _store = new();
        private readonly WatchHub _hub;
        private readonly WatchOptions _options;
        private readonly List<Conversation> _conversations = [];

        public Run(int seed)
        {
            _seed = seed;
            _random = new Random(seed);
            _options = new WatchOptions
            {
                ClusterId = 1,
                MemberId = 2,
                Shards = _random.Next(1, 3),
                RingRevisionsMax = Pick(1, 4, 16, 1000),
                RingBytesMax = Pick(100, 1000, 100_000),
                MessageBytesMax = Pick(1, 150, 10_000),
                FragmentBytesMax = Pick(80, 200, 10_000),
                LiveRevisionsMax = Pick(1, 3, 100),
                ScanRevisionsMax = Pick(1, 5, 200),
                TurnBytesMax = Pick(1, 200, 100_000),
                CommandsPerTurn = Pick(1, 1000),
            };
            _hub = new WatchHub(_store, _options) { RaftTerm = 5 };
            _store.Hub = _hub;
            _conversations.Add(Open());
            _conversations.Add(Open());
        }

        public int Step { get; private set; }

        public Dictionary<string, int> Probes { get; } = [];

        public StringBuilder Trace { get; } = new();

        public void Go(int steps)
        {
            for (Step = 0; Step < steps; Step++)
            {
                Act();
                CheckMessages();
            }

            // The faults end: everybody who is still there must have been told everything.
            _store.Publish();
            foreach (Conversation conversation in _conversations)
            {
                conversation.Output.Capacity = int.MaxValue;
                conversation.Stream.Resume();
            }
            PumpAll();
            CheckMessages();
            foreach (Client client in _conversations.SelectMany(c => c.Clients.Values))
            {
                Assert.Equal(-1, NextWanted(client));
            }
            Assert.Equal(_conversations.Sum(c => c.Clients.Count), _hub.Counters.Watchers);
            Assert.Equal(0, _hub.Counters.SlowWatchers);
            Assert.Equal(0, _hub.Counters.PendingEvents);

            foreach (Conversation conversation in _conversations)
            {
                conversation.Stream.Close();
            }
            PumpAll();
            Assert.Equal(0, _hub.Counters.Watchers);
            Assert.Equal(0, _hub.Counters.Streams);
        }

        private void Act()
        {
            Conversation any = _conversations[_random.Next(_conversations.Count)];
            switch (_random.Next(24))
            {
                case 0 or 1 or 2 or 3 or 4 or 5:
                    Write(_store);
                    if (_random.Next(3) > 0)
                    {
                        _store.Publish();
                    }
                    break;
                case 6:
                    _store.Publish();
                    break;
                case 7 when _store.CurrentRevision > Math.Max(2, _store.CompactRevision) && _random.Next(3) == 0:
                    _store.Compact(_random.NextInt64(Math.Max(2, _store.CompactRevision + 1), _store.CurrentRevision + 1));
                    break;
                case 8 or 9:
                    Create(any);
                    break;
                case 10 when any.Clients.Count + any.Overtaken.Count > 0 && _random.Next(3) == 0:
                    long[] ids = [.. any.Clients.Keys.Concat(any.Overtaken).Order()];
                    any.Stream.Cancel(ids[_random.Next(ids.Length)]);
                    break;
                case 11:
                    any.Output.Capacity = Pick(1, 2, 5, int.MaxValue);
                    break;
                case 12 or 13 or 14:
                    any.Output.Drain();
                    any.Stream.Resume();
                    break;
                case 15 or 16:
                    any.Stream.RequestProgress();
                    break;
                case 17:
                    any.Stream.ReportProgress();
                    break;
                case 18 when _random.Next(5) == 0:
                    Snapshot();
                    break;
                case 19 when _random.Next(10) == 0:
                    Reopen(any);
                    break;
                case 20 when _random.Next(4) == 0:
                    PumpAll();
                    break;
                default:
                    _hub.Pump();
                    break;
            }
        }

        private void Write(FakeStore store)
        {
            int count = _random.Next(5) == 0 ? _random.Next(2, 5) : 1;
            string[] keys = [.. Keys.OrderBy(_ => _random.Next()).Take(count)];
            store.Apply([.. keys.Select(k => (k, _random.Next(3) == 0 ? null : new string('v', _random.Next(40))))]);
        }

        private void Create(Conversation conversation)
        {
            long current = _store.CurrentRevision;
            string key = Keys[_random.Next(Keys.Length)];
            var request = new WatchCreateRequest
            {
                Key = ByteString.CopyFromUtf8(key),
                RangeEnd = _random.Next(4) switch
                {
                    0 => ByteString.CopyFromUtf8("\0"),
                    1 => ByteString.CopyFromUtf8(key + "\u007f"),
                    _ => ByteString.Empty,
                },
                StartRevision = _random.Next(4) switch
                {
                    0 => _random.NextInt64(1, current + 1),
                    1 => current + _random.Next(0, 20),
                    2 => Math.Max(1, current - _random.Next(5)),
                    _ => 0,
                },
                PrevKv = _random.Next(3) == 0,
                Fragment = _random.Next(3) == 0,
                ProgressNotify = _random.Next(2) == 0,
                WatchId = _random.Next(6) == 0 ? _random.Next(1, 10) : 0,
            };
            if (_random.Next(5) == 0)
            {
                request.Filters.Add((WatchCreateRequest.Types.FilterType)_random.Next(2));
            }
            conversation.Asked.Enqueue(new Client { Request = request });
            Assert.True(conversation.Stream.TryHandle(new WatchRequest { CreateRequest = request }.ToByteArray()));
        }

        private void Snapshot()
        {
            Probe("snapshot");
            long? compacted = null;
            _store.Publish();
            if (_random.Next(3) == 0 && _store.CurrentRevision > Math.Max(2, _store.CompactRevision))
            {
                compacted = _random.NextInt64(Math.Max(2, _store.CompactRevision + 1), _store.CurrentRevision + 1);
            }
            int missed = _random.Next(1, 10);
            _store.InstallSnapshot(
                store =>
                {
                    for (int i = 0; i < missed; i++)
                    {
                        Write(store);
                    }
                },
                compacted);
        }

        private void Reopen(Conversation conversation)
        {
            Probe("stream-closed");
            conversation.Stream.Close();
            PumpAll();
            Assert.True(conversation.Stream.Completed.IsCompleted);
            _conversations[_conversations.IndexOf(conversation)] = Open();
        }

        private Conversation Open()
        {
            var output = new RecordingOutput();
            return new Conversation { Output = output, Stream = _hub.Open(output) };
        }

        private void PumpAll()
        {
            for (int i = 0; _hub.Pump(); i++)
            {
                Assert.True(i < 100_000, "the pump does not come to rest");
            }
        }

        private void CheckMessages()
        {
            long scanned = _store.Scanned;
            if (scanned > 0)
            {
                Probe("history");
            }
            if (_hub.Counters.SlowWatchers > 0)
            {
                Probe("slow");
            }
            foreach (Conversation conversation in _conversations)
            {
                if (conversation.Output.IsFull)
                {
                    Probe("full");
                }
                for (; conversation.Read < conversation.Output.Messages.Count; conversation.Read++)
                {
                    WatchResponse message = conversation.Output.Messages[conversation.Read];
                    Trace.Append(message);
                    Check(conversation, message);
                }
            }
        }

        private void Check(Conversation conversation, WatchResponse message)
        {
            Assert.Equal((1UL, 2UL, 5UL), (message.Header.ClusterId, message.Header.MemberId, message.Header.RaftTerm));
            Assert.InRange(message.Header.Revision, 0, _store.CurrentRevision);
            if (message.Created)
            {
                CheckCreated(conversation, message);
            }
            else if (message.Canceled)
            {
                CheckCanceled(conversation, message);
            }
            else if (message.WatchId == -1)
            {
                Probe("progress-all");
                Assert.NotEmpty(conversation.Clients);
                foreach (Client client in conversation.Clients.Values)
                {
                    CheckBookmark(client, message.Header.Revision);
                }
            }
            else if (message.Events.Count == 0)
            {
                Probe("progress-each");
                Client client = conversation.Clients[message.WatchId];
                Assert.True(client.Request.ProgressNotify);
                CheckBookmark(client, message.Header.Revision);
            }
            else
            {
                CheckEvents(conversation.Clients[message.WatchId], message);
            }
        }

        private void CheckCreated(Conversation conversation, WatchResponse message)
        {
            Client client = conversation.Asked.Dequeue();
            Assert.Empty(message.Events);
            if (message.Canceled)
            {
                Probe("refused");
                Assert.Equal(-1, message.WatchId);
                Assert.Equal("mvcc: duplicate watch ID provided on the WatchStream", message.CancelReason);
                Assert.Contains(client.Request.WatchId, conversation.Clients.Keys.Concat(conversation.Overtaken));
                return;
            }
            if (client.Request.WatchId != 0)
            {
                Assert.Equal(client.Request.WatchId, message.WatchId);
            }
            client.Id = message.WatchId;
            client.Start = client.Request.StartRevision != 0 ? client.Request.StartRevision : message.Header.Revision + 1;
            Probe(client.Start > message.Header.Revision ? "created-future" : "created-behind");
            conversation.Clients.Add(client.Id, client);
        }

        private void CheckCanceled(Conversation conversation, WatchResponse message)
        {
            Assert.Empty(message.Events);
            Assert.Equal("", message.CancelReason);
            if (message.CompactRevision == 0)
            {
                Assert.True(conversation.Clients.Remove(message.WatchId) || conversation.Overtaken.Remove(message.WatchId));
                return;
            }

            Assert.True(conversation.Clients.Remove(message.WatchId, out Client? client));
            Assert.True(conversation.Overtaken.Add(message.WatchId));
            Assert.Equal(0, message.Header.Revision);
            Assert.Equal(_store.CompactRevision, message.CompactRevision);
            Assert.True(client.Start < message.CompactRevision, "a watch that has not begun was canceled");
            Probe(client.Bookmark > 0 || client.Seen > 0 ? "canceled-lagging" : "canceled-compacted");
        }

        /// <summary>Bookmarkable: all up to the revision was received; nothing before the start is reported.</summary>
        private void CheckBookmark(Client client, long revision)
        {
            Assert.True(revision >= client.Start - 1, "progress of a watch that has not begun");
            if (client.Request.StartRevision != 0)
            {
                Assert.True(revision >= client.Start, "progress of a watch that has not begun");
            }
            Assert.True(revision >= client.Bookmark, "progress went back");
            int next = NextWanted(client);
            Assert.True(next < 0 || _store.All[next].Revision > revision, "progress overtook events");
            client.Bookmark = revision;
        }

        private void CheckEvents(Client client, WatchResponse message)
        {
            foreach (Event told in message.Events)
            {
                // Ordered, unique, reliable, resumable, filtered: exactly the next one that is wanted.
                int next = NextWanted(client);
                Assert.True(next >= 0, "an event that never was");
                (long revision, Event wanted) = _store.All[next];
                Assert.Equal(revision, told.Kv.ModRevision);
                Assert.InRange(revision, client.Bookmark + 1, _store.CurrentRevision);
                Assert.True(revision <= message.Header.Revision);
                Assert.Equal(wanted.Type, told.Type);
                Assert.Equal(wanted.Kv, told.Kv);
                CheckPrevious(client, revision, wanted, told);
                client.Seen = next + 1;
            }

            // Atomic: a message ends where a revision ends, unless a fragment follows.
            int following = NextWanted(client);
            long last = message.Events[^1].Kv.ModRevision;
            if (message.Fragment)
            {
                Probe("fragment");
                Assert.True(client.Request.Fragment);
                Assert.True(following >= 0);
            }
            else
            {
                Assert.True(following < 0 || _store.All[following].Revision > last, "a transaction was torn");
                if (message.Events[0].Kv.ModRevision != last)
                {
                    Probe("several-revisions");
                }
            }
        }

        private void CheckPrevious(Client client, long revision, Event wanted, Event told)
        {
            if (!client.Request.PrevKv)
            {
                Assert.Null(told.PrevKv);
            }
            else if (told.PrevKv is null)
            {
                bool isCompacted = revision - 1 < _store.CompactRevision;
                Assert.True(wanted.PrevKv is null || isCompacted, "prev_kv is missing");
                if (wanted.PrevKv is not null)
                {
                    Probe("prev-kv-compacted");
                }
            }
            else
            {
                Probe("prev-kv");
                Assert.Equal(wanted.PrevKv, told.PrevKv);
            }
        }

        private int NextWanted(Client client)
        {
            for (int i = client.Seen; i < _store.All.Count; i++)
            {
                (long revision, Event change) = _store.All[i];
                if (client.Wants(revision, change))
                {
                    return i;
                }
            }
            return -1;
        }

        private int Pick(params int[] values) => values[_random.Next(values.Length)];

        private void Probe(string name) => Probes[name] = Probes.GetValueOrDefault(name) + 1;
    }
}
