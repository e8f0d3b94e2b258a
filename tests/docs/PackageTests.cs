using System.Diagnostics;
using System.Xml.Linq;
using Xunit;

namespace Perf.Docs.Tests;

/// <summary>
/// The Debian package, its unit and the image. Packed are small scripts that run this build's programs: what the real
/// ones are made of is build/publish's matter.
/// </summary>
public sealed class PackageTests
{
    private static readonly string Version = XDocument.Load(Path.Combine(Repository.Root, "Directory.Build.props"))
        .Descendants("Version").Single().Value;

    [Fact]
    public void The_package_installs_programs_that_run_and_a_unit_that_systemd_accepts()
    {
        string scratch = Directory.CreateTempSubdirectory("perf-deb").FullName;
        try
        {
            Repository.WriteCommands(Path.Combine(scratch, $"etcd-v{Version}-linux-amd64"));
            string package = Run(Path.Combine(Repository.Root, "build/deb"), scratch).Trim();
            Assert.Equal(Path.Combine(scratch, $"etcd-perf_{Version}_amd64.deb"), package);
            Assert.Equal(Version, Run("dpkg-deb", "--field", package, "Version").Trim());
            Assert.Contains("etcd-client", Run("dpkg-deb", "--field", package, "Conflicts"), StringComparison.Ordinal);

            string root = Path.Combine(scratch, "root");
            Run("dpkg-deb", "--extract", package, root);
            Assert.Contains($"etcd Version: {Version}", Run(Path.Combine(root, "usr/bin/etcd"), "--version"), StringComparison.Ordinal);
            Assert.Contains(
                $"etcdctl version: {Version}", Run(Path.Combine(root, "usr/bin/etcdctl"), "version"), StringComparison.Ordinal);
            Assert.True(File.Exists(Path.Combine(root, "etc/default/etcd")));
            Assert.True(File.Exists(Path.Combine(root, "usr/share/doc/etcd-perf/README.md")));

            string unit = Path.Combine(root, "lib/systemd/system/etcd.service");
            string text = File.ReadAllText(unit);
            Assert.Contains("Type=notify\n", text, StringComparison.Ordinal);
            if (File.Exists("/usr/bin/systemd-analyze"))
            {
                // Not installed here, so its program is where it was unpacked.
                File.WriteAllText(
                    unit, text.Replace("/usr/bin/etcd", Path.Combine(root, "usr/bin/etcd"), StringComparison.Ordinal));
                Run("systemd-analyze", "verify", "--man=no", "--recursive-errors=no", unit);
            }
        }
        finally
        {
            Directory.Delete(scratch, recursive: true);
        }
    }

    /// <summary>There is no image builder to ask here: every file the image takes is one that build/publish makes.</summary>
    [Fact]
    public void The_image_takes_what_the_release_holds()
    {
        string[] copied = [.. Repository.Read("build/Dockerfile").Split('\n')
            .Single(l => l.StartsWith("COPY ", StringComparison.Ordinal))
            .Split(' ')[1..^1]
            .Select(f => f.Replace("v*", $"v{Version}", StringComparison.Ordinal))];
        Assert.Equal(
            new[] { "etcd", "etcdctl", "etcdutl" }.Select(p => $"etcd-v{Version}-linux-amd64/{p}"), copied);
        Assert.Contains("for program in etcd etcdctl etcdutl", Repository.Read("build/publish"), StringComparison.Ordinal);
    }

    /// <summary>Standard output of a program that ends well.</summary>
    private static string Run(string program, params string[] arguments)
    {
        var start = new ProcessStartInfo(program, arguments) { RedirectStandardOutput = true, RedirectStandardError = true };
        using Process process = Process.Start(start)!;
        Task<string> errors = process.StandardError.ReadToEndAsync();
        string output = process.StandardOutput.ReadToEnd();
        process.WaitForExit();
        Assert.True(process.ExitCode == 0, $"{program} {string.Join(' ', arguments)}: {process.ExitCode}\n{output}{errors.Result}");
        return output;
    }
}
