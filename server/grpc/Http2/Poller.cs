using System.ComponentModel;
using System.Runtime.InteropServices;

namespace Perf.Grpc;

/// <summary>
/// Threads that wait for sockets together (epoll, edge-triggered). The one that is told of an event runs what waits for it, on the
/// spot: from the network to the handler nobody is woken but this thread. It may take its time there, since the others wait on; the
/// last one that waits runs nothing itself and leaves it to the pool, so that somebody always does.
/// </summary>
internal sealed class Poller
{
    public const int Readable = In | HangUps;
    public const int Writable = Out | Error | HangUp;
    public const int HangUps = ReaderHangUp | Error | HangUp;

    private const int In = 0x1;
    private const int Out = 0x4;
    private const int Error = 0x8;
    private const int HangUp = 0x10;
    private const int ReaderHangUp = 0x2000;
    private const int EdgeTriggered = 1 << 31;
    private const int ControlAdd = 1;
    private const int ControlDelete = 2;
    private const int CloseOnExec = 0x80000;
    private const int Interrupted = 4;

    private static readonly Lazy<Poller> Instance = new(() => new Poller(Environment.ProcessorCount + 1));

    private readonly int _epoll;
    private readonly Lock _placesLock = new();
    private readonly Stack<int> _free = new();
    private SocketChannel?[] _channels = new SocketChannel?[64];
    private int _used;
    private int _waiting;

    private Poller(int threads)
    {
        _epoll = epoll_create1(CloseOnExec);
        if (_epoll < 0)
        {
            throw new Win32Exception();
        }

        _waiting = threads;
        for (int i = 0; i < threads; i++)
        {
            new Thread(Run) { IsBackground = true, Name = "sockets" }.UnsafeStart();
        }
    }

    /// <summary>The process's.</summary>
    public static Poller Shared => Instance.Value;

    /// <summary>Tells the channel of what happens to the socket from now on, beginning with what it is like now.</summary>
    public int Add(SocketChannel channel, SafeHandle socket)
    {
        int place;
        lock (_placesLock)
        {
            if (!_free.TryPop(out place))
            {
                place = _used++;
                if (place == _channels.Length)
                {
                    var larger = new SocketChannel?[place * 2];
                    _channels.CopyTo(larger, 0);
                    Volatile.Write(ref _channels, larger);
                }
            }

            _channels[place] = channel;
        }

        var wanted = new EpollEvent { Events = In | Out | ReaderHangUp | EdgeTriggered, Place = place };
        if (epoll_ctl(_epoll, ControlAdd, socket, ref wanted) != 0)
        {
            int error = Marshal.GetLastPInvokeError();
            Free(place);
            throw new Win32Exception(error);
        }

        return place;
    }

    /// <summary>No more of it. A channel that is given the same place later may be told of something that it does not know.</summary>
    public void Remove(int place, SafeHandle socket)
    {
        var ignored = default(EpollEvent);
        _ = epoll_ctl(_epoll, ControlDelete, socket, ref ignored);
        Free(place);
    }

    private void Free(int place)
    {
        lock (_placesLock)
        {
            _channels[place] = null;
            _free.Push(place);
        }
    }

    private void Run()
    {
        var happened = default(EpollEvent);
        while (true)
        {
            // One at a time: another would wait for this one's handlers.
            int count = epoll_wait(_epoll, ref happened, 1, -1);
            if (count < 0 && Marshal.GetLastPInvokeError() != Interrupted)
            {
                throw new Win32Exception();
            }

            if (count <= 0)
            {
                continue;
            }

            bool isLast = Interlocked.Decrement(ref _waiting) == 0;
            SocketChannel? channel = Volatile.Read(ref _channels)[happened.Place];
            if (isLast)
            {
                channel?.OnEventsSoon(happened.Events);
            }
            else
            {
                channel?.OnEvents(happened.Events);
            }

            Interlocked.Increment(ref _waiting);
        }
    }

    [DllImport("libc", SetLastError = true)]
    [DefaultDllImportSearchPaths(DllImportSearchPath.SafeDirectories)]
    private static extern int epoll_create1(int flags);

    [DllImport("libc", SetLastError = true)]
    [DefaultDllImportSearchPaths(DllImportSearchPath.SafeDirectories)]
    private static extern int epoll_ctl(int epoll, int operation, SafeHandle socket, ref EpollEvent wanted);

    [DllImport("libc", SetLastError = true)]
    [DefaultDllImportSearchPaths(DllImportSearchPath.SafeDirectories)]
    private static extern int epoll_wait(int epoll, ref EpollEvent happened, int eventsMax, int timeoutMillis);

    /// <summary>struct epoll_event, of which one at a time is used: packed on amd64, aligned elsewhere, where it is longer.</summary>
    [StructLayout(LayoutKind.Sequential)]
    private struct EpollEvent
    {
        public int Events;
        private int _packed;
        private int _aligned;
        private int _unused;

        public int Place
        {
            readonly get => IsPacked ? _packed : _aligned;
            set => (_packed, _aligned, _unused) = IsPacked ? (value, 0, 0) : (0, value, 0);
        }

        private static bool IsPacked => RuntimeInformation.ProcessArchitecture == Architecture.X64;
    }
}
