using System.Globalization;
using System.Text;
using Microsoft.AspNetCore.Http;

namespace Perf.Rpc.Http.V2;

/// <summary>
/// A request's parameters by the rules of Go's net/http: those of the body before those of the URL, the first of
/// several wins, semicolons separate nothing.
/// </summary>
internal sealed class V2Form
{
    /// <summary>Go reads no more of a form.</summary>
    private const int BodyBytesMax = 10 << 20;

    private const string FormType = "application/x-www-form-urlencoded";

    private readonly Dictionary<string, string> _values = new(StringComparer.Ordinal);

    /// <summary>What is wrong with the form, as Go words it; null: nothing.</summary>
    public string? Fault { get; private set; }

    public static async Task<V2Form> ReadAsync(HttpRequest request, CancellationToken cancelled)
    {
        var form = new V2Form();
        if (HttpMethods.IsPost(request.Method) || HttpMethods.IsPut(request.Method))
        {
            string type = (request.ContentType ?? "").Split(';')[0].Trim();
            if (type.Equals(FormType, StringComparison.OrdinalIgnoreCase))
            {
                form.Add(await BodyAsync(request, cancelled).ConfigureAwait(false));
            }
            else if (type.Equals("multipart/form-data", StringComparison.OrdinalIgnoreCase))
            {
                IFormCollection parts = await request.ReadFormAsync(cancelled).ConfigureAwait(false);
                foreach ((string name, var values) in parts)
                {
                    form._values.TryAdd(name, values.ToString());
                }
            }
        }

        form.Add(request.QueryString.Value is { Length: > 1 } query ? query[1..] : "");
        return form;
    }

    /// <summary>An escape of a path or (with plus for blank) of a parameter undone; false: none of Go's.</summary>
    public static bool TryUnescape(string text, bool plusIsBlank, out string plain, out string fault)
    {
        fault = "";
        plain = text;
        if (text.AsSpan().IndexOfAny('%', '+') < 0)
        {
            return true;
        }

        byte[] source = Encoding.UTF8.GetBytes(text);
        var target = new List<byte>(source.Length);
        for (int i = 0; i < source.Length; i++)
        {
            if (source[i] == '%')
            {
                if (i + 2 >= source.Length || !char.IsAsciiHexDigit((char)source[i + 1]) || !char.IsAsciiHexDigit((char)source[i + 2]))
                {
                    string bad = Encoding.UTF8.GetString(source, i, Math.Min(3, source.Length - i));
                    fault = $"invalid URL escape \"{bad}\"";
                    return false;
                }

                target.Add(Convert.FromHexString(Encoding.ASCII.GetString(source, i + 1, 2))[0]);
                i += 2;
            }
            else
            {
                target.Add(plusIsBlank && source[i] == '+' ? (byte)' ' : source[i]);
            }
        }

        plain = Encoding.UTF8.GetString([.. target]);
        return true;
    }

    public bool Has(string name) => _values.ContainsKey(name);

    /// <summary>Empty when absent.</summary>
    public string Value(string name) => _values.GetValueOrDefault(name, "");

    /// <summary>0 when absent; false when it is no number.</summary>
    public bool TryNumber(string name, out ulong number)
    {
        number = 0;
        return !_values.TryGetValue(name, out string? text)
            || ulong.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out number);
    }

    /// <summary>False when absent; the result is false when it is no truth value of Go's.</summary>
    public bool TryTruth(string name, out bool truth)
    {
        truth = false;
        if (!_values.TryGetValue(name, out string? text))
        {
            return true;
        }

        truth = text is "1" or "t" or "T" or "TRUE" or "true" or "True";
        return truth || text is "0" or "f" or "F" or "FALSE" or "false" or "False";
    }

    private void Add(string query)
    {
        foreach (string part in query.Split('&'))
        {
            if (part.Contains(';', StringComparison.Ordinal))
            {
                Fault ??= "invalid semicolon separator in query";
                continue;
            }

            if (part.Length == 0)
            {
                continue;
            }

            int equals = part.IndexOf('=', StringComparison.Ordinal);
            string rawValue = equals < 0 ? "" : part[(equals + 1)..];
            if (TryUnescape(equals < 0 ? part : part[..equals], plusIsBlank: true, out string name, out string fault)
                && TryUnescape(rawValue, plusIsBlank: true, out string value, out fault))
            {
                _values.TryAdd(name, value);
            }
            else
            {
                Fault ??= fault;
            }
        }
    }

    private static async Task<string> BodyAsync(HttpRequest request, CancellationToken cancelled)
    {
        using var body = new MemoryStream();
        byte[] buffer = new byte[16 * 1024];
        int read;
        while ((read = await request.Body.ReadAsync(buffer, cancelled).ConfigureAwait(false)) > 0)
        {
            body.Write(buffer, 0, read);
            if (body.Length > BodyBytesMax)
            {
                throw new BadHttpRequestException("http: POST too large", StatusCodes.Status400BadRequest);
            }
        }

        return Encoding.UTF8.GetString(body.GetBuffer(), 0, (int)body.Length);
    }
}
