using System.Buffers.Binary;
using System.Diagnostics;
using Etcdserverpb;
using Google.Protobuf;

namespace Perf.Bench.Load;

/// <summary>
/// One writer, many watchers of the same key on eight streams. The writer's values carry the time; it keeps a few
/// writes ahead of the slowest watcher, so that what is measured is delivery and not a backlog.
/// </summary>
internal static class WatchFanOut
{
    private const int Streams = 8;
    private const int Connections = 2;
    private const int Ahead = 4;

    /// <summary>Delivers so many events in all; seconds, the delivery's latency and how many there were.</summary>
    public static (double Seconds, Histogram Latency, long Events) Run(int port, int watchers, int events)
    {
        int writes = Math.Max(20, events / watchers);
        long delivered = 0;
        int created = 0;
        var start = new ManualResetEventSlim();
        double seconds = 0;
        byte[] watch = Http2Connection.HeadersOf("/etcdserverpb.Watch/Watch");
        byte[] create = Bodies.Frame(new WatchRequest
        {
            CreateRequest = new WatchCreateRequest { Key = ByteString.CopyFromUtf8("watched") },
        });
        long wanted = (long)writes * watchers;
        var writer = new Thread(() =>
        {
            start.Wait();
            using var connection = new Http2Connection("127.0.0.1", port);
            byte[] value = new byte[256];
            var clock = Stopwatch.StartNew();
            int sent = 0;
            connection.Run(
                Ahead,
                () =>
                {
                    if (sent == writes)
                    {
                        return null;
                    }

                    while (Volatile.Read(ref delivered) < (long)(sent - Ahead) * watchers)
                    {
                        Thread.Sleep(0);
                    }

                    sent++;
                    BinaryPrimitives.WriteInt64LittleEndian(value, Stopwatch.GetTimestamp());
                    return Bodies.Put("watched", value);
                },
                _ => { });
            while (Volatile.Read(ref delivered) < wanted)
            {
                Thread.Sleep(0);
            }

            seconds = clock.Elapsed.TotalSeconds;
        });
        writer.Start();
        int connections = Math.Min(Connections, watchers);
        (_, Histogram latency) = Threads.Run(
            connections,
            (connection, histogram) =>
            {
                int streams = Math.Min(Streams / Connections, watchers / connections);
                int mine = watchers / connections;
                long here = 0;
                connection.OnMessage = (_, message) => here += Count(message, histogram, ref created);
                int[] ids = [.. Enumerable.Range(0, streams).Select(_ => connection.Open(watch))];
                for (int w = 0; w < mine; w++)
                {
                    connection.Send(ids[w % streams], create);
                }

                while (Volatile.Read(ref created) < watchers)
                {
                    connection.Exchange(1_000);
                }

                start.Set();
                while (Volatile.Read(ref delivered) < wanted)
                {
                    connection.Exchange(1_000);
                    Interlocked.Add(ref delivered, here);
                    here = 0;
                }
            },
            port);
        writer.Join();
        return (seconds, latency, wanted);
    }

    /// <summary>Events in a WatchResponse; each one's latency is recorded.</summary>
    private static int Count(ReadOnlySpan<byte> message, Histogram histogram, ref int created)
    {
        int events = 0;
        long now = Stopwatch.GetTimestamp();
        while (TryField(ref message, out int field, out ReadOnlySpan<byte> body))
        {
            if (field == 3)
            {
                Interlocked.Increment(ref created);
            }
            else if (field == 11)
            {
                events++;
                histogram.Record(now - WrittenAt(body));
            }
        }

        return events;
    }

    private static long WrittenAt(ReadOnlySpan<byte> body)
    {
        while (TryField(ref body, out int field, out ReadOnlySpan<byte> kv))
        {
            if (field != 2)
            {
                continue;
            }

            while (TryField(ref kv, out field, out ReadOnlySpan<byte> value))
            {
                if (field == 5)
                {
                    return BinaryPrimitives.ReadInt64LittleEndian(value);
                }
            }
        }

        throw new IOException("an event without a value");
    }

    private static bool TryField(ref ReadOnlySpan<byte> message, out int field, out ReadOnlySpan<byte> body)
    {
        body = default;
        field = 0;
        if (message.IsEmpty)
        {
            return false;
        }

        ulong tag = Varint(ref message);
        field = (int)(tag >> 3);
        ulong value = Varint(ref message);
        if ((tag & 7) == 2)
        {
            body = message[..(int)value];
            message = message[(int)value..];
        }

        return true;
    }

    private static ulong Varint(ref ReadOnlySpan<byte> from)
    {
        ulong value = 0;
        for (int i = 0; ; i++)
        {
            value |= (ulong)(from[i] & 0x7f) << (7 * i);
            if (from[i] < 0x80)
            {
                from = from[(i + 1)..];
                return value;
            }
        }
    }
}
