using System.Diagnostics;
using System.Text.Json;
using Xunit;

namespace Perf.Cluster.Tests.Harness;

/// <summary>What a run of etcdctl has left behind.</summary>
internal sealed record Outcome(string Output, string Error, int Code)
{
    /// <summary>The one line that is the command's own; 3.4's client logs its retries before it.</summary>
    public string LastError => Error.TrimEnd('\n').Split('\n')[^1];
}

/// <summary>Debian's etcdctl, talking to one server, with some flags always set.</summary>
internal sealed class Etcdctl(EtcdProcess server, params string[] flags)
{
    public const string Program = "/usr/bin/etcdctl";

    private static readonly TimeSpan _patience = TimeSpan.FromSeconds(60);

    /// <summary>Runs a command line without quoting, e.g. "put foo bar"; any outcome.</summary>
    public Outcome Run(string line, string? input = null) => RunOffline(Arguments(line), input);

    /// <summary>Runs a command that must succeed; its output.</summary>
    public string Succeed(string line, string? input = null)
    {
        Outcome outcome = Run(line, input);
        return outcome.Code == 0
            ? outcome.Output
            : throw server.Failure($"was asked \"etcdctl {line}\", which ended with {outcome.Code}: {outcome.Error}");
    }

    /// <summary>Starts a command that goes on until it is disposed.</summary>
    public EtcdctlSession Open(string line) => new(StartInfo(Arguments(line)));

    /// <summary>HashKV at a revision (0: now): what the server computed, and over what.</summary>
    public (uint Hash, long Revision, long CompactRevision) HashKv(long revision = 0)
    {
        using var document = JsonDocument.Parse(Succeed($"endpoint hashkv --rev={revision} -w json"));
        JsonElement answer = document.RootElement[0].GetProperty("HashKV");
        return (
            answer.GetProperty("hash").GetUInt32(),
            answer.GetProperty("header").GetProperty("revision").GetInt64(),
            answer.TryGetProperty("compact_revision", out JsonElement compacted) ? compacted.GetInt64() : 0);
    }

    /// <summary>Runs a command that talks to nobody, or whose arguments hold blanks.</summary>
    public static Outcome RunOffline(IEnumerable<string> arguments, string? input = null)
    {
        using Process process = Process.Start(StartInfo(arguments))!;
        Task<string> errors = process.StandardError.ReadToEndAsync();
        Task<string> output = process.StandardOutput.ReadToEndAsync();
        try
        {
            process.StandardInput.Write(input);
            process.StandardInput.Close();
        }
        catch (IOException)
        {
            // It has ended without reading.
        }

        if (!process.WaitForExit(_patience))
        {
            process.Kill();
            Assert.Fail($"etcdctl {string.Join(' ', arguments)}: still running after {_patience}");
        }

        return new Outcome(output.Result, errors.Result, process.ExitCode);
    }

    private static ProcessStartInfo StartInfo(IEnumerable<string> arguments)
    {
        var start = new ProcessStartInfo(Program)
        {
            RedirectStandardInput = true,
            RedirectStandardOutput = true,
            RedirectStandardError = true,
            Environment = { ["ETCDCTL_API"] = "3" },
        };
        foreach (string argument in arguments)
        {
            start.ArgumentList.Add(argument);
        }

        return start;
    }

    private string[] Arguments(string line) =>
        ["--endpoints", server.Endpoint, .. flags, .. line.Split(' ', StringSplitOptions.RemoveEmptyEntries)];
}
