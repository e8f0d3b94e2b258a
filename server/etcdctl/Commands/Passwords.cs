using System.Diagnostics;
using System.Text;
using Perf.Etcdctl.CommandLine;
using Perf.Etcdctl.Text;

namespace Perf.Etcdctl.Commands;

/// <summary>Asks for passwords without showing them.</summary>
internal static class Passwords
{
    /// <summary>
    /// Shows a prompt and reads a line: from the controlling terminal with the echo off, or else from standard input.
    /// </summary>
    public static string Ask(Terminal terminal, string prompt)
    {
        if (terminal.MayAskTty && !Console.IsInputRedirected)
        {
            terminal.Error(prompt);
            Stty("-echo");
            try
            {
                return terminal.ReadLine() ?? "";
            }
            finally
            {
                Stty("echo");
                terminal.Error("\n");
            }
        }

        terminal.Write(prompt);
        terminal.Flush();
        string? line = terminal.ReadLine();
        terminal.WriteLine("");
        return line ?? "";
    }

    /// <summary>Asks twice for the new password of a user.</summary>
    public static string AskNew(Terminal terminal, string user)
    {
        string password = Ask(terminal, $"Password of {user}: ");
        if (password.Length == 0)
        {
            throw Invocation.BadArguments("empty password");
        }

        string again = Ask(terminal, $"Type password of {user} again for confirmation: ");
        return password == again ? password : throw Invocation.BadArguments("given passwords are different");
    }

    /// <summary>The first word of standard input, for --interactive=false.</summary>
    public static async Task<string> FromInputAsync(Terminal terminal)
    {
        string all = GoText.FromBytes(await terminal.ReadAllAsync().ConfigureAwait(false));
        int newline = all.IndexOf('\n', StringComparison.Ordinal);
        string line = newline < 0 ? all : all[..newline];
        string[] words = line.Split((char[]?)null, StringSplitOptions.RemoveEmptyEntries);
        return words.Length == 0 ? "" : words[0];
    }

    private static void Stty(string argument)
    {
        try
        {
            using Process? stty = Process.Start(new ProcessStartInfo("stty", argument)
            {
                RedirectStandardError = true,
                StandardErrorEncoding = Encoding.UTF8,
            });
            stty?.WaitForExit(1000);
        }
        catch (System.ComponentModel.Win32Exception)
        {
            // No stty: the password is shown while it is typed.
        }
    }
}
