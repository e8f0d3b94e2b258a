using Perf.Node.Cluster;
using Perf.Node.Config;
using Perf.Node.Logging;
using Xunit;

namespace Perf.Node.Tests;

/// <summary>FLC, BST-01, SEED-10.</summary>
public class BootstrapRulesTests
{
    [Theory]
    [InlineData("a", "http://h:1", "a=http://h:1,b=http://h:2")]
    [InlineData("a", "http://h:2,http://h:1", "a=http://h:1,b=http://h:3,a=http://h:2")]
    [InlineData("a", "http://127.0.0.1:1", "a=http://127.0.0.1:1")]
    public void AMemberThatFindsItselfMayStart(string name, string advertised, string cluster) =>
        Verify(name, advertised, cluster);

    [Theory]
    [InlineData("a", "http://h:1", "b=http://h:1", "couldn't find local name \"a\" in the initial cluster configuration")]
    [InlineData("a", "http://127.0.0.1:1", "a=http://127.0.0.1:2", "--initial-cluster has a=http://127.0.0.1:2 but missing from --initial-advertise-peer-urls=http://127.0.0.1:1 (resolved urls: \"http://127.0.0.1:1\" != \"http://127.0.0.1:2\")")]
    [InlineData("a", "http://h:1", "a=http://h:1,a=http://h:2", "--initial-cluster has a=http://h:2 but missing from --initial-advertise-peer-urls=http://h:1 (len([\"http://h:1\"]) != len([\"http://h:1\" \"http://h:2\"]))")]
    [InlineData("a", "http://h:1,http://h:2", "a=http://h:1", "--initial-advertise-peer-urls has http://h:2 but missing from --initial-cluster=a=http://h:1,a=http://h:2")]
    [InlineData("a", "http://h:1", "a=http://h:1,b=http://h:1", "initial cluster a=http://h:1,b=http://h:1 has duplicate url")]
    [InlineData("a", "http://h:1", "a=h", "error setting up initial cluster: URL scheme must be http, https, unix, or unixs: h")]
    public void Refused(string name, string advertised, string cluster, string reason) =>
        Assert.Equal(reason, Assert.Throws<StartRefusedException>(() => Verify(name, advertised, cluster)).Message);

    [Fact]
    public void WhoJoinsNeedsOnlyItsName()
    {
        var config = new ServerConfig { Name = "a", NewCluster = false, InitialCluster = "a=http://h:1", AdvertisePeerUrls = ["http://h:2"] };
        BootstrapRules.Verify(config, Log.None);
    }

    /// <summary>Also for those who start a member without the program etcd around it.</summary>
    [Fact]
    public void TheNodeItselfRefusesToStart()
    {
        string directory = Directory.CreateTempSubdirectory("perf-rules").FullName;
        try
        {
            var config = new ServerConfig
            {
                Name = "a",
                DataDir = directory,
                ListenPeerUrls = [new Uri("http://127.0.0.1:0")],
                AdvertisePeerUrls = ["http://127.0.0.1:1"],
                InitialCluster = "a=http://127.0.0.1:2",
            };
            StartRefusedException e = Assert.Throws<StartRefusedException>(
                () => EtcdNode.Start(config, Log.None, TimeProvider.System));
            Assert.StartsWith("--initial-cluster has a=http://127.0.0.1:2 but missing from", e.Message);
        }
        finally
        {
            Directory.Delete(directory, recursive: true);
        }
    }

    private static void Verify(string name, string advertised, string cluster) => BootstrapRules.Verify(
        new ServerConfig { Name = name, InitialCluster = cluster, AdvertisePeerUrls = advertised.Split(',') }, Log.None);
}
