using System.Collections.Concurrent;
using System.Globalization;
using System.Text;
using System.Text.Encodings.Web;
using System.Text.Json;
using Google.Protobuf.Reflection;
using Perf.Store.Commands;

namespace Perf.Rpc.Http.Gateway;

/// <summary>
/// The bytes of a message as JSON in grpc-gateway's manner (SURFACE GW-03): the .proto's names, 64-bit numbers as text,
/// bytes as base64, enums by name, fields at their default left out.
/// </summary>
internal static class ProtoToJson
{
    /// <summary>How the writer has to be made.</summary>
    public static readonly JsonWriterOptions Options = new()
    {
        Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping,
        SkipValidation = true,
    };

    private static readonly ConcurrentDictionary<MessageDescriptor, Plan> Plans = new();

    /// <summary>Writes one object.</summary>
    public static void Write(ReadOnlySpan<byte> message, MessageDescriptor type, Utf8JsonWriter writer)
    {
        Plan plan = Plans.GetOrAdd(type, static t => new Plan(t));
        writer.WriteStartObject();

        // One pass a field: messages have few, and JSON wants the repeated ones together, in whatever order they came.
        foreach (PlanField field in plan.Fields)
        {
            Write(message, field, writer);
        }

        writer.WriteEndObject();
    }

    private static void Write(ReadOnlySpan<byte> message, PlanField field, Utf8JsonWriter writer)
    {
        bool opened = false;
        ulong number = 0;
        ReadOnlySpan<byte> bytes = default;
        bool found = false;
        var reader = new ProtoReader(message);
        while (reader.Next())
        {
            if (reader.Field != field.Number)
            {
                continue;
            }

            if (!field.IsRepeated)
            {
                found = true;
                if (reader.IsBytes)
                {
                    bytes = reader.Bytes;
                }
                else
                {
                    number = reader.UInt64;
                }

                continue;
            }

            if (!opened)
            {
                opened = true;
                writer.WriteStartArray(field.Name);
            }

            WriteElement(reader, field, writer);
        }

        if (opened)
        {
            writer.WriteEndArray();
        }
        else if (found && (field.KeepsDefault || number != 0 || !bytes.IsEmpty))
        {
            writer.WritePropertyName(field.Name);
            WriteValue(number, bytes, field, writer);
        }
    }

    private static void WriteElement(in ProtoReader reader, PlanField field, Utf8JsonWriter writer)
    {
        ProtoReader element = reader;
        if (!element.IsBytes)
        {
            WriteValue(element.UInt64, default, field, writer);
        }
        else if (field.Type is FieldType.Message or FieldType.Bytes or FieldType.String)
        {
            WriteValue(0, element.Bytes, field, writer);
        }
        else
        {
            WritePacked(element.Bytes, field, writer);
        }
    }

    private static void WritePacked(ReadOnlySpan<byte> bytes, PlanField field, Utf8JsonWriter writer)
    {
        ulong value = 0;
        int shift = 0;
        foreach (byte b in bytes)
        {
            value |= (ulong)(b & 0x7F) << shift;
            shift += 7;
            if (b < 0x80)
            {
                WriteValue(value, default, field, writer);
                value = 0;
                shift = 0;
            }
        }
    }

    private static void WriteValue(ulong number, ReadOnlySpan<byte> bytes, PlanField field, Utf8JsonWriter writer)
    {
        Span<char> digits = stackalloc char[20];
        int count;
        switch (field.Type)
        {
            case FieldType.Message:
                Write(bytes, field.Message!, writer);
                break;
            case FieldType.Bytes:
                writer.WriteBase64StringValue(bytes);
                break;
            case FieldType.String:
                writer.WriteStringValue(Encoding.UTF8.GetString(bytes));
                break;
            case FieldType.Bool:
                writer.WriteBooleanValue(number != 0);
                break;
            case FieldType.UInt32:
                writer.WriteNumberValue((uint)number);
                break;
            case FieldType.Int32:
                writer.WriteNumberValue((int)number);
                break;
            case FieldType.Enum:
                if (field.Enum!.FindValueByNumber((int)number) is { } value)
                {
                    writer.WriteStringValue(value.Name);
                }
                else
                {
                    writer.WriteNumberValue((int)number);
                }

                break;
            case FieldType.UInt64:
                number.TryFormat(digits, out count, default, CultureInfo.InvariantCulture);
                writer.WriteStringValue(digits[..count]);
                break;
            default:
                ((long)number).TryFormat(digits, out count, default, CultureInfo.InvariantCulture);
                writer.WriteStringValue(digits[..count]);
                break;
        }
    }

    private sealed class Plan(MessageDescriptor type)
    {
        public PlanField[] Fields { get; } = [.. type.Fields.InDeclarationOrder().Select(field => new PlanField(field))];
    }

    private sealed class PlanField(FieldDescriptor field)
    {
        public int Number { get; } = field.FieldNumber;

        public JsonEncodedText Name { get; } = JsonEncodedText.Encode(field.Name);

        public FieldType Type { get; } = field.FieldType;

        public bool IsRepeated { get; } = field.IsRepeated;

        /// <summary>Messages and members of a oneof say something by being there.</summary>
        public bool KeepsDefault { get; } = field.FieldType == FieldType.Message || field.ContainingOneof is not null;

        public MessageDescriptor? Message { get; } = field.FieldType == FieldType.Message ? field.MessageType : null;

        public EnumDescriptor? Enum { get; } = field.FieldType == FieldType.Enum ? field.EnumType : null;
    }
}
