using Google.Protobuf;

namespace Perf.Surface.Tests.Differential;

/// <summary>How a step may run beside its neighbours.</summary>
internal enum StepKind
{
    /// <summary>Changes nothing: runs beside other reads.</summary>
    Read,

    /// <summary>May change something: runs alone.</summary>
    Write,

    /// <summary>A request on the keep-alive stream: runs alone.</summary>
    KeepAlive,

    /// <summary>A server stream, of which only the sum is looked at.</summary>
    Snapshot,
}

/// <summary>One request of the stream. <paramref name="Case"/> names what it tries.</summary>
internal sealed record Step(int Number, string Case, StepKind Kind, string Path, IMessage? Request, byte[] Bytes)
{
    public override string ToString()
    {
        string text = Request is null ? Convert.ToHexString(Bytes.AsSpan(0, Math.Min(Bytes.Length, 200))) : Request.ToString()!;
        return $"#{Number} {Case} {Path} {(text.Length > 1500 ? text[..1500] + "..." : text)}";
    }
}

/// <summary>What a server said to a step: a status, and the response's bytes when it was OK.</summary>
internal sealed record Answer(Perf.Grpc.StatusCode Code, string Text, ReadOnlyMemory<byte> Bytes)
{
    public bool IsOk => Code == Perf.Grpc.StatusCode.OK;
}
