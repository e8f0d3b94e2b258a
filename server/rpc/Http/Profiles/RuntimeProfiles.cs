using System.Diagnostics;
using System.Diagnostics.Tracing;
using System.Globalization;
using System.Text;
using Microsoft.AspNetCore.Http;
using Microsoft.Diagnostics.NETCore.Client;

namespace Perf.Rpc.Http.Profiles;

/// <summary>
/// /debug/pprof/ with what .NET has in place of Go's profiles (SURFACE HTTP-07): a trace of the processors' work for
/// PerfView, Visual Studio or dotnet-trace, and texts about the heap and the threads.
/// </summary>
internal sealed class RuntimeProfiles
{
    public const string Prefix = "/debug/pprof/";

    private const long RuntimeKeywords = 0x14C14FCCBD;
    private const int BufferMegabytes = 64;
    private const int SecondsDefault = 30;
    private const int SecondsMax = 600;

    private readonly SemaphoreSlim _one = new(1, 1);

    /// <summary>Serves a path below <see cref="Prefix"/>.</summary>
    public Task ServeAsync(HttpContext context, string path) => path[Prefix.Length..] switch
    {
        "" => TextAsync(context, Index()),
        "cmdline" => TextAsync(context, string.Join('\0', Environment.GetCommandLineArgs())),
        "profile" => TraceAsync(context, isCpu: true),
        "trace" => TraceAsync(context, isCpu: false),
        "heap" or "allocs" => TextAsync(context, Heap()),
        "goroutine" or "threadcreate" => TextAsync(context, Threads()),
        "block" or "mutex" or "symbol" => PlainText.WriteAsync(
            context, 404, "This server runs on .NET, which keeps no such profile. See /debug/pprof/ for what there is.\n"),
        _ => PlainText.WriteAsync(context, 404, "Unknown profile\n"),
    };

    private static Task TextAsync(HttpContext context, string text) => PlainText.WriteAsync(context, 200, text);

    private static string Index() =>
        """
        /debug/pprof/ on .NET

        profile?seconds=30   samples of all threads' stacks, and the runtime's events: a .nettrace file
        trace?seconds=30     the runtime's events alone: a .nettrace file
        heap                 the garbage collector's view of the heap
        goroutine            the threads and their state
        cmdline              the command line

        Open .nettrace files with PerfView, Visual Studio, or: dotnet-trace convert --format speedscope FILE

        """;

    private static string Heap()
    {
        GCMemoryInfo memory = GC.GetGCMemoryInfo(GCKind.Any);
        var text = new StringBuilder();
        Line("heap size", memory.HeapSizeBytes);
        Line("committed", memory.TotalCommittedBytes);
        Line("fragmented", memory.FragmentedBytes);
        Line("promoted by the last collection", memory.PromotedBytes);
        Line("allocated since the start", GC.GetTotalAllocatedBytes());
        Line("allocated and not yet collected", GC.GetTotalMemory(forceFullCollection: false));
        Line("pinned objects", memory.PinnedObjectsCount);
        Line("waiting for their finalizer", memory.FinalizationPendingCount);
        Line("pause time in microseconds", (long)GC.GetTotalPauseDuration().TotalMicroseconds);
        for (int generation = 0; generation < memory.GenerationInfo.Length; generation++)
        {
            string name = generation switch
            {
                3 => "large objects",
                4 => "pinned heap",
                _ => string.Create(CultureInfo.InvariantCulture, $"generation {generation}"),
            };
            Line(name, memory.GenerationInfo[generation].SizeAfterBytes);
            if (generation <= GC.MaxGeneration)
            {
                Line(name + ", collections", GC.CollectionCount(generation));
            }
        }

        return text.ToString();

        void Line(string what, long figure) => text.Append(CultureInfo.InvariantCulture, $"{what}: {figure}\n");
    }

    /// <summary>.NET cannot walk other threads' stacks from within; their names and states are what there is.</summary>
    private static string Threads()
    {
        using var process = Process.GetCurrentProcess();
        var text = new StringBuilder();
        text.Append(CultureInfo.InvariantCulture, $"threads: {process.Threads.Count}\n");
        foreach (ProcessThread thread in process.Threads)
        {
            using (thread)
            {
                try
                {
                    text.Append(
                        CultureInfo.InvariantCulture,
                        $"{thread.Id} {NameOf(thread.Id)} {thread.ThreadState} cpu {thread.TotalProcessorTime.TotalSeconds:F2}s\n");
                }
                catch (Exception e) when (e is InvalidOperationException or System.ComponentModel.Win32Exception)
                {
                    // It has ended meanwhile.
                }
            }
        }

        return text.ToString();
    }

    private static string NameOf(int thread)
    {
        try
        {
            return File.ReadAllText(string.Create(CultureInfo.InvariantCulture, $"/proc/self/task/{thread}/comm")).Trim();
        }
        catch (IOException)
        {
            return "?";
        }
    }

    private async Task TraceAsync(HttpContext context, bool isCpu)
    {
        if (!int.TryParse(context.Request.Query["seconds"], CultureInfo.InvariantCulture, out int seconds))
        {
            seconds = SecondsDefault;
        }

        if (seconds is <= 0 or > SecondsMax || !await _one.WaitAsync(0).ConfigureAwait(false))
        {
            string trouble = seconds is > 0 and <= SecondsMax ? "another trace is being taken" : $"seconds: 1 to {SecondsMax}";
            await PlainText.WriteAsync(context, 500, $"Could not enable CPU profiling: {trouble}\n").ConfigureAwait(false);
            return;
        }

        try
        {
            List<EventPipeProvider> providers =
                [new("Microsoft-Windows-DotNETRuntime", EventLevel.Informational, RuntimeKeywords)];
            if (isCpu)
            {
                providers.Add(new("Microsoft-DotNETCore-SampleProfiler", EventLevel.Informational));
            }

            using EventPipeSession session = await new DiagnosticsClient(Environment.ProcessId)
                .StartEventPipeSessionAsync(providers, requestRundown: true, BufferMegabytes, context.RequestAborted)
                .ConfigureAwait(false);
            context.Response.ContentType = "application/octet-stream";
            context.Response.Headers.ContentDisposition = $"attachment; filename=\"{(isCpu ? "profile" : "trace")}.nettrace\"";
            Task copying = session.EventStream.CopyToAsync(context.Response.Body, context.RequestAborted);
            await Task.WhenAny(copying, Task.Delay(TimeSpan.FromSeconds(seconds), context.RequestAborted)).ConfigureAwait(false);
            await session.StopAsync(CancellationToken.None).ConfigureAwait(false);
            await copying.ConfigureAwait(false);
        }
        catch (Exception e) when (e is DiagnosticsClientException or TimeoutException)
        {
            await PlainText.WriteAsync(context, 404, $"The runtime's diagnostics are switched off: {e.Message}\n")
                .ConfigureAwait(false);
        }
        catch (OperationCanceledException)
        {
            // The client has gone.
        }
        finally
        {
            _one.Release();
        }
    }
}
