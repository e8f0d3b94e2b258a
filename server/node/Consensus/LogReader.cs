using System.Buffers;
using Perf.Engine;
using Perf.Engine.Wal;
using Perf.Raft;

namespace Perf.Node.Consensus;

/// <summary>
/// Entries that have left raft's window, read back from the log's files for slow followers. The core asks; the
/// pool reads; the core is told and asks again.
/// </summary>
/// <param name="wal">The log.</param>
/// <param name="pool">Who reads.</param>
/// <param name="arrived">Called by the pool when what was asked for is there.</param>
internal sealed class LogReader(WalLog wal, IWorkPool pool, Action arrived) : ILogReader
{
    /// <summary>Answers kept: one for each follower that lags, and some.</summary>
    private const int AnswersMax = 8;

    private readonly object _gate = new();
    private readonly List<Answer> _answers = [];

    /// <inheritdoc/>
    public LogRead Read(ulong lo, ulong hi, int bytesMax, EntryBuffer target)
    {
        Answer? answer;
        lock (_gate)
        {
            answer = _answers.Find(a => a.First == lo);
            if (answer is { IsDone: true })
            {
                _answers.Remove(answer);
                return Hand(answer, hi, bytesMax, target);
            }

            if (answer is not null)
            {
                return LogRead.Pending;
            }

            if (lo < wal.FirstReadableIndex)
            {
                return LogRead.Compacted;
            }

            if (_answers.Count >= AnswersMax)
            {
                // One that nobody came back for makes room; all under way: the core asks again when one arrives.
                Answer? idle = _answers.Find(a => a.IsDone);
                if (idle is null)
                {
                    return LogRead.Pending;
                }

                idle.Release(0);
                _answers.Remove(idle);
            }

            answer = new Answer(lo);
            _answers.Add(answer);
        }

        pool.Queue(() => Fetch(answer, hi, bytesMax));
        return LogRead.Pending;
    }

    private static LogRead Hand(Answer answer, ulong hi, int bytesMax, EntryBuffer target)
    {
        int count = 0;
        long bytes = 0;
        foreach (Entry entry in answer.Entries)
        {
            bytes += entry.Encoded.Length;
            if (entry.Index >= hi || (count > 0 && bytes > bytesMax))
            {
                break;
            }

            target.Add(entry);
            count++;
        }

        answer.Release(count);
        return count > 0 ? LogRead.Done : LogRead.Compacted;
    }

    private void Fetch(Answer answer, ulong hi, int bytesMax)
    {
        wal.ReadEntries(answer.First, hi, bytesMax, answer);
        lock (_gate)
        {
            answer.IsDone = true;
        }

        arrived();
    }

    /// <summary>What was read; each entry holds one reference until it is handed over or given up.</summary>
    private sealed class Answer(ulong first) : IWalVisitor
    {
        public ulong First => first;

        public bool IsDone { get; set; }

        public List<Entry> Entries { get; } = [];

        public void Release(int from)
        {
            foreach (Entry entry in Entries.Skip(from))
            {
                entry.Lease?.Release();
            }
        }

        public void OnEntry(ulong index, ulong term, ReadOnlySpan<byte> encodedEntry)
        {
            Memory<byte> copy = EntryMemory.ForThread.Rent(encodedEntry.Length, out IEntryLease? lease);
            encodedEntry.CopyTo(copy.Span);
            if (EntryCodec.TryRead(copy, lease, out Entry entry) != OperationStatus.Done)
            {
                throw new InvariantException($"the log's entry {index} is not a raft entry");
            }

            Entries.Add(entry);
        }

        public void OnTruncate(ulong index)
        {
        }

        public void OnHardState(ulong term, ulong vote, ulong commit)
        {
        }

        public void OnSnapshot(ulong index, ulong term, ReadOnlySpan<byte> confState)
        {
        }
    }
}
