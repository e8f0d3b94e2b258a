using System.Buffers;
using System.Buffers.Text;
using System.Collections.Concurrent;
using System.Globalization;
using System.Text;
using System.Text.Json;
using Google.Protobuf.Reflection;
using Perf.Store.Commands;

namespace Perf.Rpc.Http.Gateway;

/// <summary>
/// A JSON object straight to the bytes of a message, without the message between them: field names as in the .proto or
/// in lowerCamel, 64-bit numbers as numbers or text, bytes as base64 of either alphabet, enums by name or number.
/// Unknown fields are left out, as grpc-gateway does it.
/// </summary>
internal static class JsonToProto
{
    /// <summary>Deeper nesting is refused (RELIABILITY 3).</summary>
    private const int DepthMax = 64;

    private static readonly ConcurrentDictionary<MessageDescriptor, Dictionary<string, FieldDescriptor>> Fields = new();

    /// <summary>Writes the message a JSON value stands for. Throws <see cref="JsonError"/>.</summary>
    public static void Convert(ReadOnlySpan<byte> json, MessageDescriptor type, ProtoBuffer target)
    {
        try
        {
            var reader = new Utf8JsonReader(
                json, new JsonReaderOptions { MaxDepth = DepthMax, AllowTrailingCommas = false });
            if (!reader.Read())
            {
                throw new JsonError("unexpected EOF");
            }

            Message(ref reader, type, target);
        }
        catch (JsonException e)
        {
            throw new JsonError(e.Message);
        }
        catch (InvalidOperationException)
        {
            // What the reader says of half a surrogate pair, when the text is asked for.
            throw new JsonError("invalid UTF-16 in string literal");
        }
    }

    private static void Message(ref Utf8JsonReader reader, MessageDescriptor type, ProtoBuffer target)
    {
        if (reader.TokenType != JsonTokenType.StartObject)
        {
            throw new JsonError($"json: cannot unmarshal {Kind(reader.TokenType)} into Go value of type {type.FullName}");
        }

        Dictionary<string, FieldDescriptor> fields = Fields.GetOrAdd(type, ByName);
        while (reader.Read() && reader.TokenType == JsonTokenType.PropertyName)
        {
            string name = reader.GetString()!;
            reader.Read();
            if (!fields.TryGetValue(name, out FieldDescriptor? field) || reader.TokenType == JsonTokenType.Null)
            {
                reader.Skip();
            }
            else if (!field.IsRepeated)
            {
                Value(ref reader, field, target);
            }
            else if (reader.TokenType != JsonTokenType.StartArray)
            {
                throw new JsonError($"json: cannot unmarshal {Kind(reader.TokenType)} into Go value of type []json.RawMessage");
            }
            else
            {
                while (reader.Read() && reader.TokenType != JsonTokenType.EndArray)
                {
                    Value(ref reader, field, target);
                }
            }
        }
    }

    private static Dictionary<string, FieldDescriptor> ByName(MessageDescriptor type)
    {
        var fields = new Dictionary<string, FieldDescriptor>(StringComparer.Ordinal);
        foreach (FieldDescriptor field in type.Fields.InDeclarationOrder())
        {
            fields[field.JsonName] = field;
            fields[field.Name] = field;
        }

        return fields;
    }

    private static void Value(ref Utf8JsonReader reader, FieldDescriptor field, ProtoBuffer target)
    {
        int number = field.FieldNumber;
        switch (field.FieldType)
        {
            case FieldType.Message:
                int start = target.BeginMessage(number);
                Message(ref reader, field.MessageType, target);
                target.EndMessage(start);
                break;
            case FieldType.Bytes:
                Bytes(ref reader, number, target);
                break;
            case FieldType.String:
                if (reader.TokenType != JsonTokenType.String)
                {
                    throw Mismatch(reader.TokenType, "string");
                }

                target.Message(number, Encoding.UTF8.GetBytes(reader.GetString()!));
                break;
            case FieldType.Bool:
                if (reader.TokenType is not (JsonTokenType.True or JsonTokenType.False))
                {
                    throw Mismatch(reader.TokenType, "bool");
                }

                Varint(number, reader.GetBoolean() ? 1UL : 0, field, target);
                break;
            case FieldType.Enum:
                Varint(number, (ulong)(long)EnumNumber(ref reader, field.EnumType), field, target);
                break;
            case FieldType.UInt64:
                Varint(number, Unsigned(ref reader, ulong.MaxValue, "uint64"), field, target);
                break;
            case FieldType.UInt32:
                Varint(number, Unsigned(ref reader, uint.MaxValue, "uint32"), field, target);
                break;
            case FieldType.Int64:
                Varint(number, (ulong)Signed(ref reader, long.MinValue, long.MaxValue, "int64"), field, target);
                break;
            default:
                Varint(number, (ulong)Signed(ref reader, int.MinValue, int.MaxValue, "int32"), field, target);
                break;
        }
    }

