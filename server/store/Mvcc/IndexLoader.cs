using System.Runtime.ExceptionServices;
using Perf.Engine;
using Perf.Engine.Transactions;
using Perf.Store.Backend;

namespace Perf.Store.Mvcc;

/// <summary>
/// Builds the index from the records of a data file. The bucket is cut into pieces of some megabytes. Whoever comes
/// first of the runner's parts is the builder and enters the pieces in order; the others read ahead of it, which is
/// where page faults, checksums, decoding and sorting are paid. A piece that nobody has begun when its turn comes is
/// read by the builder itself, so that the work ends whatever the runner gives: one thread after the other, or many.
/// </summary>
internal sealed class IndexLoader
{
    /// <summary>Bytes of the file in a piece: some tens of thousands of records of the usual size.</summary>
    private const int PieceBytes = 16 << 20;

    private const int PiecesMax = 1 << 12;

    private readonly object _gate = new();
    private readonly Dictionary<int, LoadRun> _ready = [];
    private readonly Stack<LoadRun> _spare = new();
    private readonly DataFile _file;
    private readonly KeyIndex _index;
    private readonly List<byte[]> _cuts;
    private readonly int _aheadMax;
    private int _claimed;
    private int _entered;
    private bool _hasBuilder;
    private ExceptionDispatchInfo? _failure;

    private IndexLoader(DataFile file, KeyIndex index, int parts, int pieceBytes)
    {
        _file = file;
        _index = index;
        _aheadMax = parts;
        using ReadTransaction read = file.BeginRead();
        _cuts = read.SplitKeys(Buckets.Key, (int)Math.Clamp(file.SizeInUseBytes / pieceBytes, 1, PiecesMax));
    }

    private int Pieces => _cuts.Count + 1;

    /// <summary>Returns the newest main revision found, 0 when the bucket is empty.</summary>
    public static long Load(
        DataFile file, KeyIndex index, WorkRunner? runner, int parts, int pieceBytes = PieceBytes)
    {
        var loader = new IndexLoader(file, index, parts, pieceBytes);
        long newest = 0;
        if (runner is null || parts <= 1 || loader.Pieces == 1)
        {
            newest = loader.Build();
        }
        else
        {
            runner(Math.Min(parts, loader.Pieces), _ => loader.Work(ref newest));
            loader._failure?.Throw();
        }

        index.Tree.BeginChange();
        index.Tree.MarkAlive(id => !index.Keys.Peek(id).IsTombstone);
        index.Tree.EndChange();
        return newest;
    }

    private void Work(ref long newest)
    {
        bool builds;
        lock (_gate)
        {
            builds = !_hasBuilder;
            _hasBuilder = true;
        }

        try
        {
            if (builds)
            {
                newest = Build();
            }
            else
            {
                ReadAhead();
            }
        }
        catch (Exception e)
        {
            // Damage, most likely. The others must not wait for what will not come; the caller gets it as it was.
            lock (_gate)
            {
                _failure ??= ExceptionDispatchInfo.Capture(e);
                Monitor.PulseAll(_gate);
            }
        }
    }

    private long Build()
    {
        long newest = 0;
        for (int piece = 0; piece < Pieces && _failure is null; piece++)
        {
            if (Take(piece) is not { } run)
            {
                break;
            }

            newest = Math.Max(newest, run.Newest);
            run.AddTo(_index);
            lock (_gate)
            {
                _spare.Push(run);
                _entered = piece + 1;
                Monitor.PulseAll(_gate);
            }
        }

        return newest;
    }

    /// <summary>The piece whose turn it is: read ahead, being read, or read here; null after a failure.</summary>
    private LoadRun? Take(int piece)
    {
        LoadRun? run;
        lock (_gate)
        {
            if (_claimed > piece)
            {
                // Somebody reads it, on a thread of its own: it will come.
                while (!_ready.Remove(piece, out run) && _failure is null)
                {
                    Monitor.Wait(_gate);
                }

                return run;
            }

            _claimed = piece + 1;
            run = RentLocked();
        }

        Read(piece, run);
        return run;
    }

    private void ReadAhead()
    {
        while (true)
        {
            int piece;
            LoadRun run;
            lock (_gate)
            {
                // The builder runs: its turn makes room.
                while (_claimed < Pieces && _claimed > _entered + _aheadMax && _failure is null)
                {
                    Monitor.Wait(_gate);
                }

                if (_claimed >= Pieces || _failure is not null)
                {
                    return;
                }

                piece = _claimed++;
                run = RentLocked();
            }

            Read(piece, run);
            lock (_gate)
            {
                _ready.Add(piece, run);
                Monitor.PulseAll(_gate);
            }
        }
    }

    private LoadRun RentLocked() => _spare.TryPop(out LoadRun? run) ? run : new LoadRun();

    private void Read(int piece, LoadRun run)
    {
        byte[]? to = piece < _cuts.Count ? _cuts[piece] : null;
        using ReadTransaction read = _file.BeginRead();
        BucketCursor cursor = read.OpenCursor(Buckets.Key);
        bool more = piece == 0 ? cursor.SeekFirst() : cursor.Seek(_cuts[piece - 1]);
        if (more && !run.TryTake(ref cursor, to))
        {
            throw new CorruptionException(_file.FilePath, 0, "bucket key: a record is no revision");
        }

        run.Sort();
    }
}
