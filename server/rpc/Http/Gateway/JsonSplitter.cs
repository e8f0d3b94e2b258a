using System.Buffers;
using System.IO.Pipelines;

namespace Perf.Rpc.Http.Gateway;

/// <summary>Takes one JSON value after the other from a body, however it arrives.</summary>
internal sealed class JsonSplitter(PipeReader body, int bytesMax)
{
    /// <summary>The next value, copied; null at the end of the body. Throws <see cref="JsonError"/>.</summary>
    public async ValueTask<byte[]?> NextAsync(CancellationToken cancelled)
    {
        while (true)
        {
            ReadResult read = await body.ReadAsync(cancelled).ConfigureAwait(false);
            ReadOnlySequence<byte> buffer = read.Buffer;
            string? fault = Fault(buffer);
            if (fault is not null)
            {
                // Read as far as it came: the connection serves the next request.
                body.AdvanceTo(buffer.End);
                throw new JsonError(fault);
            }

            if (TryTake(buffer, out byte[]? value, out SequencePosition behind))
            {
                body.AdvanceTo(behind);
                return value;
            }

            if (buffer.Length > bytesMax)
            {
                body.AdvanceTo(buffer.End);
                throw new JsonError("http: request body too large");
            }

            if (read.IsCompleted)
            {
                bool blank = IsBlank(buffer);
                body.AdvanceTo(buffer.End);
                return blank ? null : throw new JsonError("unexpected EOF");
            }

            body.AdvanceTo(buffer.Start, buffer.End);
        }
    }

    /// <summary>Why what begins here is no object; null when it is one or has not begun.</summary>
    private static string? Fault(in ReadOnlySequence<byte> buffer)
    {
        var reader = new SequenceReader<byte>(buffer);
        reader.AdvancePastAny((byte)' ', (byte)'\t', (byte)'\r', (byte)'\n');
        if (!reader.TryPeek(out byte first) || first == (byte)'{')
        {
            return null;
        }

        return first is (byte)'[' or (byte)'"' || char.IsAsciiDigit((char)first)
            ? "json: cannot unmarshal value into Go value of type map[string]json.RawMessage"
            : $"invalid character '{(char)first}' looking for beginning of value";
    }

    private static bool TryTake(in ReadOnlySequence<byte> buffer, out byte[]? value, out SequencePosition behind)
    {
        value = null;
        behind = buffer.End;
        var reader = new SequenceReader<byte>(buffer);
        reader.AdvancePastAny((byte)' ', (byte)'\t', (byte)'\r', (byte)'\n');
        if (reader.End)
        {
            return false;
        }

        SequencePosition start = reader.Position;
        int depth = 0;
        while (reader.TryRead(out byte b))
        {
            switch (b)
            {
                case (byte)'{' or (byte)'[':
                    depth++;
                    break;
                case (byte)'}' or (byte)']' when --depth == 0:
                    behind = reader.Position;
                    value = buffer.Slice(start, behind).ToArray();
                    return true;
                case (byte)'"' when !SkipText(ref reader):
                    return false;
            }
        }

        return false;
    }

    /// <summary>To behind the closing quote; false when it has not come yet.</summary>
    private static bool SkipText(ref SequenceReader<byte> reader)
    {
        while (reader.TryAdvanceToAny("\"\\"u8, advancePastDelimiter: false))
        {
            reader.TryRead(out byte b);
            if (b == (byte)'"')
            {
                return true;
            }

            if (!reader.TryRead(out _))
            {
                return false;
            }
        }

        return false;
    }

    private static bool IsBlank(in ReadOnlySequence<byte> buffer)
    {
        var reader = new SequenceReader<byte>(buffer);
        reader.AdvancePastAny((byte)' ', (byte)'\t', (byte)'\r', (byte)'\n');
        return reader.End;
    }
}
