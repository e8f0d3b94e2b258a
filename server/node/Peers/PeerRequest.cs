using System.Net.Security;

namespace Perf.Node.Peers;

/// <summary>How long and how much a peer connection may take.</summary>
public sealed record PeerHttpOptions
{
    /// <summary>For TCP and TLS together.</summary>
    public TimeSpan ConnectTimeout { get; init; } = TimeSpan.FromSeconds(5);

    /// <summary>From the end of the request to the end of the answer's header.</summary>
    public TimeSpan AnswerTimeout { get; init; } = TimeSpan.FromSeconds(5);

    /// <summary>Longest silence within an answer's body. Peers give a sign of life every 5/3 s.</summary>
    public TimeSpan ReadTimeout { get; init; } = TimeSpan.FromSeconds(5);

    /// <summary>Longest time one write may be stuck.</summary>
    public TimeSpan WriteTimeout { get; init; } = TimeSpan.FromSeconds(5);

    /// <summary>Status line and header of an answer together.</summary>
    public int HeaderBytesMax { get; init; } = 32 << 10;

    /// <summary>TLS settings for https, by host name; null: https is refused.</summary>
    public Func<string, SslClientAuthenticationOptions>? Tls { get; init; }
}

/// <summary>One request to a peer.</summary>
/// <param name="Method">GET or POST.</param>
/// <param name="Url">http or https.</param>
public sealed record PeerRequest(string Method, Uri Url)
{
    /// <summary>Header lines beside Host and those of the body.</summary>
    public IReadOnlyList<KeyValuePair<string, string>> Headers { get; init; } = [];

    /// <summary>Content-Type of the body.</summary>
    public string ContentType { get; init; } = "application/octet-stream";

    /// <summary>A body that is at hand, sent with its length.</summary>
    public ReadOnlyMemory<byte>? Body { get; init; }

    /// <summary>A body that is written as it comes, sent in chunks: one chunk per write.</summary>
    public Func<Stream, CancellationToken, ValueTask>? BodyWriter { get; init; }

    /// <summary>
    /// True for what is short and frequent: it may use a connection again. Should the peer close that in the same moment, the
    /// request fails and is not repeated, because the peer may have read it: a proposal must not go in twice.
    /// </summary>
    public bool KeepsConnection { get; init; }

    /// <summary>Instead of <see cref="PeerHttpOptions.AnswerTimeout"/>; a snapshot takes its time to be taken in.</summary>
    public TimeSpan? AnswerTimeout { get; init; }
}
