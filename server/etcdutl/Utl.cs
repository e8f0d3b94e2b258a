using Perf.Engine;
using Perf.Engine.IO;
using Perf.Etcdutl.CommandLine;
using Perf.Etcdutl.Commands;
using Perf.Node.Cluster;

namespace Perf.Etcdutl;

/// <summary>etcdutl: looks at, restores and mends the files of a member that is not running.</summary>
internal static class Utl
{
    public const string Version = "3.5.33";
    public const string ApiVersion = "3.5";

    /// <summary>Runs one command line; returns the exit code. On a person's screen, long works show how far they are.</summary>
    public static int Run(IReadOnlyList<string> arguments, TextWriter output, TextWriter error, bool errorIsScreen = false)
    {
        try
        {
            return Runner.Run(CommandTree.New(), arguments, output, error, errorIsScreen);
        }
        catch (ExitException e)
        {
            if (e.Message.Length > 0)
            {
                error.Write("Error: " + e.Message + "\n");
            }

            return e.Code;
        }
        catch (Exception e) when (IsOfTheWorld(e))
        {
            error.Write("Error: " + e.Message + "\n");
            return ExitCode.Error;
        }
        finally
        {
            output.Flush();
            error.Flush();
        }
    }

    /// <summary>Damaged or missing files, and what the operator asked for in vain; anything else is our fault.</summary>
    internal static bool IsOfTheWorld(Exception e) => e is IOException or UnauthorizedAccessException
        or CorruptionException or InvalidDataException or StartRefusedException or FormatException;

    internal static IDisk Disk => FileDisk.Instance;
}

/// <summary>etcd's exit codes.</summary>
internal static class ExitCode
{
    public const int Success = 0;
    public const int Error = 1;
    public const int BadFeature = 127;
    public const int BadArguments = 128;
}

/// <summary>Ends the command with a code; an empty message prints nothing.</summary>
internal sealed class ExitException(int code, string message) : Exception(message)
{
    public int Code { get; } = code;
}
