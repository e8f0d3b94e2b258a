using System.Text;
using Perf.Cluster.Tests.Harness;
using Xunit;

namespace Perf.Cluster.Tests.Security;

/// <summary>A password is nowhere but in its owner's memory (CVE-2021-28235).</summary>
[Collection(SingleMembers.Name)]
public sealed class SecretTests
{
    private const int Port = 31824;
    private const string Marker = "Zq7marker4711";

    [InteropFact]
    public async Task A_password_is_in_no_log_metric_debug_page_or_file()
    {
        using var scratch = new TempDirectory();
        using PerfProcess server = PerfProcess.Start(
            scratch["data"], Port, "--log-level", "debug", "--metrics", "extensive", "--bcrypt-cost", "4", "--enable-pprof");
        var etcdctl = new Etcdctl(server);
        etcdctl.Succeed($"user add root:{Marker}root");
        etcdctl.Succeed("user grant-role root root");
        etcdctl.Succeed($"user add typed --interactive=false", $"{Marker}typed\n");
        etcdctl.Succeed("auth enable");
        string root = $"--user root:{Marker}root ";
        etcdctl.Succeed(root + "user passwd typed --interactive=false", $"{Marker}changed\n");

        // Wrong ones are secrets as well: they are often right elsewhere. So is what nobody could parse.
        Assert.NotEqual(0, etcdctl.Run($"--user root:{Marker}wrong get a").Code);
        Assert.NotEqual(0, etcdctl.Run($"--user nobody:{Marker}ghost get a").Code);
        Assert.NotEqual(0, etcdctl.Run($"{root}user add typed:{Marker}twice").Code);
        using var http = new HttpClient { BaseAddress = new Uri(server.Url) };
        foreach (string body in (string[])
            [
                $$"""{"name":"root","password":"{{Marker}}json"}""", $$"""{"name":"root","password":"{{Marker}}broken""",
                $$"""{"name":"root","pass":"{{Marker}}field"}""", $$"""{"name":{"a":"{{Marker}}kind"},"password":1}""",
            ])
        {
            using var content = new StringContent(body);
            using HttpResponseMessage answer = await http.PostAsync(new Uri("/v3/auth/authenticate", UriKind.Relative), content);
            Assert.False(answer.IsSuccessStatusCode);
            Assert.DoesNotContain(Marker, await answer.Content.ReadAsStringAsync(), StringComparison.Ordinal);
        }

        foreach (string page in (string[])
            ["/metrics", "/debug/vars", "/debug/requests", "/debug/pprof/cmdline", "/debug/events", "/health", "/version"])
        {
            using HttpResponseMessage answer = await http.GetAsync(new Uri(page, UriKind.Relative));
            Assert.DoesNotContain(Marker, await answer.Content.ReadAsStringAsync(), StringComparison.Ordinal);
        }

        server.Stop();
        Assert.Contains("invalid authentication was requested", server.Log, StringComparison.Ordinal);
        Assert.DoesNotContain(Marker, server.Log, StringComparison.Ordinal);
        byte[] marker = Encoding.ASCII.GetBytes(Marker);
        foreach (string file in Directory.EnumerateFiles(scratch["data"], "*", SearchOption.AllDirectories))
        {
            Assert.True(File.ReadAllBytes(file).AsSpan().IndexOf(marker) < 0, file);
        }
    }
}
