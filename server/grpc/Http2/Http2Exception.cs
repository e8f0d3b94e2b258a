namespace Perf.Grpc;

/// <summary>Error codes of RFC 9113, section 7.</summary>
internal enum Http2Error
{
    None = 0,
    Protocol = 1,
    Internal = 2,
    FlowControl = 3,
    StreamClosed = 5,
    FrameSize = 6,
    RefusedStream = 7,
    Cancel = 8,
    Compression = 9,
    EnhanceYourCalm = 11,
}

/// <summary>The peer has broken a rule in a way that ends the connection.</summary>
internal sealed class Http2Exception(Http2Error error, string message) : Exception(message)
{
    public Http2Error Error { get; } = error;
}
