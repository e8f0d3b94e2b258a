using System.Text.Json;
using Perf.Node.Config;

namespace Perf.Node.Logging;

/// <summary>When a log file is put aside, and what becomes of it (--log-rotation-config-json).</summary>
internal sealed record LogRotation
{
    private const int BytesPerMegabyte = 1 << 20;
    private const int DefaultMegabytes = 100;

    public long FileBytesMax { get; init; } = (long)DefaultMegabytes * BytesPerMegabyte;

    /// <summary>Zero keeps files of any age.</summary>
    public int DaysMax { get; init; }

    /// <summary>Zero keeps all.</summary>
    public int BackupsMax { get; init; }

    /// <summary>Names of files put aside carry local time instead of UTC.</summary>
    public bool LocalTime { get; init; }

    public bool Compress { get; init; }

    /// <summary>Throws <see cref="ConfigException"/>.</summary>
    public static LogRotation Parse(string json)
    {
        try
        {
            using JsonDocument document = JsonDocument.Parse(json);
            if (document.RootElement.ValueKind != JsonValueKind.Object)
            {
                throw new ConfigException("invalid log rotation config: an object is expected");
            }

            int megabytes = DefaultMegabytes;
            var rotation = new LogRotation();
            foreach (JsonProperty property in document.RootElement.EnumerateObject())
            {
                JsonElement value = property.Value;
                switch (property.Name.ToUpperInvariant())
                {
                    case "MAXSIZE":
                        megabytes = value.GetInt32();
                        break;
                    case "MAXAGE":
                        rotation = rotation with { DaysMax = value.GetInt32() };
                        break;
                    case "MAXBACKUPS":
                        rotation = rotation with { BackupsMax = value.GetInt32() };
                        break;
                    case "LOCALTIME":
                        rotation = rotation with { LocalTime = value.GetBoolean() };
                        break;
                    case "COMPRESS":
                        rotation = rotation with { Compress = value.GetBoolean() };
                        break;
                    default:
                        break;
                }
            }

            megabytes = megabytes > 0 ? megabytes : DefaultMegabytes;
            return rotation with { FileBytesMax = (long)megabytes * BytesPerMegabyte };
        }
        catch (JsonException e)
        {
            throw new ConfigException($"improperly formatted log rotation config: {e.Message}");
        }
        catch (Exception e) when (e is InvalidOperationException or FormatException)
        {
            throw new ConfigException($"invalid log rotation config: {e.Message}");
        }
    }
}
