using System.Diagnostics.CodeAnalysis;

namespace Perf.Grpc;

/// <summary>From paths to handlers. Filled before the server starts, only read afterwards.</summary>
public sealed class GrpcRouter
{
    private readonly Dictionary<string, GrpcMethod> _methods = new(StringComparer.Ordinal);
    private readonly HashSet<string> _services = new(StringComparer.Ordinal);

    public IReadOnlyCollection<GrpcMethod> Methods => _methods.Values;

    /// <summary>
    /// Serves <paramref name="path"/> ("/package.Service/Method"). <paramref name="receiveBytesMax"/> below zero means the
    /// server's general limit.
    /// </summary>
    public void Map(string path, MethodKind kind, GrpcHandler handler, int receiveBytesMax = -1)
    {
        var method = new GrpcMethod(path, kind, handler, receiveBytesMax);
        _methods.Add(path, method);
        _services.Add(method.Service);
    }

    /// <summary>The method served at a path. Any thread.</summary>
    public bool TryFind(string path, [NotNullWhen(true)] out GrpcMethod? method) => _methods.TryGetValue(path, out method);

    /// <summary>What grpc-go says about a path nobody serves.</summary>
    internal string DescribeUnknown(string path)
    {
        int slash = path.LastIndexOf('/');
        if (slash <= 0)
        {
            return $"malformed method name: \"{path}\"";
        }

        string service = path[1..slash];
        return _services.Contains(service)
            ? $"unknown method {path[(slash + 1)..]} for service {service}"
            : $"unknown service {service}";
    }
}

/// <summary>One served method and its counters.</summary>
public sealed class GrpcMethod
{
    private readonly long[] _handled = new long[17];
    private long _started;
    private long _messagesReceived;
    private long _messagesSent;
    private long _bytesReceived;
    private long _bytesSent;

    internal GrpcMethod(string path, MethodKind kind, GrpcHandler handler, int receiveBytesMax)
    {
        int slash = path.LastIndexOf('/');
        if (slash <= 1 || path[0] != '/' || slash == path.Length - 1)
        {
            throw new ArgumentException($"{path}: expected /package.Service/Method", nameof(path));
        }

        Path = path;
        Service = path[1..slash];
        Name = path[(slash + 1)..];
        Kind = kind;
        Handler = handler;
        ReceiveBytesMax = receiveBytesMax;
    }

    public string Path { get; }

    public string Service { get; }

    public string Name { get; }

    public MethodKind Kind { get; }

    /// <summary>Calls that began. Any thread.</summary>
    public long Started => Volatile.Read(ref _started);

    public long MessagesReceived => Volatile.Read(ref _messagesReceived);

    public long MessagesSent => Volatile.Read(ref _messagesSent);

    /// <summary>Payload bytes, without prefixes and frames. Counted, like messages, at the end of a call or, in streams, at once.</summary>
    public long BytesReceived => Volatile.Read(ref _bytesReceived);

    public long BytesSent => Volatile.Read(ref _bytesSent);

    /// <summary>Serves a call; whoever calls it counts it too.</summary>
    public GrpcHandler Handler { get; }

    /// <summary>Limit of a request message; below zero the server's.</summary>
    public int ReceiveBytesMax { get; }

    /// <summary>Calls that ended with that status. Any thread.</summary>
    public long Handled(StatusCode code) => Volatile.Read(ref _handled[(int)code]);

    /// <summary>For whoever runs <see cref="Handler"/>. Any thread.</summary>
    public void CountStart() => Interlocked.Increment(ref _started);

    /// <summary>For whoever runs <see cref="Handler"/>. Any thread.</summary>
    public void CountEnd(StatusCode code) => Interlocked.Increment(ref _handled[(int)code]);

    /// <summary>For whoever runs <see cref="Handler"/>. Any thread.</summary>
    public void CountReceived(long messages, long bytes)
    {
        if (messages != 0)
        {
            Interlocked.Add(ref _messagesReceived, messages);
            Interlocked.Add(ref _bytesReceived, bytes);
        }
    }

    /// <summary>For whoever runs <see cref="Handler"/>. Any thread.</summary>
    public void CountSent(long messages, long bytes)
    {
        if (messages != 0)
        {
            Interlocked.Add(ref _messagesSent, messages);
            Interlocked.Add(ref _bytesSent, bytes);
        }
    }
}

/// <summary>How a call went; ticks are those of Stopwatch.</summary>
public readonly record struct CallOutcome(
    GrpcMethod Method, StatusCode Status, long Ticks, long MessagesReceived, long BytesReceived, long MessagesSent, long BytesSent);

/// <summary>Takes note of a call that has ended.</summary>
public delegate void CallEnded(ServerCall call, in CallOutcome outcome);
