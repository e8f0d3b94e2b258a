namespace Perf.Grpc;

/// <summary>
/// A stretch of work on one thread that answers calls: what it writes to a connection leaves when the stretch ends, many answers in
/// one piece. Outside of any batch an answer is sent by the pool soon.
/// </summary>
public static class OutputBatch
{
    [ThreadStatic]
    private static State? t_state;

    /// <summary>Begins a batch on this thread; each needs its <see cref="End"/>, and they nest.</summary>
    public static void Begin() => (t_state ??= new State()).Depth++;

    /// <summary>Ends it; the outermost one sends.</summary>
    public static void End()
    {
        State state = t_state!;
        if (--state.Depth > 0)
        {
            return;
        }

        // Sending may run nothing foreign, so nothing is added meanwhile.
        foreach (Http2Output output in state.Written)
        {
            output.Flush();
        }

        state.Written.Clear();
    }

    /// <summary>Takes the output to the end of the batch; false outside of any.</summary>
    internal static bool TryAdd(Http2Output output)
    {
        if (t_state is not { Depth: > 0 } state)
        {
            return false;
        }

        // Mostly the same again, and never many.
        if (!state.Written.Contains(output))
        {
            state.Written.Add(output);
        }

        return true;
    }

    private sealed class State
    {
        public int Depth { get; set; }

        public List<Http2Output> Written { get; } = [];
    }
}
