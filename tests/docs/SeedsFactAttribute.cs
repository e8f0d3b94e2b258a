using Xunit;

namespace Perf.Docs.Tests;

/// <summary>Needs the two documents beside the checkout.</summary>
public sealed class SeedsFactAttribute : FactAttribute
{
    public SeedsFactAttribute()
    {
        if (!Directory.Exists(Folder))
        {
            Skip = "no shared/seeds beside the checkout";
        }
    }

    /// <summary>Where they are.</summary>
    public static string Folder { get; } = Path.GetFullPath(Path.Combine(Repository.Root, "..", "shared", "seeds"));
}
