using System.Diagnostics;
using Xunit;

namespace Perf.Cluster.Tests.Harness;

/// <summary>Needs root and network namespaces. Skipped without, whatever PERF_REQUIRE_INTEROP says: a container may have neither.</summary>
public sealed class NetworkFactAttribute : FactAttribute
{
    private static readonly Lazy<string?> _missing = new(NetworkLab.TryBuild);

    public NetworkFactAttribute(bool needsEtcdctl = false)
    {
        if (!Environment.IsPrivilegedProcess)
        {
            Skip = "only root may make network namespaces";
        }
        else if (_missing.Value is { } reason)
        {
            Skip = "network namespaces cannot be made here: " + reason;
        }
        else if (needsEtcdctl && !File.Exists(Etcdctl.Program) && !InteropFactAttribute.IsRequired)
        {
            Skip = $"{Etcdctl.Program} is not installed";
        }
    }
}

/// <summary>A machine of its own as far as the network goes.</summary>
internal sealed record NetworkHost(string Namespace, string Address);

/// <summary>
/// Hosts, each in a network namespace, on one bridge: what lies between them is the kernel's own TCP, and it can be cut in
/// one direction or both. The test itself has a door to the bridge that no cut reaches.
/// </summary>
internal sealed class NetworkLab : IDisposable
{
    private const string Device = "eth0";

    /// <summary>Nobody's: frames to it are dropped without a word, as by a switch that lost them.</summary>
    private const string NobodysMac = "02:00:00:00:00:01";

    private static int s_labs;

    private readonly string _name = $"perf{Environment.ProcessId}{(char)('a' + (Interlocked.Increment(ref s_labs) % 26))}";
    private readonly List<string> _namespaces = [];
    private readonly string _bridge;

    /// <summary>A network whose hosts have addresses such as "198.18.7.3".</summary>
    /// <param name="prefix">The first three parts of the addresses.</param>
    /// <param name="hosts">The last part of each host's address.</param>
    /// <param name="hasDoor">True when the test itself is to reach the hosts.</param>
    public NetworkLab(string prefix, int[] hosts, bool hasDoor = true)
    {
        _bridge = _name + "br";
        try
        {
            AddNamespace(_bridge);
            Ip("-n", _bridge, "link", "add", "br0", "type", "bridge");
            Ip("-n", _bridge, "link", "set", "br0", "up");
            foreach (int host in hosts)
            {
                var added = new NetworkHost($"{_name}h{host}", $"{prefix}.{host}");
                AddNamespace(added.Namespace);
                string far = $"p{host}";
                Ip("-n", added.Namespace, "link", "add", Device, "type", "veth", "peer", "name", far, "netns", _bridge);
                Ip("-n", _bridge, "link", "set", far, "master", "br0", "up");
                Ip("-n", added.Namespace, "addr", "add", added.Address + "/24", "dev", Device);
                Ip("-n", added.Namespace, "link", "set", Device, "up");
                Hosts.Add(added);
            }

            if (hasDoor)
            {
                // It goes with the bridge's namespace.
                Ip("link", "add", _name + "d", "type", "veth", "peer", "name", "door", "netns", _bridge);
                Ip("-n", _bridge, "link", "set", "door", "master", "br0", "up");
                Ip("addr", "add", prefix + ".254/24", "dev", _name + "d");
                Ip("link", "set", _name + "d", "up");
            }
        }
        catch
        {
            Dispose();
            throw;
        }
    }

    public List<NetworkHost> Hosts { get; } = [];

    /// <summary>Three hosts and a door, on addresses set aside for benchmarks that no other run of these tests uses.</summary>
    public static NetworkLab OfThree() => new($"198.18.{Environment.ProcessId % 250}", [1, 2, 3]);

    /// <summary>Why it does not work here; null when it does.</summary>
    public static string? TryBuild()
    {
        try
        {
            using var tried = new NetworkLab($"198.19.{Environment.ProcessId % 250}", [1, 2]);
            tried.CutOneWay(tried.Hosts[0], tried.Hosts[1]);
            return null;
        }
        catch (Exception e)
        {
            return e.Message;
        }
    }

    /// <summary>What one sends to the other is lost; the other way stays open.</summary>
    public void CutOneWay(NetworkHost from, NetworkHost to) => Ip(
        "-n", from.Namespace, "neigh", "replace", to.Address, "lladdr", NobodysMac, "nud", "permanent", "dev", Device);

    public void Cut(NetworkHost a, NetworkHost b)
    {
        CutOneWay(a, b);
        CutOneWay(b, a);
    }

    /// <summary>Undoes all cuts.</summary>
    public void Heal()
    {
        foreach (NetworkHost from in Hosts)
        {
            Ip("-n", from.Namespace, "neigh", "flush", "dev", Device, "nud", "permanent");
        }
    }

    /// <summary>What a host sends passes a bucket of so many bytes a second.</summary>
    public static void LimitBandwidth(NetworkHost host, int bytesPerSecond) => Run(
        "ip",
        "netns", "exec", host.Namespace, "tc", "qdisc", "replace", "dev", Device, "root", "tbf",
        "rate", $"{bytesPerSecond}bps", "burst", "32kb", "latency", "400ms");

    public void Dispose()
    {
        foreach (string name in _namespaces)
        {
            Ip("netns", "del", name);
        }

        _namespaces.Clear();
    }

    private static void Ip(params string[] arguments) => Run("ip", arguments);

    private static void Run(string program, params string[] arguments)
    {
        using Process process = Process.Start(
            new ProcessStartInfo(program, arguments) { RedirectStandardError = true, RedirectStandardOutput = true })!;
        Task<string> output = process.StandardOutput.ReadToEndAsync();
        string errors = process.StandardError.ReadToEnd();
        process.WaitForExit();
        if (process.ExitCode != 0)
        {
            throw new IOException($"{program} {string.Join(' ', arguments)}: {errors}{output.Result}");
        }
    }

    private void AddNamespace(string name)
    {
        Ip("netns", "add", name);
        _namespaces.Add(name);
        Ip("-n", name, "link", "set", "lo", "up");
    }
}
