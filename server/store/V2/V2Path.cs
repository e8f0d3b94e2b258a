namespace Perf.Store.V2;

/// <summary>Slash-separated paths of the v2 key space.</summary>
public static class V2Path
{
    /// <summary>The shortest equal absolute path: no empty, "." or ".." element, no slash at the end but for "/".</summary>
    public static string Clean(string path)
    {
        var kept = new List<string>();
        foreach (string element in path.Split('/'))
        {
            if (element.Length == 0 || element == ".")
            {
                continue;
            }

            if (element == "..")
            {
                if (kept.Count > 0)
                {
                    kept.RemoveAt(kept.Count - 1);
                }

                continue;
            }

            kept.Add(element);
        }

        return "/" + string.Join('/', kept);
    }

    /// <summary>Last element of a cleaned path.</summary>
    public static string Name(string path) => path[(path.LastIndexOf('/') + 1)..];

    /// <summary>True when a watcher of <paramref name="watched"/> must not see <paramref name="key"/>: some
    /// element below the watched path starts with an underscore.</summary>
    public static bool IsHidden(string watched, string key)
    {
        if (watched.Length > key.Length)
        {
            return false;
        }

        return Clean("/" + key[watched.Length..]).Contains("/_", StringComparison.Ordinal);
    }
}
