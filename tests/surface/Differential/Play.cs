using Etcdserverpb;
using Google.Protobuf;
using Mvccpb;

namespace Perf.Surface.Tests.Differential;

/// <summary>
/// Plays batches on both sides. What depends on timing - watches being created, compaction - happens between batches, when
/// every watcher has all of its events; so what is compared is the same however fast the servers are.
/// </summary>
internal sealed class Play(int seed, Side theirs, Side ours)
{
    /// <summary>Streams with watchers; one more carries the watcher that sees everything.</summary>
    public const int WatchStreams = 3;

    private const int BatchSteps = 120;
    private const int WatchersMax = 30;
    private const int AlarmSteps = 12;

    private readonly RequestMaker _maker = new(seed);
    private readonly List<Watcher> _watchers = [];

    /// <summary>Every event there was, in order.</summary>
    private readonly List<Event> _history = [];
    private readonly SortedDictionary<string, int> _cases = [];
    private readonly Dictionary<string, int> _statuses = [];
    private long _everything;
    private bool _isCompactionDone = true;
    private int _watches;
    private long _events;

    public Comparison Comparison { get; } = new();

    public string Summary =>
        $"{_maker.Count} requests, {_watches} watches, {_history.Count} events of history, {_events} compared, revision "
        + $"{_maker.Revision}; cases {string.Join(", ", _cases.Select(c => $"{c.Key} {c.Value}"))}; statuses "
        + $"{string.Join(", ", _statuses.OrderBy(s => s.Key).Select(s => $"{s.Key} {s.Value}"))}; known differences "
        + string.Join(", ", Comparison.Known.Select(k => $"{k.Key} {k.Value}"));

    public async Task RunAsync(int requests)
    {
        const int DifferencesMax = 200;
        (WatchResponse left, WatchResponse right) = await BothAsync(s => s.Watches[WatchStreams].CreateAsync(new()
        {
            Key = ByteString.CopyFrom(0),
            RangeEnd = ByteString.CopyFrom(0),
            StartRevision = 1,
            PrevKv = true,
            Fragment = true,
        }));
        Comparison.Check("the watch on everything", left, right);
        _everything = left.WatchId;
        for (int batch = 0; _maker.Count < requests && Comparison.Differences.Count < DifferencesMax; batch++)
        {
            await PlayAsync([.. Enumerable.Range(0, BatchSteps).Select(_ => _maker.Next())]);
            await SettleAsync();
            if (batch % 4 == 3)
            {
                await CompactAsync();
            }

            await ChangeWatchesAsync(mayStartInPast: batch % 4 == 1);
            if (batch % 25 == 24)
            {
                await RaiseAlarmAsync();
            }
        }

        await SettleAsync();
        await PlayAsync([_maker.Maintenance("final-hashkv", "HashKV", new HashKVRequest())]);
    }

    private async Task PlayAsync(IReadOnlyList<Step> steps)
    {
        (Answer[] left, Answer[] right) = await BothAsync(s => s.PlayAsync(steps));
        for (int i = 0; i < steps.Count; i++)
        {
            Step step = steps[i];
            Comparison.Check(step, left[i], right[i]);
            _cases[step.Case] = _cases.GetValueOrDefault(step.Case) + 1;
            string status = left[i].IsOk ? "OK" : $"{left[i].Code}/{left[i].Text}";
            _statuses[status] = _statuses.GetValueOrDefault(status) + 1;
            if (left[i].IsOk && step.Kind == StepKind.Write && step.Path.StartsWith("/etcdserverpb.KV/", StringComparison.Ordinal))
            {
                // Field 1 of every one of these answers is the header.
                _maker.Revision = Math.Max(_maker.Revision, PutResponse.Parser.ParseFrom(left[i].Bytes.Span).Header.Revision);
            }

            if (left[i].IsOk && step.Path.EndsWith("/LeaseRevoke", StringComparison.Ordinal))
            {
                _maker.Revision = LeaseRevokeResponse.Parser.ParseFrom(left[i].Bytes.Span).Header.Revision;
            }
        }
    }

