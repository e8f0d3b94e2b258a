namespace Perf.Node.Consensus;

/// <summary>A piece of the pipeline that is driven from outside: by a thread here, by the simulation in tests.</summary>
public interface ILoop
{
    /// <summary>Does what is there to do, without waiting; true when it did something.</summary>
    bool Turn();
}

/// <summary>
/// One dedicated OS thread that turns one or several loops and sleeps on their shared signal when all are idle. The
/// topology (which loops share a thread) is a decision of the composition, not of the loops. An exception that
/// leaves a loop is fatal: it goes to the owner, which ends the process.
/// </summary>
public sealed class LoopThread
{
    private readonly ILoop[] _loops;
    private readonly Signal _signal;
    private readonly Action<Exception> _onFatal;
    private readonly Thread _thread;
    private volatile bool _stopping;
    private volatile bool _failed;

    public LoopThread(string name, Signal signal, Action<Exception> onFatal, params ILoop[] loops)
    {
        _signal = signal;
        _onFatal = onFatal;
        _loops = loops;
        _thread = new Thread(Run) { Name = name, IsBackground = true };
    }

    /// <summary>Starts the thread.</summary>
    public void Start() => _thread.Start();

    /// <summary>Lets the loops run dry, then ends the thread and waits for it.</summary>
    public void Stop()
    {
        _stopping = true;
        _signal.Set();
        if (_thread.IsAlive && Thread.CurrentThread != _thread)
        {
            _thread.Join();
        }
    }

    /// <summary>
    /// Something else of the pipeline has failed: no loop begins another turn, so that nothing is answered any more. Does not
    /// wait; may come from any thread.
    /// </summary>
    internal void Fail()
    {
        _failed = true;
        _signal.Set();
    }

    /// <summary>Keeps the thread asleep, if it is, so that the caller may turn its loops; then <see cref="LetGo"/>.</summary>
    internal bool TryHold() => _signal.TryHold();

    /// <summary>
    /// The holder turns each loop once; true when one did something. An exception is fatal as on the thread itself,
    /// which ends: its loops are never turned again, by nobody (I10: nothing is tried behind a failed sync).
    /// </summary>
    internal bool TurnHeld()
    {
        if (_failed)
        {
            return false;
        }

        _signal.Clear();
        try
        {
            return TurnAll();
        }
        catch (Exception e)
        {
            Fail();
            _onFatal(e);
            return false;
        }
    }

    /// <summary>Ends <see cref="TryHold"/>.</summary>
    internal void LetGo() => _signal.Release();

    private bool TurnAll()
    {
        bool worked = false;
        foreach (ILoop loop in _loops)
        {
            if (_failed)
            {
                return false;
            }

            worked |= loop.Turn();
        }

        return worked;
    }

    private void Run()
    {
        try
        {
            while (true)
            {
                if (_failed)
                {
                    return;
                }

                if (TurnAll())
                {
                    continue;
                }

                if (_stopping)
                {
                    return;
                }

                _signal.Wait();
            }
        }
        catch (Exception e)
        {
            // Nothing above this frame could repair a broken pipeline; restart from the log is the repair.
            _onFatal(e);
        }
    }
}
