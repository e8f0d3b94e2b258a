using System.Diagnostics;
using System.Globalization;
using System.Runtime.InteropServices;
using Perf.Bench.Load;

// How long etcdctl takes from its start to its end, beside Debian's and beside the least a .NET program can do.
// dotnet run -c Release --project bench/startup -- [--rounds 40] [--programs DIR]
const string RealEtcdctl = "/usr/bin/etcdctl";
const double AllowedMillis = 40;
int rounds = 40;
string? programs = null;
for (int i = 0; i < args.Length; i++)
{
    switch (args[i])
    {
        case "--rounds" when i + 1 < args.Length && int.TryParse(args[i + 1], out int given) && given is > 0 and <= 1000:
            rounds = given;
            i++;
            break;
        case "--programs" when i + 1 < args.Length:
            programs = args[++i];
            break;
        default:
            Console.Error.WriteLine(
                "usage: startup [--rounds N] [--programs DIR]\n"
                + "DIR holds etcdctl and exchange as published; without it they are published first");
            return 2;
    }
}

string root = AppContext.BaseDirectory[..AppContext.BaseDirectory.IndexOf("/bench/startup/", StringComparison.Ordinal)];
string? built = programs is null ? Directory.CreateTempSubdirectory("perf-startup-").FullName : null;
try
{
    if (built is not null)
    {
        Publish($"{root}/server/etcdctl", built);
        Publish($"{root}/bench/startup/exchange", built);
    }

    string directory = programs ?? built!;
    string assembly = Path.Combine(
        AppContext.BaseDirectory.Replace("/bench/startup/", "/server/etcd/", StringComparison.Ordinal), "etcd.dll");
    using BenchServer server = await BenchServer.StartAsync("perf", assembly, 22_399);
    string port = server.Port.ToString(CultureInfo.InvariantCulture);
    string endpoint = "127.0.0.1:" + port;
    var works = new List<Work>
    {
        new("bare socket: put", Path.Combine(directory, "exchange"), [port, "key", "value"]),
        new("etcdctl put", Path.Combine(directory, "etcdctl"), ["--endpoints", endpoint, "put", "key", "value"]),
        new("etcdctl version", Path.Combine(directory, "etcdctl"), ["version"]),
    };
    if (File.Exists(RealEtcdctl))
    {
        works.Add(new("Debian's etcdctl put", RealEtcdctl, ["--endpoints", endpoint, "put", "key", "value"]));
        works.Add(new("Debian's etcdctl version", RealEtcdctl, ["version"]));
    }

    // The first round warms the page cache and the server. Then in turns, so that all see the same machine.
    for (int round = 0; round <= rounds; round++)
    {
        foreach (Work work in works)
        {
            (double wall, double cpu) = Run(work);
            if (round > 0)
            {
                work.Millis.Add(wall);
                work.CpuMillis.Add(cpu);
            }
        }
    }

    Console.WriteLine($"{"ms, start to end",-26}{"median",8}{"least",8}{"9 of 10",9}{"CPU median",12}{"CPU least",11}");
    foreach (Work work in works)
    {
        work.Millis.Sort();
        work.CpuMillis.Sort();
        Console.WriteLine(Text(
            $"{work.Name,-26}{work.Median,8:0.0}{work.Millis[0],8:0.0}{work.Millis[work.Millis.Count * 9 / 10],9:0.0}")
            + Text($"{work.CpuMedian,12:0.0}{work.CpuMillis[0],11:0.0}"));
    }

    double more = works[1].Median - works[0].Median;
    bool passes = more <= AllowedMillis;
    Console.WriteLine(
        (passes ? "PASS" : "FAIL")
        + Text($": put takes {more:0.0} ms more than the bare exchange, start to end, medians of {rounds} (limit {AllowedMillis:0} ms);")
        + Text($" {works[1].CpuMedian - works[0].CpuMedian:0.0} ms of processor time more"));
    return passes ? 0 : 1;
}
finally
{
    if (built is not null)
    {
        Directory.Delete(built, recursive: true);
    }
}

static string Text(FormattableString text) => text.ToString(CultureInfo.InvariantCulture);

static void Publish(string project, string target)
{
    using Process dotnet = Process.Start(new ProcessStartInfo(
        "dotnet",
        [
            "publish", project, "-c", "Release", "-p:PublishProfile=linux-x64", "--artifacts-path", $"{target}/build",
            "-o", target, "-nologo", "-v", "quiet",
        ]))!;
    dotnet.WaitForExit();
    if (dotnet.ExitCode != 0)
    {
        throw new InvalidOperationException($"{project} was not published");
    }
}

static (double Wall, double Cpu) Run(Work work)
{
    var start = new ProcessStartInfo(work.Program, work.Arguments) { RedirectStandardOutput = true };
    start.Environment["ETCDCTL_API"] = "3";
    double cpu = ChildCpu.Millis;
    long started = Stopwatch.GetTimestamp();
    using Process process = Process.Start(start)!;
    string output = process.StandardOutput.ReadToEnd();
    process.WaitForExit();
    double millis = Stopwatch.GetElapsedTime(started).TotalMilliseconds;
    return process.ExitCode == 0 ? (millis, ChildCpu.Millis - cpu) : throw new InvalidOperationException($"{work.Name}: {output}");
}

internal sealed record Work(string Name, string Program, string[] Arguments)
{
    public List<double> Millis { get; } = [];

    public List<double> CpuMillis { get; } = [];

    public double Median => Millis[Millis.Count / 2];

    public double CpuMedian => CpuMillis[CpuMillis.Count / 2];
}

/// <summary>Processor time of the children that have ended, by getrusage: on a busy machine it says more than the clock.</summary>
internal static class ChildCpu
{
    private const int Children = -1;

    public static double Millis
    {
        get
        {
            // Two timevals (user and system: seconds, microseconds) and fourteen longs.
            long[] usage = new long[18];
            _ = GetResourceUsage(Children, usage);
            return ((usage[0] + usage[2]) * 1e3) + ((usage[1] + usage[3]) / 1e3);
        }
    }

#pragma warning disable SYSLIB1054 // The array is pinned for the call; generated marshalling would need unsafe code.
    [DllImport("libc", EntryPoint = "getrusage")]
    [DefaultDllImportSearchPaths(DllImportSearchPath.SafeDirectories)]
    private static extern int GetResourceUsage(int who, [In, Out] long[] usage);
#pragma warning restore SYSLIB1054
}