    /// <summary>Waits until every watcher has what it has to have, and compares.</summary>
    private async Task SettleAsync()
    {
        long revision = _maker.Revision;
        if (revision > 1)
        {
            await BothAsync(async s =>
            {
                await s.Watches[WatchStreams].ReachedAsync(_everything, revision);
                return true;
            });
        }

        int from = _history.Count;
        (List<Event> left, List<Event> right) = await BothAsync(s => s.Watches[WatchStreams].TakeAsync(_everything, 0));
        Compare("history", left, right);
        _history.AddRange(left);
        foreach (Watcher watcher in _watchers)
        {
            int start = watcher.SeenTo ?? FirstAt(watcher.Start);
            List<Event> expected = [.. _history.Skip(start).Where(watcher.Wants)];
            int lost = expected.Count(watcher.IsLostByOlder);
            watcher.SeenTo = _history.Count;
            (left, right) = await BothAsync(s => s.Watches[watcher.Stream].TakeAsync(
                watcher.Id, s == theirs ? expected.Count - lost : expected.Count));
            if (lost > 0)
            {
                Comparison.Note("CMP-02");
                Compare("what an older one loses of " + watcher, [.. expected.Where(watcher.IsLostByOlder).Select(Bare)],
                    [.. right.Where(watcher.IsLostByOlder).Select(Bare)]);
                right.RemoveAll(watcher.IsLostByOlder);
            }

            Compare(watcher.ToString(), left, right);
        }
    }

    /// <summary>An event as one is sent it who does not ask for the value before.</summary>
    private static Event Bare(Event happened) => new() { Type = happened.Type, Kv = happened.Kv };

    private int FirstAt(long revision)
    {
        int low = 0;
        int high = _history.Count;
        while (low < high)
        {
            int middle = (low + high) / 2;
            (low, high) = _history[middle].Kv.ModRevision < revision ? (middle + 1, high) : (low, middle);
        }

        return low;
    }

    private void Compare(string who, List<Event> left, List<Event> right)
    {
        _events += left.Count;
        for (int i = 0; i < Math.Max(left.Count, right.Count); i++)
        {
            Comparison.Check($"event {i} of {who}", left.ElementAtOrDefault(i), right.ElementAtOrDefault(i));
        }
    }

    private async Task CompactAsync()
    {
        if (_maker.Revision <= _maker.Compacted)
        {
            return;
        }

        bool physical = _maker.One(2);
        Step step = _maker.Compact(physical);
        await PlayAsync([step]);
        _maker.Compacted = ((CompactionRequest)step.Request!).Revision;
        _isCompactionDone = physical;
    }

    private async Task ChangeWatchesAsync(bool mayStartInPast)
    {
        for (int i = 2 + _maker.Below(5); i > 0; i--)
        {
            await CreateAsync(mayStartInPast);
        }

        while (_watchers.Count > WatchersMax || (_watchers.Count > 0 && _maker.One(3)))
        {
            Watcher watcher = _watchers[_maker.Below(_watchers.Count)];
            _watchers.Remove(watcher);
            if (watcher.SeenTo is null)
            {
                // Its history may still be coming, and how much of it comes before the end is chance.
                _watchers.Add(watcher);
                break;
            }

            (WatchResponse left, WatchResponse right) = await BothAsync(s => s.Watches[watcher.Stream].CancelAsync(watcher.Id));
            Comparison.Check($"cancel of {watcher}", left, right);
        }

        int stream = _maker.Below(WatchStreams);
        if (_watchers.Exists(w => w.Stream == stream)
            && _watchers.TrueForAll(w => w.Stream != stream || (w.Start <= _maker.Revision && w.SeenTo is not null)))
        {
            // 3.4 would answer whatever the watchers have seen (WCH-12).
            (WatchResponse left, WatchResponse right) = await BothAsync(s => s.Watches[stream].ProgressAsync());
            Comparison.Check($"progress of stream {stream}", left, right);
        }

        if (_maker.One(5))
        {
            // Nobody has that id, and the other is no request: neither is answered.
            await BothAsync(async s =>
            {
                await s.Watches[stream].SendAsync(new WatchRequest { CancelRequest = new() { WatchId = 12_345 } });
                await s.Watches[stream].SendAsync(new WatchRequest());
                return true;
            });
        }
    }

