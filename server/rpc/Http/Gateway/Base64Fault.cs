namespace Perf.Rpc.Http.Gateway;

/// <summary>Where base64 text breaks, counted as Go's decoder counts it: clients see the number (SURFACE GW-09).</summary>
internal static class Base64Fault
{
    /// <summary>The offset for the message; only for text that does not decode.</summary>
    public static int Find(ReadOnlySpan<byte> text)
    {
        int inQuantum = 0;
        for (int at = 0; at < text.Length; at++)
        {
            byte b = text[at];
            if (b is (byte)'\r' or (byte)'\n')
            {
                continue;
            }

            if (b == (byte)'=')
            {
                return Padding(text, at, inQuantum);
            }

            if (!IsLetter(b))
            {
                return at;
            }

            inQuantum = (inQuantum + 1) % 4;
        }

        // Cut short: Go names the beginning of the broken group of four.
        return text.Length - inQuantum;
    }

    private static int Padding(ReadOnlySpan<byte> text, int at, int inQuantum)
    {
        if (inQuantum < 2)
        {
            return at;
        }

        if (inQuantum == 3)
        {
            return at + 1;
        }

        return at + 1 == text.Length ? text.Length : text[at + 1] != (byte)'=' ? at + 1 : at + 2;
    }

    private static bool IsLetter(byte b) =>
        char.IsAsciiLetterOrDigit((char)b) || b is (byte)'+' or (byte)'/' or (byte)'-' or (byte)'_';
}
