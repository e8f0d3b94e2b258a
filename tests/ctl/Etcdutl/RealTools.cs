using System.Diagnostics;
using Perf.Client.Tests;
using Xunit;

namespace Perf.Ctl.Tests.Etcdutl;

/// <summary>Runs our etcdutl in the test process and Debian's etcdctl beside it.</summary>
internal static class RealTools
{
    /// <summary>Our etcdutl.</summary>
    public static Outcome Utl(params string[] arguments)
    {
        using var output = new StringWriter();
        using var error = new StringWriter();
        int code = Perf.Etcdutl.Utl.Run(arguments, output, error);
        return new Outcome(output.ToString(), error.ToString(), code);
    }

    /// <summary>Our etcdutl, which must succeed; returns its output.</summary>
    public static string UtlOk(params string[] arguments)
    {
        Outcome outcome = Utl(arguments);
        Assert.True(outcome.Code == 0, $"exit {outcome.Code}: {outcome.Output}{outcome.Error}");
        return outcome.Output;
    }

    /// <summary>Debian's etcdctl, which must succeed; returns its output.</summary>
    public static string Ctl(string endpoint, params string[] arguments) => Run("3", endpoint, arguments);

    /// <summary>The same with the v2 API.</summary>
    public static string V2(string endpoint, params string[] arguments) => Run("2", endpoint, arguments);

    /// <summary>All keys and values and the header's revision, without what names the cluster.</summary>
    public static string Contents(string endpoint)
    {
        string json = Ctl(endpoint, "get", "", "--prefix", "-w", "json");
        using var document = System.Text.Json.JsonDocument.Parse(json);
        return document.RootElement.GetProperty("header").GetProperty("revision") + " "
            + document.RootElement.GetProperty("kvs");
    }

    private static string Run(string api, string endpoint, string[] arguments)
    {
        var start = new ProcessStartInfo(EtcdProcess.Etcdctl)
        {
            RedirectStandardOutput = true,
            RedirectStandardError = true,
            Environment = { ["ETCDCTL_API"] = api, ["ETCDCTL_ENDPOINTS"] = endpoint },
        };
        foreach (string argument in arguments)
        {
            start.ArgumentList.Add(argument);
        }

        using Process process = Process.Start(start)!;
        Task<string> error = process.StandardError.ReadToEndAsync();
        string output = process.StandardOutput.ReadToEnd();
        process.WaitForExit();
        Assert.True(process.ExitCode == 0, $"etcdctl {string.Join(' ', arguments)}: {output}{error.Result}");
        return output;
    }
}

/// <summary>A temporary directory.</summary>
internal sealed class Scratch : IDisposable
{
    private readonly string _directory = Directory.CreateTempSubdirectory("perf-utl-").FullName;

    public string this[string name] => Path.Combine(_directory, name);

    public void Dispose() => Directory.Delete(_directory, recursive: true);
}
