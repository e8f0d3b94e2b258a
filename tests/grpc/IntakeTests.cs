using System.Diagnostics;
using System.Net;
using System.Net.Sockets;
using Xunit;

namespace Perf.Grpc.Tests;

/// <summary>Connections that are held back from reading, and streams that go from a connection that has ended to another.</summary>
public sealed class IntakeTests
{
    private const string Wait = "/test.Service/Wait";
    private const byte Data = 0;
    private const byte Headers = 1;
    private const byte Ping = 6;
    private const byte EndStream = 1;

    [Fact]
    public async Task Whoever_is_held_is_let_go_once()
    {
        bool isCrowded = false;
        bool hasEased = false;
        using var gate = new IntakeGate(() => isCrowded, () => hasEased);
        var one = new Held();
        var other = new Held();
        Assert.False(gate.TryHold(one));

        // By its owner.
        isCrowded = true;
        Assert.True(gate.TryHold(one));
        Assert.True(gate.TryHold(other));
        Assert.True(gate.Holds);
        gate.Open();
        gate.Open();
        await Eventually.True(() => one.Count == 1 && other.Count == 1);

        // Eased between the look and the hold: nobody else would come.
        hasEased = true;
        Assert.True(gate.TryHold(one));
        Assert.False(gate.Holds);
        await Eventually.True(() => one.Count == 2);

        // By its patience, again and again. The first time may be that of the hold before.
        hasEased = false;
        const int Times = 4;
        long start = Stopwatch.GetTimestamp();
        for (int i = 0; i < Times; i++)
        {
            Assert.True(gate.TryHold(other));
            await Eventually.True(() => other.Count == 2 + i);
        }

        Assert.True(Stopwatch.GetElapsedTime(start) > TimeSpan.FromMilliseconds((Times - 1) * 25));
        Assert.Equal(2, one.Count);
    }

    [Fact]
    public async Task While_it_is_crowded_calls_stay_with_clients_that_have_many_and_none_is_lost()
    {
        bool isCrowded = false;
        var gate = new IntakeGate(() => Volatile.Read(ref isCrowded), () => !Volatile.Read(ref isCrowded));
        await using TestServer server = await TestServer.StartAsync(o => With(o, gate));
        var calls = new Waiting(server.Router);
        using NetworkStream busy = await RawClient.OpenAsync(server.Port);
        await busy.WriteAsync(Calls(1, IntakeGate.CallsMin));
        await Eventually.True(() => calls.Count == IntakeGate.CallsMin);

        // What comes in one read is taken; what follows it waits. The gate's patience lets one read pass at a time.
        Volatile.Write(ref isCrowded, true);
        long start = Stopwatch.GetTimestamp();
        const int Pieces = 6;
        for (int i = 1; i <= Pieces; i++)
        {
            await busy.WriteAsync(Calls(1 + (2 * i * IntakeGate.CallsMin), IntakeGate.CallsMin));
            await Eventually.True(() => calls.Count == (i + 1) * IntakeGate.CallsMin);
        }

        Assert.True(Stopwatch.GetElapsedTime(start) > TimeSpan.FromMilliseconds((Pieces - 2) * 25));

        // A client with few calls is served as ever, and the busy one's ping is answered while its calls wait.
        for (int i = 0; i < 20; i++)
        {
            Assert.Equal("hi", await server.Channel.UnaryAsync(TestServer.Method(TestServer.Echo), "hi"));
        }

        byte[] ping = [1, 2, 3, 4, 5, 6, 7, 8];
        await busy.WriteAsync(RawClient.Frame(Ping, 0, 0, ping));
        byte type;
        byte[] payload;
        do
        {
            (type, _, _, payload) = await RawClient.ReadFrameAsync(busy);
        }
        while (type is not Ping and not 255);
        Assert.Equal(ping, payload);

        Volatile.Write(ref isCrowded, false);
        gate.Open();
        calls.Release();
        Assert.Equal((Pieces + 1) * IntakeGate.CallsMin, await AnswersAsync(busy, (Pieces + 1) * IntakeGate.CallsMin));
    }

