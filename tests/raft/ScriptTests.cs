using System.Globalization;
using System.Text;
using Perf.Raft.Tests.Harness;

namespace Perf.Raft.Tests;

/// <summary>
/// Conversations with a group as text: a command, "----", what happened. Scripts/*.txt are meant to be read. With
/// PERF_REWRITE_SCRIPTS=folder the answers are written there anew, to be looked at before they are kept.
/// <para>
/// new N [prevote]           members 1..N, founded
/// add I                     member I, which joins
/// campaign I | propose I text | change I add|remove|learner J | transfer I J | read I | tick I N | stepdown I
/// ready I                   takes what I wants done: messages go to the wire, writes to its disk
/// sync I | apply I          the oldest write of I is durable; everything handed to I is applied
/// deliver I                 everything on the wire for I arrives
/// drop I                    everything on the wire for I is lost
/// settle                    ready, sync, apply and deliver until nothing is left to do
/// compact I | crash I | restart I | status
/// </para>
/// </summary>
public sealed class ScriptTests
{
    public static TheoryData<string> Scripts =>
        [.. Directory.GetFiles(Path.Combine(AppContext.BaseDirectory, "Scripts"), "*.txt").Select(p => Path.GetFileName(p)).Order()];

    [Theory]
    [MemberData(nameof(Scripts))]
    public void Conversation_goes_as_written(string name)
    {
        string path = Path.Combine(AppContext.BaseDirectory, "Scripts", name);
        string expected = File.ReadAllText(path);
        string actual = Run(expected);
        if (Environment.GetEnvironmentVariable("PERF_REWRITE_SCRIPTS") is { } folder)
        {
            File.WriteAllText(Path.Combine(folder, name), actual);
        }

        Assert.Equal(expected, actual);
    }

    // Keeps comments, empty lines and commands; puts what happens under each command.
    private static string Run(string script)
    {
        var stage = new Stage();
        var output = new StringBuilder();
        bool isAnswer = false;
        foreach (string line in script.TrimEnd('\n').Split('\n'))
        {
            if (line.Length == 0)
            {
                isAnswer = false;
                output.Append('\n');
            }
            else if (line == "----")
            {
                isAnswer = true;
            }
            else if (!isAnswer)
            {
                output.Append(line).Append('\n');
                if (!line.StartsWith('#'))
                {
                    output.Append("----\n").Append(stage.Do(line));
                }
            }
        }

        return output.ToString();
    }

    private sealed class Stage
    {
        private readonly SortedDictionary<ulong, SimMember> _members = [];
        private readonly List<Message> _wire = [];
        private readonly StringBuilder _said = new();
        private bool _preVote;
        private ulong _read;

        public string Do(string line)
        {
            _said.Clear();
            string[] words = line.Split(' ');
            ulong id = words.Length > 1 ? ulong.Parse(words[1], CultureInfo.InvariantCulture) : 0;
            SimMember? member = _members.GetValueOrDefault(id);
            switch (words[0])
            {
                case "new":
                    _preVote = words.Length > 2;
                    ulong[] founders = [.. Enumerable.Range(1, (int)id).Select(i => (ulong)i)];
                    foreach (ulong founder in founders)
                    {
                        Add(founder, founders);
                    }

                    Settle(isQuiet: true);
                    break;
                case "add":
                    Add(id, []);
                    break;
                case "campaign":
                    member!.Core.Campaign();
                    break;
                case "propose":
                    Say($"{member!.Propose(words[2])}");
                    break;
                case "change":
                    ConfChangeType type = words[2] switch
                    {
                        "add" => ConfChangeType.AddNode,
                        "remove" => ConfChangeType.RemoveNode,
                        _ => ConfChangeType.AddLearnerNode,
                    };
                    Say($"{member!.Propose(new ConfChange(1, type, ulong.Parse(words[3], CultureInfo.InvariantCulture), default))}");
                    break;
                case "transfer":
                    Say($"{member!.Core.TransferLeader(ulong.Parse(words[2], CultureInfo.InvariantCulture))}");
                    break;
                case "read":
                    Say($"{member!.Core.ReadIndex(++_read)} as {_read}");
                    break;
                case "tick":
                    for (int i = int.Parse(words[2], CultureInfo.InvariantCulture); i > 0; i--)
                    {
                        member!.Core.Tick();
                    }

                    break;
                case "stepdown":
                    member!.Core.StepDown();
                    break;
                case "ready":
                    member!.TakeReady();
                    break;
                case "sync":
                    member!.CompleteWrite();
                    break;
                case "apply":
                    while (member!.EntriesToApply > 0)
                    {
                        member.ApplyOne();
                    }

                    break;
                case "deliver":
                    Deliver(id);
                    break;
                case "drop":
                    Say($"{_wire.RemoveAll(m => m.To == id)} lost");
                    break;
                case "settle":
                    Settle(isQuiet: false);
                    break;
                case "compact":
                    member!.Compact(0);
                    Say($"log begins at {member.Core.FirstIndex}");
                    break;
                case "crash":
                    member!.Crash(new Random(1));
                    break;
                case "restart":
                    member!.Restart();
                    break;
                case "status":
                    foreach (SimMember each in _members.Values)
                    {
                        RaftCore core = each.Core;
                        Say($"{each.Id}: {(each.IsUp ? core.Role : "down")} term {core.Term} leader {core.Leader} "
                            + $"log {core.FirstIndex}..{core.LastIndex} commit {core.Commit} {core.ConfState}");
                    }

                    break;
                default:
                    Say("no such command");
                    break;
            }

            return _said.Length == 0 ? "ok\n" : _said.ToString();
        }

