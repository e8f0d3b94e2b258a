namespace Perf.Ctl.Tests;

/// <summary>What a run of etcdctl has left behind. Bytes that are not UTF-8 are kept as lone surrogates.</summary>
internal sealed record Outcome(string Output, string Error, int Code)
{
    public string LastError => Error.TrimEnd('\n').Split('\n')[^1];
}
