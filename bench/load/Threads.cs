using System.Diagnostics;

namespace Perf.Bench.Load;

/// <summary>Connections to one server, a thread each.</summary>
internal static class Threads
{
    /// <summary>Runs the work on so many connections at once; the wall seconds and what was recorded.</summary>
    public static (double Seconds, Histogram Latency) Run(
        int connections, Action<Http2Connection, Histogram> work, int port, Door? door = null)
    {
        var histograms = new Histogram[connections];
        var threads = new Thread[connections];
        Exception? failure = null;
        var watch = Stopwatch.StartNew();
        for (int c = 0; c < connections; c++)
        {
            Histogram histogram = histograms[c] = new Histogram();
            threads[c] = new Thread(() =>
            {
                try
                {
                    using var connection = new Http2Connection("127.0.0.1", port, door);
                    work(connection, histogram);
                }
                catch (Exception e) when (e is IOException or System.Net.Sockets.SocketException)
                {
                    failure = e;
                }
            });
            threads[c].Start();
        }

        foreach (Thread thread in threads)
        {
            thread.Join();
        }

        if (failure is not null)
        {
            throw new IOException(failure.Message, failure);
        }

        var all = new Histogram();
        foreach (Histogram histogram in histograms)
        {
            all.Add(histogram);
        }

        return (watch.Elapsed.TotalSeconds, all);
    }
}
