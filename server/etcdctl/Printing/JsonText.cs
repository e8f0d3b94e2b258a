using System.Buffers.Text;
using System.Globalization;
using System.Text;
using Perf.Client;

namespace Perf.Etcdctl.Printing;

/// <summary>
/// Writes JSON as Go's encoding/json does: no blanks, bytes in base64, the characters &lt; &gt; and &amp; escaped, and
/// (unless told otherwise) fields with their zero value left out.
/// </summary>
internal sealed class JsonText
{
    private readonly StringBuilder _text = new();
    private readonly bool _decode;
    private bool _first = true;

    public JsonText(bool decode) => _decode = decode;

    public override string ToString() => _text.ToString();

    public JsonText Open(char bracket)
    {
        Separate();
        _text.Append(bracket);
        _first = true;
        return this;
    }

    public JsonText Close(char bracket)
    {
        _text.Append(bracket);
        _first = false;
        return this;
    }

    public JsonText Name(string name)
    {
        Separate();
        _text.Append('"').Append(name).Append("\":");
        _first = true;
        return this;
    }

    public JsonText Field(string name, ulong value, bool always = false) =>
        value == 0 && !always ? this : Name(name).Raw(value.ToString(CultureInfo.InvariantCulture));

    public JsonText Field(string name, long value, bool always = false) =>
        value == 0 && !always ? this : Name(name).Raw(value.ToString(CultureInfo.InvariantCulture));

    public JsonText Field(string name, bool value, bool always = false) =>
        !value && !always ? this : Name(name).Raw(value ? "true" : "false");

    public JsonText Field(string name, string value, bool always = false) =>
        value.Length == 0 && !always ? this : Name(name).String(value);

    public JsonText Field(string name, Bytes value) => value.IsEmpty ? this : Name(name).Bytes(value);

    public JsonText Field(string name, IReadOnlyList<string> values) =>
        values.Count == 0 ? this : Name(name).List(values, (json, value) => json.String(value));

    /// <summary>A list; <paramref name="write"/> writes one element.</summary>
    public JsonText List<T>(IReadOnlyList<T> items, Action<JsonText, T> write)
    {
        Open('[');
        foreach (T item in items)
        {
            write(this, item);
        }

        return Close(']');
    }

    public JsonText Raw(string value)
    {
        Separate();
        _text.Append(value);
        _first = false;
        return this;
    }

    /// <summary>Bytes as base64; with --decode as text when they are printable UTF-8.</summary>
    public JsonText Bytes(Bytes bytes)
    {
        if (_decode && Printable(bytes) is { } text)
        {
            return String(text);
        }

        return Raw('"' + Encoding.ASCII.GetString(EncodeBase64(bytes.Span)) + '"');
    }

    public JsonText String(string value)
    {
        Separate();
        _first = false;
        _text.Append('"');
        foreach (char c in value)
        {
            switch (c)
            {
                case '"':
                    _text.Append("\\\"");
                    break;
                case '\\':
                    _text.Append("\\\\");
                    break;
                case '\n':
                    _text.Append("\\n");
                    break;
                case '\r':
                    _text.Append("\\r");
                    break;
                case '\t':
                    _text.Append("\\t");
                    break;
                case < ' ' or '<' or '>' or '&' or '\u2028' or '\u2029':
                    _text.Append("\\u").Append(((int)c).ToString("x4", CultureInfo.InvariantCulture));
                    break;
                case >= '\uDC80' and <= '\uDCFF' when _text[^1] is not (>= '\uD800' and <= '\uDBFF'):
                    _text.Append("\\ufffd");
                    break;
                default:
                    _text.Append(c);
                    break;
            }
        }

        _text.Append('"');
        return this;
    }

    private static byte[] EncodeBase64(ReadOnlySpan<byte> bytes)
    {
        byte[] text = new byte[Base64.GetMaxEncodedToUtf8Length(bytes.Length)];
        Base64.EncodeToUtf8(bytes, text, out _, out _);
        return text;
    }

    private static string? Printable(Bytes bytes)
    {
        try
        {
            string text = new UTF8Encoding(false, throwOnInvalidBytes: true).GetString(bytes.Span);
            return text.Any(c => char.IsControl(c) && c is not ('\n' or '\r' or '\t')) ? null : text;
        }
        catch (DecoderFallbackException)
        {
            return null;
        }
    }

    private void Separate()
    {
        if (!_first)
        {
            _text.Append(',');
        }

        _first = true;
    }
}
