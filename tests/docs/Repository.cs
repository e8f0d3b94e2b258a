namespace Perf.Docs.Tests;

/// <summary>Where the documents and the built programs are.</summary>
internal static class Repository
{
    public static string Root { get; } = FindRoot();

    public static string Read(string file) => File.ReadAllText(Path.Combine(Root, file));

    /// <summary>A program's assembly, built in the same configuration as this test.</summary>
    public static string Assembly(string program)
    {
        var framework = new DirectoryInfo(AppContext.BaseDirectory.TrimEnd('/'));
        return Path.Combine(Root, "server", program, "bin", framework.Parent!.Name, framework.Name, program + ".dll");
    }

    /// <summary>Makes commands of these names in a directory that run our programs.</summary>
    public static void WriteCommands(string directory)
    {
        Directory.CreateDirectory(directory);
        foreach (string program in (string[])["etcd", "etcdctl", "etcdutl"])
        {
            string command = Path.Combine(directory, program);
            File.WriteAllText(command, $"#!/bin/sh\nexec dotnet '{Assembly(program)}' \"$@\"\n");
            File.SetUnixFileMode(
                command,
                UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute
                | UnixFileMode.GroupRead | UnixFileMode.GroupExecute | UnixFileMode.OtherRead | UnixFileMode.OtherExecute);
        }
    }

    private static string FindRoot()
    {
        string? directory = AppContext.BaseDirectory;
        while (directory is not null && !File.Exists(Path.Combine(directory, "Perf.sln")))
        {
            directory = Path.GetDirectoryName(directory);
        }

        return directory ?? throw new InvalidOperationException("The tests run outside the source tree.");
    }
}
