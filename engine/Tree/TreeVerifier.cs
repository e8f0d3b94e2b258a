using Perf.Engine.IO;

namespace Perf.Engine.Tree;

/// <summary>
/// Checks a data file more strictly than bbolt does: separators equal first keys, uniform depth, key order across
/// pages, no page used twice, every page id, counts and lengths inside their extent, trailers, child checksums. Bounded for
/// hostile files.
/// </summary>
public static class TreeVerifier
{
    /// <summary>Problems listed before the walk gives up describing more.</summary>
    public const int ProblemsMax = 100;

    /// <summary>Verifies a closed file (or a saved image). Unreadable metas are a problem in the report.</summary>
    public static VerifyReport VerifyFile(IDisk disk, string path) => throw new NotImplementedException();
}
