using Perf.Store.Membership;

namespace Perf.Node.Cluster;

/// <summary>The versions we announce, by the dialect we were told to speak.</summary>
public static class Dialect
{
    /// <summary>The server version in headers, /version and Status.</summary>
    public static string ServerVersion(SpeakAs speakAs) => speakAs switch
    {
        SpeakAs.V34 => "3.4.45",
        SpeakAs.V36 => "3.6.14",
        _ => "3.5.33",
    };

    /// <summary>Its major and minor with patch 0: the highest cluster version this member takes part in.</summary>
    public static SemanticVersion Capability(SpeakAs speakAs) =>
        SemanticVersion.TryParse(ServerVersion(speakAs), out SemanticVersion version) ? version.MajorMinor : default;
}
