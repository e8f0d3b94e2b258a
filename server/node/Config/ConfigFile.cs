using System.Globalization;
using YamlDotNet.Core;
using YamlDotNet.RepresentationModel;

namespace Perf.Node.Config;

/// <summary>The configuration file: YAML, of which JSON is a part. Keys are the flags' names but for the sections.</summary>
internal static class ConfigFile
{
    private const long NanosPerTick = 100;

    /// <summary>Sets what the file says; keys that nobody knows are passed over. Throws <see cref="ConfigException"/>.</summary>
    public static void Read(string path, ServerConfig config, Dictionary<string, string> given)
    {
        string text;
        try
        {
            text = File.ReadAllText(path);
        }
        catch (Exception e) when (e is FileNotFoundException or DirectoryNotFoundException)
        {
            throw new ConfigException($"open {path}: no such file or directory");
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new ConfigException($"open {path}: {e.Message}");
        }

        var stream = new YamlStream();
        try
        {
            using var reader = new StringReader(text);
            stream.Load(reader);
        }
        catch (YamlException e)
        {
            throw new ConfigException($"error converting YAML to JSON: yaml: line {e.Start.Line}: {e.Message}");
        }
        catch (Exception e) when (e is InvalidOperationException or ArgumentException)
        {
            // How the reader refuses some documents that it has lost its place in.
            throw new ConfigException($"error converting YAML to JSON: yaml: {e.Message}");
        }

        if (stream.Documents.Count == 0 || IsNull(stream.Documents[0].RootNode))
        {
            return;
        }

        if (stream.Documents[0].RootNode is not YamlMappingNode root)
        {
            throw new ConfigException($"{path}: the file is not a list of settings");
        }

        ReadSection(root, "", config, given);
    }

    private static void ReadSection(
        YamlMappingNode section, string prefix, ServerConfig config, Dictionary<string, string> given)
    {
        foreach ((YamlNode keyNode, YamlNode value) in section.Children)
        {
            string key = prefix + ((keyNode as YamlScalarNode)?.Value ?? "");
            if (IsNull(value))
            {
                continue;
            }

            if (FlagTable.FindInFile(key) is { } flag)
            {
                Set(flag, key, value, config, given);
            }
            else if (value is YamlMappingNode inner)
            {
                ReadSection(inner, key + ".", config, given);
            }
        }
    }

    private static void Set(
        Flag flag, string key, YamlNode node, ServerConfig config, Dictionary<string, string> given)
    {
        string value = flag.Kind switch
        {
            FlagKind.Switch => Boolean(key, node),
            FlagKind.Number => Number(key, node),
            FlagKind.Duration => Duration(key, node),
            FlagKind.List => List(key, node),
            _ => Scalar(key, node, "string").Value ?? "",
        };
        if (value.Length == 0 && flag.EmptyKeepsDefault)
        {
            return;
        }

        try
        {
            flag.Set(config, value);
        }
        catch (FormatException e)
        {
            throw new ConfigException($"unexpected error setting up {key}: {e.Message}");
        }

        given[flag.Name] = value;
    }

    private static YamlScalarNode Scalar(string key, YamlNode node, string wanted) =>
        node as YamlScalarNode ?? throw WrongKind(key, node, wanted);

    /// <summary>The old booleans of YAML 1.1 among them, as etcd's parser has them.</summary>
    private static string Boolean(string key, YamlNode node)
    {
        YamlScalarNode scalar = Scalar(key, node, "bool");
        string? value = scalar.Style == ScalarStyle.Plain ? scalar.Value!.ToUpperInvariant() : null;
        return value switch
        {
            "TRUE" or "YES" or "ON" or "Y" => "true",
            "FALSE" or "NO" or "OFF" or "N" => "false",
            _ => throw WrongKind(key, node, "bool"),
        };
    }

    private static string Number(string key, YamlNode node)
    {
        YamlScalarNode scalar = Scalar(key, node, "number");
        return scalar.Style == ScalarStyle.Plain ? scalar.Value! : throw WrongKind(key, node, "number");
    }

    /// <summary>Durations stand in files as nanoseconds.</summary>
    private static string Duration(string key, YamlNode node)
    {
        string text = Number(key, node);
        return long.TryParse(text, NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out long nanos)
            ? GoDuration.Format(TimeSpan.FromTicks(nanos / NanosPerTick))
            : throw WrongKind(key, node, "duration in nanoseconds");
    }

    private static string List(string key, YamlNode node) =>
        node is YamlSequenceNode sequence
            ? string.Join(',', sequence.Children.Select(item => Scalar(key, item, "string").Value))
            : throw WrongKind(key, node, "list");

    private static bool IsNull(YamlNode node) =>
        node is YamlScalarNode { Style: ScalarStyle.Plain, Value: null or "" or "~" or "null" or "Null" or "NULL" };

    private static ConfigException WrongKind(string key, YamlNode node, string wanted)
    {
        string found = node switch
        {
            YamlScalarNode scalar => GoText.Quote(scalar.Value ?? ""),
            YamlSequenceNode => "a list",
            _ => "a section",
        };
        return new ConfigException($"error unmarshaling: line {node.Start.Line}: {key} must be a {wanted}, not {found}");
    }
}
