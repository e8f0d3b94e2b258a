using Perf.Node.Config;
using Perf.Node.Logging;
using Xunit;

namespace Perf.Node.Tests;

/// <summary>Settings read from texts, and what was logged of it.</summary>
internal static class Reading
{
    public static ConfigReading Line(params string[] arguments) =>
        ConfigReader.Read(arguments, new Dictionary<string, string>());

    public static ConfigReading Environment(params (string Name, string Value)[] variables) =>
        ConfigReader.Read([], variables.ToDictionary(v => v.Name, v => v.Value));

    public static ConfigReading File(string text, params string[] arguments)
    {
        string path = Path.GetTempFileName();
        try
        {
            System.IO.File.WriteAllText(path, text);
            return Line([.. arguments, "--config-file", path]);
        }
        finally
        {
            System.IO.File.Delete(path);
        }
    }

    public static ServerConfig Accepted(ConfigReading reading)
    {
        Assert.True(reading.ExitCode is null, string.Join('\n', Lines(reading)) + reading.Complaint);
        return reading.Config;
    }

    /// <summary>The reason of a refusal.</summary>
    public static string Refused(ConfigReading reading)
    {
        Assert.Equal(1, reading.ExitCode);
        string line = Lines(reading)[^1];
        Assert.Contains("failed to verify flags", line, StringComparison.Ordinal);
        using var json = System.Text.Json.JsonDocument.Parse(line);
        return json.RootElement.GetProperty("error").GetString()!;
    }

    public static List<string> Lines(ConfigReading reading)
    {
        var output = new KeptLines();
        var log = new Log(output, LogLevel.Debug, TimeProvider.System);
        foreach (ConfigNote note in reading.Notes)
        {
            note.WriteTo(log);
        }

        return output.Lines;
    }
}
