using Xunit;

namespace Perf.Store.Tests.Apply;

/// <summary>Directories written by real etcds; they lie beside the project, where they lie at all.</summary>
internal static class Fixtures
{
    /// <summary>The folder of archives, or null.</summary>
    public static readonly string? Folder = Find();

    private static string? Find()
    {
        for (var at = new DirectoryInfo(AppContext.BaseDirectory); at is not null; at = at.Parent)
        {
            string folder = Path.Combine(at.FullName, "shared", "fixtures");
            if (Directory.Exists(folder))
            {
                return folder;
            }
        }

        return null;
    }

    /// <summary>Unpacks an archive into a new temporary directory; the caller deletes it.</summary>
    public static string Unpack(string name)
    {
        string target = Directory.CreateTempSubdirectory("perf-fixture-").FullName;
        using var tar = System.Diagnostics.Process.Start("tar", ["xJf", Path.Combine(Folder!, name + ".tar.xz"), "-C", target]);
        tar.WaitForExit();
        Assert.Equal(0, tar.ExitCode);
        return Path.Combine(target, name);
    }

    /// <summary>The v2 JSON of a .snap file: snappb{1 crc, 2 data}, whose data is raftpb.Snapshot{1 data, ...}.</summary>
    public static byte[] V2JsonOf(string snapFile) => Field(Field(File.ReadAllBytes(snapFile), 2), 1);

    private static byte[] Field(byte[] message, int number)
    {
        var reader = new Perf.Store.Commands.ProtoReader(message);
        while (reader.Next())
        {
            if (reader.Field == number)
            {
                return reader.Bytes.ToArray();
            }
        }

        throw new InvalidDataException($"no field {number}");
    }
}

/// <summary>A theory about fixtures: skipped where there are none.</summary>
internal sealed class FixtureTheoryAttribute : TheoryAttribute
{
    public FixtureTheoryAttribute()
    {
        if (Fixtures.Folder is null && Environment.GetEnvironmentVariable("PERF_REQUIRE_INTEROP") != "1")
        {
            Skip = "no fixtures beside the project";
        }
    }
}
