using Perf.Node.Logging;

namespace Perf.Node.Security;

/// <summary>
/// Something read from files, read anew when one of them has changed. Changes are looked for when the value is asked
/// for: one open and one fstat per file, so that links are followed to what they name now. Any thread.
/// </summary>
internal sealed class Reloaded<T>
    where T : class
{
    private readonly string _what;
    private readonly string[] _files;
    private readonly Func<T> _load;
    private readonly Log _log;
    private readonly Lock _gate = new();
    private volatile State _state;

    /// <summary>Loads for the first time; whatever <paramref name="load"/> throws goes to the caller.</summary>
    public Reloaded(string what, string[] files, Func<T> load, Log log)
    {
        _what = what;
        _files = files;
        _load = load;
        _log = log;

        // The stamp is taken before the files are read: what changes meanwhile is seen the next time.
        Stamp[] stamps = Stamps();
        _state = new State(stamps, load(), null);
    }

    /// <summary>The newest value that could be read.</summary>
    public T Current => Fresh().Value;

    /// <summary>The newest value; throws with the reason when the files as they are now cannot be read.</summary>
    public T CurrentOrThrow()
    {
        State state = Fresh();
        return state.Trouble is null ? state.Value : throw new InvalidDataException(state.Trouble);
    }

    private State Fresh()
    {
        Stamp[] stamps = Stamps();
        State state = _state;
        return state.Stamps.AsSpan().SequenceEqual(stamps) ? state : Reload();
    }

    private State Reload()
    {
        lock (_gate)
        {
            Stamp[] stamps = Stamps();
            State old = _state;
            if (old.Stamps.AsSpan().SequenceEqual(stamps))
            {
                return old;
            }

            try
            {
                _state = new State(stamps, _load(), null);
                _log.Info($"reloaded {_what}", ("files", _files));
            }
            catch (Exception e) when (TlsFiles.IsTrouble(e))
            {
                // Half written, perhaps, or of two kinds: tried again once a file has changed once more.
                _state = old with { Stamps = stamps, Trouble = e.Message };
                _log.Warn($"failed to reload {_what}", ("files", _files), ("error", e.Message));
            }

            return _state;
        }
    }

    private Stamp[] Stamps() => Array.ConvertAll(_files, Stamp.Of);

    private sealed record State(Stamp[] Stamps, T Value, string? Trouble);

    /// <summary>By what a changed file is known; all zero for one that is not there.</summary>
    private readonly record struct Stamp(DateTime WrittenAt, long Bytes)
    {
        public static Stamp Of(string path)
        {
            try
            {
                using var handle = File.OpenHandle(path);
                return new Stamp(File.GetLastWriteTimeUtc(handle), RandomAccess.GetLength(handle));
            }
            catch (Exception e) when (e is IOException or UnauthorizedAccessException)
            {
                return default;
            }
        }
    }
}
