namespace Perf.Node.Peers;

/// <summary>A peer's addresses, one of which is in use until it fails. Any thread.</summary>
internal sealed class PeerUrls
{
    private Uri[] _urls;
    private int _at;

    public PeerUrls(IReadOnlyList<string> urls)
    {
        _urls = Parse(urls);
    }

    public void Set(IReadOnlyList<string> urls) => Volatile.Write(ref _urls, Parse(urls));

    /// <summary>The address in use; null when the peer has none that can be read.</summary>
    public Uri? Current
    {
        get
        {
            Uri[] urls = Volatile.Read(ref _urls);
            return urls.Length == 0 ? null : urls[(int)((uint)Volatile.Read(ref _at) % urls.Length)];
        }
    }

    public IReadOnlyList<Uri> All => Volatile.Read(ref _urls);

    /// <summary>Goes on to the next one.</summary>
    public void Failed() => Interlocked.Increment(ref _at);

    private static Uri[] Parse(IReadOnlyList<string> urls)
    {
        var parsed = new List<Uri>();
        foreach (string text in urls)
        {
            if (Uri.TryCreate(text, UriKind.Absolute, out Uri? url))
            {
                parsed.Add(url);
            }
        }

        return [.. parsed];
    }
}
