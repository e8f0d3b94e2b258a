namespace Perf.Etcdctl;

/// <summary>Who we say we are: the etcd release whose behaviour this tool has.</summary>
internal static class Product
{
    public const string Version = "3.5.33";
    public const string ApiVersion = "3.5";
}