        private void Add(ulong id, ulong[] founders)
        {
            var member = new SimMember(id, founders, c => c with { PreVote = _preVote });
            member.Taken = OnTaken;
            member.Applied = (m, entry) => Say(
                $"{m.Id} applies {entry} {(entry.Type == EntryType.Normal ? Encoding.ASCII.GetString(entry.Data.Span) : m.Core.ConfState)}".TrimEnd());
            _members.Add(id, member);
        }

        private void OnTaken(SimMember member, Ready ready)
        {
            if (ready.SoftStateChanged)
            {
                Say($"{member.Id} is {ready.Role} of term {ready.Term}, leader {ready.Leader}");
            }

            if (ready.Batch != 0)
            {
                string entries = string.Join(' ', ready.Entries.ToArray().Select(e => e.ToString()));
                string hard = ready.HardState is HardState h ? $" term={h.Term} vote={h.Vote} commit={h.Commit}" : "";
                string snapshot = ready.Snapshot is null ? "" : $" snapshot={ready.Snapshot.Metadata.Index}";
                Say($"{member.Id} writes batch {ready.Batch}:{snapshot}{hard} [{entries}]");
            }

            foreach (ref readonly Message message in ready.Messages)
            {
                Message copy = message;
                copy.Entries = message.Entries.ToArray();
                if (message.Type == MessageType.Snap)
                {
                    copy.Snapshot = member.CurrentSnapshot(message.Snapshot!);
                    member.Core.ReportSnapshot(message.To, succeeded: true);
                }

                _wire.Add(copy);
                Say($"  {copy}");
            }

            foreach (ReadState read in ready.ReadStates)
            {
                Say($"{member.Id} read {read.Id}: {(read.Confirmed ? $"index {read.Index}" : "dropped")}");
            }
        }

        private bool Deliver(ulong id)
        {
            Message[] arriving = [.. _wire.Where(m => m.To == id)];
            _wire.RemoveAll(m => m.To == id);
            foreach (Message message in arriving)
            {
                if (_members.TryGetValue(id, out SimMember? member) && member.IsUp)
                {
                    StepOutcome outcome = member.Core.Step(message);
                    if (outcome != StepOutcome.Done)
                    {
                        Say($"{id} takes {message.Type} of {message.From}: {outcome}");
                    }
                }
            }

            return arriving.Length > 0;
        }

        private void Settle(bool isQuiet)
        {
            bool isBusy = true;
            while (isBusy)
            {
                isBusy = false;
                foreach (SimMember member in _members.Values.Where(m => m.IsUp))
                {
                    isBusy |= member.TakeReady() || member.WritesInFlight > 0 || member.EntriesToApply > 0;
                    while (member.WritesInFlight > 0)
                    {
                        member.CompleteWrite();
                    }

                    while (member.EntriesToApply > 0)
                    {
                        member.ApplyOne();
                    }
                }

                foreach (ulong id in _members.Keys)
                {
                    isBusy |= Deliver(id);
                }

                isBusy |= _wire.RemoveAll(m => !_members.ContainsKey(m.To)) > 0;
            }

            if (isQuiet)
            {
                _said.Clear();
            }
        }

        private void Say(string line) => _said.Append(line).Append('\n');
    }
}
