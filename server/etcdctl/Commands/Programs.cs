using System.Diagnostics;
using Perf.Etcdctl.CommandLine;

namespace Perf.Etcdctl.Commands;

/// <summary>Runs other programs on behalf of watch, lock and snapshot; their output joins ours.</summary>
internal static class Programs
{
    /// <summary>Returns the program's exit code. Throws when there is no such program.</summary>
    public static async Task<int> RunAsync(
        Terminal terminal, IReadOnlyList<string> words, IReadOnlyDictionary<string, string> variables)
    {
        var start = new ProcessStartInfo(OnPath(words[0]))
        {
            RedirectStandardOutput = !terminal.IsProcess,
            RedirectStandardError = !terminal.IsProcess,
            RedirectStandardInput = true,
        };
        foreach (string word in words.Skip(1))
        {
            start.ArgumentList.Add(word);
        }

        foreach ((string name, string value) in variables)
        {
            start.Environment[name] = value;
        }

        terminal.Flush();
        using Process process = Process.Start(start)!;
        process.StandardInput.Close();
        if (!terminal.IsProcess)
        {
            Task output = CopyAsync(process.StandardOutput.BaseStream, terminal.Write);
            Task errors = CopyAsync(process.StandardError.BaseStream, terminal.Error);
            await Task.WhenAll(output, errors).ConfigureAwait(false);
        }

        await process.WaitForExitAsync().ConfigureAwait(false);
        terminal.Flush();
        return process.ExitCode;
    }

    /// <summary>
    /// The program as a shell finds it. Left to itself the runtime looks in the current directory first, and would run
    /// what somebody else has put there.
    /// </summary>
    private static string OnPath(string name)
    {
        if (name.Contains('/', StringComparison.Ordinal))
        {
            return name;
        }

        string path = Environment.GetEnvironmentVariable("PATH") ?? "";
        return path.Split(':', StringSplitOptions.RemoveEmptyEntries)
            .Where(Path.IsPathRooted)
            .Select(directory => Path.Combine(directory, name))
            .FirstOrDefault(IsProgram)
            ?? throw new System.ComponentModel.Win32Exception(2, $"exec: \"{name}\": executable file not found in $PATH");
    }

    private static bool IsProgram(string path) => File.Exists(path) && (OperatingSystem.IsWindows()
        || (File.GetUnixFileMode(path) & (UnixFileMode.UserExecute | UnixFileMode.GroupExecute | UnixFileMode.OtherExecute)) != 0);

    private static async Task CopyAsync(Stream source, ActionOfBytes write)
    {
        byte[] buffer = new byte[8192];
        int count;
        while ((count = await source.ReadAsync(buffer).ConfigureAwait(false)) > 0)
        {
            write(buffer.AsSpan(0, count));
        }
    }

    private delegate void ActionOfBytes(ReadOnlySpan<byte> bytes);
}