    private async Task CreateAsync(bool mayStartInPast)
    {
        int stream = _maker.Below(WatchStreams);
        WatchCreateRequest create = _maker.Watch(mayStartInPast, _isCompactionDone);
        int control = theirs.Watches[stream].ControlCount;
        int ourControl = ours.Watches[stream].ControlCount;
        _watches++;
        (WatchResponse left, WatchResponse right) = await BothAsync(s => s.Watches[stream].CreateAsync(create));
        Comparison.Check($"watch {create} on stream {stream}", left, right);
        if (left.Canceled || right.Canceled)
        {
            return;
        }

        if (create.StartRevision > 0 && create.StartRevision < _maker.Compacted)
        {
            WatchResponse theirEnd = await theirs.Watches[stream].ControlAsync(control + 1);
            WatchResponse ourEnd = await ours.Watches[stream].ControlAsync(ourControl + 1);
            Comparison.Check($"end of watch {create}", theirEnd, ourEnd);
            (left, right) = await BothAsync(s => s.Watches[stream].CancelAsync(left.WatchId));
            Comparison.Check($"cancel of ended watch {create}", left, right);
            return;
        }

        _watchers.Add(new Watcher(
            stream,
            left.WatchId,
            create,
            create.StartRevision == 0 ? _maker.Revision + 1 : create.StartRevision,
            _maker.Compacted));
    }

    /// <summary>What is refused while an alarm is on, and that it is not once the alarm is off.</summary>
    private async Task RaiseAlarmAsync()
    {
        foreach (AlarmType alarm in new[] { AlarmType.Nospace, AlarmType.Corrupt })
        {
            await PlayAsync([Alarm(AlarmRequest.Types.AlarmAction.Activate)]);
            await PlayAsync([.. Enumerable.Range(0, AlarmSteps).Select(_ => _maker.NextWithoutSpace())]);
            await PlayAsync([Alarm(AlarmRequest.Types.AlarmAction.Get), Alarm(AlarmRequest.Types.AlarmAction.Deactivate)]);

            Step Alarm(AlarmRequest.Types.AlarmAction action) => _maker.Maintenance(
                $"alarm-{alarm}-{action}", "Alarm", new AlarmRequest { Action = action, Alarm = alarm, MemberID = 99 });
        }

        await SettleAsync();
    }

    private async Task<(T Theirs, T Ours)> BothAsync<T>(Func<Side, Task<T>> action)
    {
        Task<T> left = Task.Run(() => action(theirs));
        Task<T> right = Task.Run(() => action(ours));
        await Task.WhenAll(left, right);
        return (await left, await right);
    }

    /// <summary>A watcher that lives on both sides under one id.</summary>
    private sealed class Watcher(int stream, long id, WatchCreateRequest create, long start, long compacted)
    {
        public int Stream => stream;

        public long Id => id;

        /// <summary>The first revision it is about.</summary>
        public long Start => start;

        /// <summary>How much of the history has been looked at for it; null before the first time.</summary>
        public int? SeenTo { get; set; }

        /// <summary>A deletion in the very revision that was compacted: 3.4.34 and 3.5.16 on keep it, 3.4.23 does not.</summary>
        public bool IsLostByOlder(Event happened) =>
            start == compacted && happened.Kv.ModRevision == compacted && happened.Type == Event.Types.EventType.Delete;

        public bool Wants(Event happened)
        {
            if (happened.Kv.ModRevision < start)
            {
                return false;
            }

            foreach (WatchCreateRequest.Types.FilterType filter in create.Filters)
            {
                if ((int)filter == (int)happened.Type)
                {
                    return false;
                }
            }

            ReadOnlySpan<byte> key = happened.Kv.Key.Span;
            ReadOnlySpan<byte> from = create.Key.IsEmpty ? "\0"u8 : create.Key.Span;
            ReadOnlySpan<byte> end = create.RangeEnd.Span;
            return end.IsEmpty
                ? key.SequenceEqual(from)
                : key.SequenceCompareTo(from) >= 0 && (end.SequenceEqual("\0"u8) || key.SequenceCompareTo(end) < 0);
        }

        public override string ToString() => $"watcher {id} on stream {stream} {create}";
    }
}
