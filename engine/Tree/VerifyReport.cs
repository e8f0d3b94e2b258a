namespace Perf.Engine.Tree;

/// <summary>What the verifier found.</summary>
public sealed class VerifyReport
{
    /// <summary>True when nothing is wrong.</summary>
    public bool IsClean => Problems.Count == 0;

    /// <summary>What is wrong, with page and reason; the first <see cref="TreeVerifier.ProblemsMax"/> of them.</summary>
    public List<string> Problems { get; } = [];

    public ulong Txid { get; internal set; }

    /// <summary>Pages reachable from the meta page, the two metas included.</summary>
    public long PagesUsed { get; internal set; }

    /// <summary>Pages below the high-water mark that nothing reaches.</summary>
    public long PagesFree { get; internal set; }

    /// <summary>Of the used pages, extents without a checksum trailer (written by etcd).</summary>
    public long ExtentsWithoutTrailer { get; internal set; }

    /// <summary>Keys in all buckets.</summary>
    public long Keys { get; internal set; }

    public int Buckets { get; internal set; }
}
