namespace Perf.Node.Config;

/// <summary>Where the log goes and how it looks, as the flags say it; <see cref="Logging.LogOutputs"/> opens it.</summary>
public sealed class LogSettings
{
    public const string DefaultRotation =
        "{\"maxsize\": 100, \"maxage\": 0, \"maxbackups\": 0, \"localtime\": false, \"compress\": false}";

    public string Logger { get; set; } = "zap";

    public IReadOnlyList<string> Outputs { get; set; } = ["default"];

    public string Level { get; set; } = "info";

    /// <summary>json or console.</summary>
    public string Format { get; set; } = "json";

    public bool Rotate { get; set; }

    public string RotationJson { get; set; } = DefaultRotation;
}