    [Fact]
    public async Task A_new_connection_has_the_calls_of_one_that_ended()
    {
        await using TestServer server = await TestServer.StartAsync();
        const int Count = 40;
        var calls = new Waiting(server.Router);
        for (int round = 0; round < 5; round++)
        {
            using NetworkStream client = await RawClient.OpenAsync(server.Port);
            await client.WriteAsync(Calls(1, Count));
            await Eventually.True(() => calls.Count == (round + 1) * Count);
            Assert.Equal(((IPEndPoint)client.Socket.LocalEndPoint!).Port, calls.LastPort);
            calls.Release();
            Assert.Equal(Count, await AnswersAsync(client, Count));
            await EndAsync(client);
        }

        // Some may still have been on their way home when their connection ended.
        Assert.InRange(calls.Objects, Count, Count + 8);
    }

    [Fact]
    public async Task A_call_whose_timer_may_still_fire_stays_with_its_connection()
    {
        await using TestServer server = await TestServer.StartAsync();
        var seen = new List<(ServerCall Call, int Port)>();
        server.Router.Map(Wait, MethodKind.Unary, call =>
        {
            // The token arms the timer.
            _ = call.Cancelled;
            seen.Add((call, ((IPEndPoint)call.Remote!).Port));
            call.WriteMessage("x"u8);
            return default;
        });
        for (int round = 0; round < 3; round++)
        {
            using NetworkStream client = await RawClient.OpenAsync(server.Port);
            await client.WriteAsync((byte[])[.. RawClient.Call(1, Wait, ("grpc-timeout", "5S")), .. RawClient.Frame(Data, EndStream, 1, RawClient.Message("x"))]);
            Assert.Equal(1, await AnswersAsync(client, 1));
            await EndAsync(client);
        }

        Assert.Equal(3, seen.Select(s => s.Call).Distinct().Count());
        Assert.Equal(3, seen.Select(s => s.Port).Distinct().Count());
    }

    private static GrpcServerOptions With(GrpcServerOptions o, IntakeGate gate) =>
        new() { Endpoints = o.Endpoints, Fallback = o.Fallback, Intake = gate };

    /// <summary>Until the server has let go of the connection, and of what was its.</summary>
    private static async Task EndAsync(NetworkStream client)
    {
        client.Socket.Shutdown(SocketShutdown.Send);
        while ((await RawClient.ReadFrameAsync(client)).Type != 255)
        {
        }
    }

    private static byte[] Calls(int first, int count) => [.. Enumerable.Range(0, count).SelectMany(i =>
        RawClient.Call(first + (2 * i), Wait).Concat(RawClient.Frame(Data, EndStream, first + (2 * i), RawClient.Message("x"))))];

    /// <summary>How many streams end well, of those that are waited for.</summary>
    private static async Task<int> AnswersAsync(NetworkStream client, int count)
    {
        int ended = 0;
        while (ended < count)
        {
            (byte type, byte flags, _, _) = await RawClient.ReadFrameAsync(client);
            if (type == 255)
            {
                break;
            }

            if (type is Headers && (flags & EndStream) != 0)
            {
                ended++;
            }
        }

        return ended;
    }

    private sealed class Held : IThreadPoolWorkItem
    {
        private int _count;

        public int Count => Volatile.Read(ref _count);

        public void Execute() => Interlocked.Increment(ref _count);
    }

    /// <summary>Handlers that answer when they are told to.</summary>
    private sealed class Waiting
    {
        private readonly Lock _lock = new();
        private readonly HashSet<ServerCall> _objects = [];
        private TaskCompletionSource _go = new();
        private int _count;
        private int _lastPort;

        public Waiting(GrpcRouter router) => router.Map(Wait, MethodKind.Unary, AnswerAsync);

        public int Count => Volatile.Read(ref _count);

        public int LastPort => Volatile.Read(ref _lastPort);

        public int Objects
        {
            get
            {
                lock (_lock)
                {
                    return _objects.Count;
                }
            }
        }

        public void Release()
        {
            TaskCompletionSource go;
            lock (_lock)
            {
                go = _go;
                _go = new TaskCompletionSource();
            }

            go.SetResult();
        }

        private async ValueTask AnswerAsync(ServerCall call)
        {
            Task go;
            lock (_lock)
            {
                _objects.Add(call);
                go = _go.Task;
            }

            Volatile.Write(ref _lastPort, ((IPEndPoint)call.Remote!).Port);
            Interlocked.Increment(ref _count);
            await go;
            call.WriteMessage("x"u8);
        }
    }
}
