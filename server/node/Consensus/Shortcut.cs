namespace Perf.Node.Consensus;

/// <summary>
/// The way of a write that is alone: the thread that brought it turns the sleeping loops itself, from the proposal to
/// the answer, and no other thread is woken. With one request under way the hand-offs are the cost, not the work.
/// What is done, and in which order, is the same; so is who may do it, since a loop whose thread is awake is not
/// taken from it.
/// </summary>
internal sealed class Shortcut(LoopThread[] threads, ApplyLoop apply, PendingTable pending)
{
    /// <summary>
    /// Turns the loops until nothing is left to do, or until the request is answered and others wait for theirs, which
    /// are left to the threads. False, and nothing done, when one of the threads is awake.
    /// </summary>
    public bool TryTurn(PendingRequest request)
    {
        int held = 0;
        while (held < threads.Length && threads[held].TryHold())
        {
            held++;
        }

        bool all = held == threads.Length;
        if (all)
        {
            apply.Bringer = request;
            bool worked;
            do
            {
                worked = false;
                foreach (LoopThread thread in threads)
                {
                    worked |= thread.TurnHeld();
                }
            }
            while (worked && !(request.IsFinished && pending.Count > 0));

            apply.Bringer = null;
        }

        while (held > 0)
        {
            threads[--held].LetGo();
        }

        return all;
    }
}
