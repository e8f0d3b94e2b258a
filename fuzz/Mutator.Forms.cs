using System.Text;
using System.Text.Json;
using System.Text.Json.Nodes;

namespace Perf.Fuzz;

// Changes that keep the form: what is behind the first check is reached by inputs that pass it.
internal sealed partial class Mutator
{
    /// <summary>So many of a hundred inputs keep their form.</summary>
    private const int FormPercent = 80;

    private static readonly ulong[] Numbers =
    [
        0, 1, 2, 127, 128, 255, 256, int.MaxValue, 1UL << 31, uint.MaxValue, 1UL << 32, long.MaxValue, 1UL << 63, ulong.MaxValue,
    ];

    private static readonly string[] Scalars =
    [
        "0", "1", "-1", "\"1\"", "\"-1\"", "1e3", "1.5", "9223372036854775807", "\"9223372036854775808\"", "18446744073709551615",
        "true", "false", "null", "\"\"", "\"YQ==\"", "\"YQ\"", "\"-_8=\"", "\"\\ud800\"", "\"\u00e4\"", "\"NONE\"", "\"GREATER\"", "[]", "{}",
        "[1,2]", "[{}]", "[[]]", "{\"key\":\"YQ==\"}",
    ];

    /// <summary>Fields of a protobuf message changed, left out, doubled, moved, taken from others; lengths fit.</summary>
    public byte[] Fields(IReadOnlyList<byte[]> corpus)
    {
        byte[] bytes = corpus[_random.Next(corpus.Count)];
        if (!Chance(FormPercent) || !TryFields(bytes, out List<Field> fields))
        {
            return Bytes(corpus);
        }

        for (int step = _random.Next(1, 4); step > 0; step--)
        {
            ChangeFields(fields, corpus, depth: 0);
        }

        return Join(fields);
    }

    /// <summary>Values of a JSON text changed, left out, renamed; it stays JSON.</summary>
    public byte[] Json(IReadOnlyList<byte[]> corpus)
    {
        byte[] bytes = corpus[_random.Next(corpus.Count)];
        if (!Chance(FormPercent))
        {
            return Bytes(corpus);
        }

        try
        {
            JsonNode? root = JsonNode.Parse(bytes);
            for (int step = _random.Next(1, 4); step > 0; step--)
            {
                ChangeNode(root, corpus);
            }

            return root is null ? Bytes(corpus) : Encoding.UTF8.GetBytes(root.ToJsonString());
        }
        catch (Exception e) when (e is JsonException or ArgumentException or InvalidOperationException)
        {
            return Bytes(corpus);
        }
    }

    /// <summary>Whole lines moved, doubled, left out, mixed; sometimes bytes within one.</summary>
    public byte[] Lines(IReadOnlyList<byte[]> corpus)
    {
        if (!Chance(FormPercent))
        {
            return Bytes(corpus);
        }

        List<byte[]> lines = SplitLines(corpus[_random.Next(corpus.Count)]);
        List<byte[]> others = SplitLines(corpus[_random.Next(corpus.Count)]);
        for (int step = _random.Next(1, 4); step > 0; step--)
        {
            int at = _random.Next(lines.Count + 1);
            switch (_random.Next(4))
            {
                case 0 when at < lines.Count && lines.Count > 1:
                    lines.RemoveAt(at);
                    break;
                case 1 when at < lines.Count:
                    lines[at] = Step(lines[at], corpus);
                    break;
                default:
                    lines.Insert(at, others[_random.Next(others.Count)]);
                    break;
            }
        }

        return [.. lines.SelectMany((line, i) => i == 0 ? line : [(byte)'\n', .. line])];
    }

    private static List<byte[]> SplitLines(byte[] text) =>
        [.. Encoding.Latin1.GetString(text).Split('\n').Select(Encoding.Latin1.GetBytes)];

    private void ChangeFields(List<Field> fields, IReadOnlyList<byte[]> corpus, int depth)
    {
        int at = _random.Next(fields.Count + 1);
        switch (_random.Next(8))
        {
            case 0 when at < fields.Count:
                fields.RemoveAt(at);
                break;
            case 1 when at < fields.Count:
                fields.Insert(_random.Next(fields.Count + 1), fields[at]);
                break;
            case 2 when at < fields.Count:
                int other = _random.Next(fields.Count);
                (fields[at], fields[other]) = (fields[other], fields[at]);
                break;
            case 3 when TryFields(corpus[_random.Next(corpus.Count)], out List<Field> others) && others.Count > 0:
                fields.Insert(at, others[_random.Next(others.Count)]);
                break;
            case 4:
                fields.Insert(at, new Field((_random.Next(1, 20) << 3) | 0, Varint(Number())));
                break;
            default:
                if (at < fields.Count)
                {
                    fields[at] = ChangeField(fields[at], corpus, depth);
                }

                break;
        }
    }

