namespace Perf.Node.Config;

/// <summary>Where traces go.</summary>
public sealed class TracingSettings
{
    public bool Enabled { get; set; }

    public string Address { get; set; } = "localhost:4317";

    public string ServiceName { get; set; } = "etcd";

    public string InstanceId { get; set; } = "";

    public long SamplesPerMillion { get; set; }
}