    /// <summary>A zero is written only where its presence means something: in a oneof, in a list.</summary>
    private static void Varint(int number, ulong value, FieldDescriptor field, ProtoBuffer target)
    {
        if (value != 0)
        {
            target.UInt64(number, value);
        }
        else if (field.ContainingOneof is not null || field.IsRepeated)
        {
            Span<byte> tag = target.GetSpan(6);
            uint rest = (uint)number << 3;
            int at = 0;
            while (rest >= 0x80)
            {
                tag[at++] = (byte)(rest | 0x80);
                rest >>= 7;
            }

            tag[at++] = (byte)rest;
            tag[at++] = 0;
            target.Advance(at);
        }
    }

    private static ulong Unsigned(ref Utf8JsonReader reader, ulong max, string type) =>
        Utf8Parser.TryParse(Digits(ref reader, type), out ulong value, out int used) && used == Digits(ref reader, type).Length
            && value <= max
            ? value
            : throw Mismatch(reader.TokenType, type);

    private static long Signed(ref Utf8JsonReader reader, long min, long max, string type) =>
        Utf8Parser.TryParse(Digits(ref reader, type), out long value, out int used) && used == Digits(ref reader, type).Length
            && value >= min && value <= max
            ? value
            : throw Mismatch(reader.TokenType, type);

    /// <summary>The text of a number, in quotes or not.</summary>
    private static ReadOnlySpan<byte> Digits(ref Utf8JsonReader reader, string type) =>
        reader.TokenType is not (JsonTokenType.Number or JsonTokenType.String)
            ? throw Mismatch(reader.TokenType, type)
            : reader.HasValueSequence || reader.ValueIsEscaped ? throw Mismatch(reader.TokenType, type)
            : reader.ValueSpan;

    private static int EnumNumber(ref Utf8JsonReader reader, EnumDescriptor type)
    {
        if (reader.TokenType == JsonTokenType.Number)
        {
            return (int)Signed(ref reader, int.MinValue, int.MaxValue, "int32");
        }

        if (reader.TokenType != JsonTokenType.String)
        {
            throw Mismatch(reader.TokenType, type.FullName);
        }

        string name = reader.GetString()!;
        return type.FindValueByName(name) is { } value ? value.Number
            : int.TryParse(name, NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out int number) ? number
            : throw new JsonError($"unknown value \"{name}\" for enum {type.FullName}");
    }

    private static void Bytes(ref Utf8JsonReader reader, int number, ProtoBuffer target)
    {
        if (reader.TokenType != JsonTokenType.String)
        {
            throw Mismatch(reader.TokenType, "[]uint8");
        }

        byte[] rented = ArrayPool<byte>.Shared.Rent(Math.Max(1, reader.ValueSpan.Length));
        int length = reader.CopyString(rented);
        Span<byte> text = rented.AsSpan(0, length);
        text.Replace((byte)'-', (byte)'+');
        text.Replace((byte)'_', (byte)'/');
        if (Base64.DecodeFromUtf8InPlace(text, out int written) != OperationStatus.Done)
        {
            // The decoder has worked on the text itself: read it anew to say where it goes wrong.
            length = reader.CopyString(rented);
            int at = Base64Fault.Find(rented.AsSpan(0, length));
            ArrayPool<byte>.Shared.Return(rented);
            throw new JsonError($"illegal base64 data at input byte {at}");
        }

        // Also when empty: in a oneof, as a compare's value, it is there.
        target.Message(number, text[..written]);
        ArrayPool<byte>.Shared.Return(rented);
    }

    private static JsonError Mismatch(JsonTokenType found, string type) =>
        new($"json: cannot unmarshal {Kind(found)} into Go value of type {type}");

    private static string Kind(JsonTokenType token) => token switch
    {
        JsonTokenType.StartObject => "object",
        JsonTokenType.StartArray => "array",
        JsonTokenType.Number => "number",
        JsonTokenType.True or JsonTokenType.False => "bool",
        _ => "string",
    };
}
