using System.Diagnostics;
using Etcdserverpb;

namespace Perf.Bench.Load;

/// <summary>A storm of lease keep-alives on eight streams: the way of a fleet whose leases end at the same time.</summary>
internal static class KeepAlives
{
    private const int Leases = 1_000;
    private const int Streams = 8;
    private const int InFlight = 64;
    private const long FirstLease = 7_000_000;

    public static void Prepare(int port)
    {
        int given = 0;
        Threads.Run(
            1,
            (connection, histogram) => connection.Run(
                InFlight,
                () => given < Leases ? Bodies.Grant(FirstLease + given++) : null,
                histogram.Record),
            port);
    }

    public static (double Seconds, Histogram Latency) Run(int port, int requests)
    {
        byte[] headers = Http2Connection.HeadersOf("/etcdserverpb.Lease/LeaseKeepAlive");
        byte[][] bodies =
        [
            .. Enumerable.Range(0, Leases).Select(i => Bodies.Frame(new LeaseKeepAliveRequest { ID = FirstLease + i })),
        ];
        int given = 0;
        return Threads.Run(
            Streams,
            (connection, histogram) =>
            {
                // A stream answers in order.
                var sentAt = new Queue<long>();
                connection.OnMessage = (_, _) => histogram.Record(Stopwatch.GetTimestamp() - sentAt.Dequeue());
                int stream = connection.Open(headers);
                bool more = true;
                while (more || sentAt.Count > 0)
                {
                    while (more && sentAt.Count < InFlight)
                    {
                        int n = Interlocked.Increment(ref given);
                        more = n <= requests;
                        if (more)
                        {
                            sentAt.Enqueue(Stopwatch.GetTimestamp());
                            connection.Send(stream, bodies[n % Leases]);
                        }
                    }

                    connection.Exchange(1_000);
                }
            },
            port);
    }
}
