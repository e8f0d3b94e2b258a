using System.Buffers;
using System.Globalization;
using System.Runtime.CompilerServices;

namespace Perf.Grpc;

/// <summary>
/// What a request's header block says. But for the memo and the tally it never changes: a connection whose client repeats itself gives the same object to many calls.
/// </summary>
internal sealed class RequestHeaders
{
    private static readonly SearchValues<char> NameChars =
        SearchValues.Create("!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyz");

    private readonly KeyValuePair<string, string>[] _fields;

    private RequestHeaders(KeyValuePair<string, string>[] fields)
    {
        _fields = fields;
    }

    public string Method { get; private set; } = "";

    public string Path { get; private set; } = "";

    public string Scheme { get; private set; } = "";

    public string Authority { get; private set; } = "";

    public string ContentType { get; private set; } = "";

    /// <summary>Empty without a grpc-timeout.</summary>
    public string Timeout { get; private set; } = "";

    /// <summary>Empty without a grpc-encoding.</summary>
    public string Encoding { get; private set; } = "";

    /// <summary>The body's announced length; -1 for none.</summary>
    public long ContentLength { get; private set; } = -1;

    public bool IsGrpc { get; private set; }

    /// <summary>The method the path names, if it is served.</summary>
    public GrpcMethod? Called { get; private set; }

    /// <summary>See <see cref="ServerCall.Memo"/>.</summary>
    public object? Memo { get; set; }

    /// <summary>See <see cref="ServerCall.Tally"/>.</summary>
    public StrongBox<long>? Tally { get; set; }

    /// <summary>All fields but the pseudo headers.</summary>
    public ReadOnlySpan<KeyValuePair<string, string>> Fields => _fields;

    /// <summary>Null when the fields make no request (RFC 9113, section 8).</summary>
    public static RequestHeaders? TryMake(IReadOnlyList<KeyValuePair<string, string>> fields, GrpcRouter router)
    {
        int pseudo = 0;
        while (pseudo < fields.Count && fields[pseudo].Key.StartsWith(':'))
        {
            pseudo++;
        }

        var headers = new RequestHeaders(new KeyValuePair<string, string>[fields.Count - pseudo]);
        for (int i = 0; i < pseudo; i++)
        {
            if (!headers.TakePseudo(fields[i].Key, fields[i].Value))
            {
                return null;
            }
        }

        for (int i = pseudo; i < fields.Count; i++)
        {
            if (!headers.Take(fields[i].Key, fields[i].Value))
            {
                return null;
            }

            headers._fields[i - pseudo] = fields[i];
        }

        if (headers.Method.Length == 0 || headers.Path.Length == 0 || headers.Scheme.Length == 0)
        {
            return null;
        }

        headers.IsGrpc = GrpcApplication.IsGrpcContentType(headers.ContentType);
        if (headers.IsGrpc && router.TryFind(headers.Path, out GrpcMethod? method))
        {
            headers.Called = method;
        }

        return headers;
    }

    /// <summary>Fields that follow a body: no pseudo headers among them.</summary>
    public static bool AreTrailers(IReadOnlyList<KeyValuePair<string, string>> fields)
    {
        foreach ((string name, _) in fields)
        {
            if (!IsName(name))
            {
                return false;
            }
        }

        return true;
    }

    /// <summary>The values of that name (lower case), joined with commas.</summary>
    public bool TryGet(string name, out string value)
    {
        value = "";
        bool found = false;
        foreach (ref readonly KeyValuePair<string, string> field in _fields.AsSpan())
        {
            if (field.Key == name)
            {
                value = found ? value + "," + field.Value : field.Value;
                found = true;
            }
        }

        return found;
    }

    private static bool IsName(string name) => name.Length > 0 && !name.AsSpan().ContainsAnyExcept(NameChars);

    private static bool TakeOnce(string old, string value, out string kept)
    {
        kept = value;
        return old.Length == 0 && value.Length > 0;
    }

    private bool TakePseudo(string name, string value)
    {
        bool taken;
        switch (name)
        {
            case ":method":
                taken = TakeOnce(Method, value, out string method);
                Method = method;
                return taken;
            case ":path":
                taken = TakeOnce(Path, value, out string path);
                Path = path;
                return taken;
            case ":scheme":
                taken = TakeOnce(Scheme, value, out string scheme);
                Scheme = scheme;
                return taken;
            case ":authority" when Authority.Length == 0:
                Authority = value;
                return true;
            default:
                return false;
        }
    }

    private bool Take(string name, string value)
    {
        if (!IsName(name) || value.AsSpan().ContainsAny('\0', '\r', '\n'))
        {
            return false;
        }

        switch (name)
        {
            case "connection" or "transfer-encoding" or "upgrade" or "keep-alive" or "proxy-connection":
                return false;
            case "te":
                return value == "trailers";
            case "content-type":
                ContentType = value;
                return true;
            case "grpc-timeout":
                Timeout = value;
                return true;
            case "grpc-encoding":
                Encoding = value;
                return true;
            case "host" when Authority.Length == 0:
                Authority = value;
                return true;
            case "content-length":
                bool isNumber = long.TryParse(value, NumberStyles.None, CultureInfo.InvariantCulture, out long length);
                ContentLength = length;
                return isNumber;
            default:
                return true;
        }
    }
}

/// <summary>
/// Headers of the blocks that a client sent last. While the decoder's table stands still equal bytes mean equal headers, and they
/// are not decoded again. For a connection's reading thread.
/// </summary>
internal sealed class RecentHeaders
{
    private const int BlockBytesMax = 512;
    private readonly Slot[] _slots = new Slot[4];
    private int _next;

    public RequestHeaders? Find(ReadOnlySpan<byte> block, int version)
    {
        foreach (ref readonly Slot slot in _slots.AsSpan())
        {
            if (slot.Headers is not null && slot.Version == version && block.SequenceEqual(slot.Block))
            {
                return slot.Headers;
            }
        }

        return null;
    }

    public void Keep(ReadOnlySpan<byte> block, int version, RequestHeaders headers)
    {
        if (block.Length > BlockBytesMax)
        {
            return;
        }

        ref Slot slot = ref _slots[_next];
        _next = (_next + 1) % _slots.Length;
        slot = new Slot(block.ToArray(), version, headers);
    }

    private readonly record struct Slot(byte[] Block, int Version, RequestHeaders? Headers);
}
