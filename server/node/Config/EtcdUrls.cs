using System.Net;
using System.Net.Sockets;

namespace Perf.Node.Config;

/// <summary>Lists of URLs as etcd's flags carry them, and what may be bound or told to others.</summary>
public static class EtcdUrls
{
    /// <summary>Reads "http://a:1,http://b:2": trimmed, sorted, each once. Throws <see cref="FormatException"/>.</summary>
    public static IReadOnlyList<string> Parse(string text)
    {
        var urls = new SortedSet<string>(StringComparer.Ordinal);
        foreach (string part in text.Split(','))
        {
            string url = part.Trim();
            Check(url);
            urls.Add(url);
        }

        return [.. urls];
    }

    /// <summary>
    /// The same for addresses to listen on. Throws <see cref="ConfigException"/> besides, for those that nobody could.
    /// </summary>
    public static IReadOnlyList<Uri> ParseListen(string text) => [.. Parse(text).Select(ToUri)];

    /// <summary>Throws <see cref="ConfigException"/> where a URL cannot be bound: names other than localhost cannot.</summary>
    public static void RequireBindable(IEnumerable<Uri> urls)
    {
        foreach (Uri url in urls)
        {
            if (IsUnix(url.Scheme))
            {
                continue;
            }

            string host = Split(Authority(url.OriginalString), out _);
            if (host != "localhost" && !IsIp(host))
            {
                throw new ConfigException($"expected IP in URL for binding ({url.OriginalString})");
            }
        }
    }

    /// <summary>Throws <see cref="ConfigException"/> where a URL names nobody that others could dial.</summary>
    public static void RequireHosts(string flag, IReadOnlyList<string> urls)
    {
        foreach (string url in urls)
        {
            string? trouble = null;
            try
            {
                trouble = Split(Authority(url), out _).Length == 0 ? $"unexpected empty host ({url})" : null;
            }
            catch (FormatException e)
            {
                trouble = e.Message;
            }

            if (trouble is not null)
            {
                throw new ConfigException(
                    $"--{flag} {GoText.Quote(string.Join(',', urls))} must be \"host:port\" ({trouble})");
            }
        }
    }

    public static bool IsUnix(string scheme) => scheme is "unix" or "unixs";

    /// <summary>What stands between "//" and the path, without user information.</summary>
    public static string Authority(string url)
    {
        int start = url.IndexOf("//", StringComparison.Ordinal);
        string rest = start < 0 ? "" : url[(start + 2)..];
        int end = rest.AsSpan().IndexOfAny('/', '?', '#');
        rest = end < 0 ? rest : rest[..end];
        return rest[(rest.LastIndexOf('@') + 1)..];
    }

    /// <summary>The host and the port of "host:port" or "[v6]:port".</summary>
    public static string Split(string authority, out string port)
    {
        int colon = authority.LastIndexOf(':');
        string trouble = "";
        string host = "";
        port = "";
        if (colon < 0)
        {
            trouble = "missing port in address";
        }
        else if (authority.StartsWith('['))
        {
            int close = authority.IndexOf(']', StringComparison.Ordinal);
            trouble = close < 0 ? "missing ']' in address" : close + 1 != colon ? "missing port in address" : "";
            host = trouble.Length == 0 ? authority[1..close] : "";
        }
        else
        {
            host = authority[..colon];
            trouble = host.Contains(':', StringComparison.Ordinal) ? "too many colons in address" : "";
        }

        if (trouble.Length > 0)
        {
            throw new FormatException($"address {authority}: {trouble}");
        }

        port = authority[(colon + 1)..];
        return host;
    }

    private static bool IsIp(string host) =>
        IPAddress.TryParse(host, out IPAddress? ip)
        && !host.Contains('%', StringComparison.Ordinal)
        && (ip.AddressFamily == AddressFamily.InterNetworkV6 || host.Count(c => c == '.') == 3);

    private static bool IsScheme(string text) =>
        char.IsAsciiLetter(text[0]) && text.All(c => char.IsAsciiLetterOrDigit(c) || c is '+' or '-' or '.');

    private static void Check(string url)
    {
        int colon = url.IndexOf(':', StringComparison.Ordinal);
        string scheme = colon > 0 ? url[..colon] : "";
        if (colon == 0)
        {
            throw new FormatException($"parse {GoText.Quote(url)}: missing protocol scheme");
        }

        if (colon > 0 && !IsScheme(scheme))
        {
            throw new FormatException($"parse {GoText.Quote(url)}: first path segment in URL cannot contain colon");
        }

        if (IsUnix(scheme))
        {
            return;
        }

        if (scheme is not ("http" or "https"))
        {
            throw new FormatException($"URL scheme must be http, https, unix, or unixs: {url}");
        }

        string authority = Authority(url);
        string port;
        try
        {
            Split(authority, out port);
        }
        catch (FormatException)
        {
            throw new FormatException($"URL address does not have the form \"host:port\": {url}");
        }

        if (!port.All(char.IsAsciiDigit))
        {
            throw new FormatException($"parse {GoText.Quote(url)}: invalid port {GoText.Quote(":" + port)} after host");
        }

        int path = url.IndexOf('/', url.IndexOf("//", StringComparison.Ordinal) + 2);
        if (path >= 0)
        {
            throw new FormatException($"URL must not contain a path: {url}");
        }
    }

    private static Uri ToUri(string url) =>
        Uri.TryCreate(url, UriKind.Absolute, out Uri? uri)
            ? uri
            : throw new ConfigException($"expected IP in URL for binding ({url})");
}