    private Field ChangeField(Field field, IReadOnlyList<byte[]> corpus, int depth)
    {
        switch (field.Tag & 7)
        {
            case 0:
                return field with { Content = Varint(Number()) };
            case 2 when depth < 6 && field.Content.Length > 1 && Chance(70) && TryFields(field.Content, out List<Field> inner):
                ChangeFields(inner, corpus, depth + 1);
                return field with { Content = Join(inner) };
            case 2:
                return field with { Content = Step(field.Content, corpus) };
            default:
                byte[] same = [.. field.Content];
                same[_random.Next(same.Length)] = (byte)_random.Next(256);
                return field with { Content = same };
        }
    }

    private ulong Number() => Chance(50) ? Numbers[_random.Next(Numbers.Length)] : (ulong)_random.NextInt64() >> _random.Next(64);

    private void ChangeNode(JsonNode? root, IReadOnlyList<byte[]> corpus)
    {
        JsonNode? node = root;
        while (true)
        {
            switch (node)
            {
                case JsonObject { Count: > 0 } map:
                    string name = map.ElementAt(_random.Next(map.Count)).Key;
                    if (map[name] is JsonObject or JsonArray && Chance(70))
                    {
                        node = map[name];
                        continue;
                    }

                    if (Chance(15))
                    {
                        map.Remove(name);
                    }
                    else if (Chance(15) && JsonNode.Parse(corpus[_random.Next(corpus.Count)]) is JsonObject { Count: > 0 } other)
                    {
                        (string added, JsonNode? value) = other.ElementAt(_random.Next(other.Count));
                        map[added] = value?.DeepClone();
                    }
                    else
                    {
                        map[name] = Scalar(map[name]);
                    }

                    return;
                case JsonArray { Count: > 0 } list:
                    int at = _random.Next(list.Count);
                    if (list[at] is JsonObject or JsonArray && Chance(70))
                    {
                        node = list[at];
                        continue;
                    }

                    if (Chance(30))
                    {
                        list.Add(list[at]?.DeepClone());
                    }
                    else
                    {
                        list[at] = Scalar(list[at]);
                    }

                    return;
                default:
                    return;
            }
        }
    }

    /// <summary>Another value; mostly of the same kind, since most readers look at that first.</summary>
    private JsonNode? Scalar(JsonNode? old)
    {
        bool keepsKind = Chance(70);
        JsonNode? value = null;
        for (int attempt = 0; attempt < 20; attempt++)
        {
            value = JsonNode.Parse(Scalars[_random.Next(Scalars.Length)]);
            if (!keepsKind || value?.GetValueKind() == old?.GetValueKind())
            {
                break;
            }
        }

        return value;
    }

    private static bool TryFields(byte[] bytes, out List<Field> fields)
    {
        fields = [];
        int at = 0;
        while (at < bytes.Length)
        {
            if (!TryVarint(bytes, ref at, out ulong tag) || tag > int.MaxValue || tag < 8)
            {
                return false;
            }

            int start = at;
            switch (tag & 7)
            {
                case 0 when TryVarint(bytes, ref at, out _):
                    break;
                case 1:
                    at += 8;
                    break;
                case 5:
                    at += 4;
                    break;
                case 2 when TryVarint(bytes, ref at, out ulong length) && length <= (ulong)(bytes.Length - at):
                    start = at;
                    at += (int)length;
                    break;
                default:
                    return false;
            }

            if (at > bytes.Length)
            {
                return false;
            }

            fields.Add(new Field((int)tag, bytes[start..at]));
        }

        return true;
    }

    private static byte[] Join(List<Field> fields)
    {
        var bytes = new List<byte>();
        foreach (Field field in fields)
        {
            bytes.AddRange(Varint((ulong)field.Tag));
            if ((field.Tag & 7) == 2)
            {
                bytes.AddRange(Varint((ulong)field.Content.Length));
            }

            bytes.AddRange(field.Content);
        }

        return [.. bytes];
    }

    private static bool TryVarint(byte[] bytes, ref int at, out ulong value)
    {
        value = 0;
        for (int shift = 0; shift < 64 && at < bytes.Length; shift += 7)
        {
            byte b = bytes[at++];
            value |= (ulong)(b & 0x7f) << shift;
            if (b < 0x80)
            {
                return true;
            }
        }

        return false;
    }

    private static byte[] Varint(ulong value)
    {
        var bytes = new List<byte>();
        for (; value >= 0x80; value >>= 7)
        {
            bytes.Add((byte)(value | 0x80));
        }

        bytes.Add((byte)value);
        return [.. bytes];
    }

    /// <summary>A field's tag and what follows it, without the length.</summary>
    private readonly record struct Field(int Tag, byte[] Content);
}
