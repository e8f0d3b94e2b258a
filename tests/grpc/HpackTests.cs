using System.Text;
using FsCheck;
using FsCheck.Fluent;
using Perf.Testing;
using Xunit;

namespace Perf.Grpc.Tests;

/// <summary>Header compression, held to the examples of RFC 7541, appendix C, and to its rules.</summary>
public sealed class HpackTests
{
    [Fact]
    public void The_code_is_complete()
    {
        // Kraft's sum of a complete code is one.
        long sum = 0;
        foreach (byte length in Huffman.Lengths)
        {
            sum += 1L << (30 - length);
        }

        Assert.Equal(257, Huffman.Lengths.Length);
        Assert.Equal(1L << 30, sum);
    }

    [Theory]
    [InlineData("f1e3c2e5f23a6ba0ab90f4ff", "www.example.com")]
    [InlineData("a8eb10649cbf", "no-cache")]
    [InlineData("25a849e95ba97d7f", "custom-key")]
    [InlineData("25a849e95bb8e8b4bf", "custom-value")]
    [InlineData("6402", "302")]
    [InlineData("aec3771a4b", "private")]
    [InlineData("d07abe941054d444a8200595040b8166e082a62d1bff", "Mon, 21 Oct 2013 20:13:21 GMT")]
    [InlineData("9d29ad171863c78f0b97c8e9ae82ae43d3", "https://www.example.com")]
    [InlineData("94e7821dd7f2e6c7b335dfdfcd5b3960d5af27087f3672c1ab270fb5291f9587316065c003ed4ee5b1063d5007", CookieText)]
    public void Coded_texts_of_the_RFC(string hex, string expected)
    {
        byte[] source = Convert.FromHexString(hex);
        byte[] target = new byte[Huffman.DecodedBytesMax(source.Length)];
        int written = Huffman.Decode(source, target);
        Assert.Equal(expected, Encoding.ASCII.GetString(target, 0, Math.Max(written, 0)));
    }

    [Fact]
    public void Every_byte_survives_the_code()
    {
        byte[] all = [.. Enumerable.Range(0, 256).Select(i => (byte)i), .. Enumerable.Range(0, 256).Select(i => (byte)(255 - i))];
        for (int length = 0; length <= all.Length; length++)
        {
            byte[] coded = Encode(all.AsSpan(0, length));
            byte[] target = new byte[Huffman.DecodedBytesMax(coded.Length) + 1];
            int written = Huffman.Decode(coded, target);
            Assert.Equal(length, written);
            Assert.True(all.AsSpan(0, length).SequenceEqual(target.AsSpan(0, written)));
        }
    }

    [Theory]
    [InlineData("ff")] // Eight bits of padding.
    [InlineData("f1e3c2e5f23a6ba0ab90f4fe")] // Padding that is not all ones.
    [InlineData("f1e3c2e5f23a6ba0ab90f4ffff")] // A byte of padding too much.
    [InlineData("ffffffff")] // The end of the string, spelled out.
    [InlineData("fffffffc0a")]
    public void What_is_no_code_is_refused(string hex)
    {
        byte[] source = Convert.FromHexString(hex);
        Assert.Equal(-1, Huffman.Decode(source, new byte[Huffman.DecodedBytesMax(source.Length)]));
    }

    /// <summary>Appendix C.3 and C.4: three requests on one connection, plain and coded.</summary>
    [Theory]
    [InlineData(
        "828684410f7777772e6578616d706c652e636f6d",
        "828684be58086e6f2d6361636865",
        "828785bf400a637573746f6d2d6b65790c637573746f6d2d76616c7565")]
    [InlineData(
        "828684418cf1e3c2e5f23a6ba0ab90f4ff",
        "828684be5886a8eb10649cbf",
        "828785bf408825a849e95ba97d7f8925a849e95bb8e8b4bf")]
    public void Requests_of_the_RFC(string first, string second, string third)
    {
        var decoder = new HpackDecoder();
        Assert.Equal(
            ":method=GET;:scheme=http;:path=/;:authority=www.example.com", Decode(decoder, first));
        Assert.Equal(
            ":method=GET;:scheme=http;:path=/;:authority=www.example.com;cache-control=no-cache", Decode(decoder, second));
        Assert.Equal(
            ":method=GET;:scheme=https;:path=/index.html;:authority=www.example.com;custom-key=custom-value",
            Decode(decoder, third));
    }

    /// <summary>Appendix C.5, with a table of 256 bytes from which entries fall.</summary>
    [Fact]
    public void Entries_leave_a_full_table()
    {
        var decoder = new HpackDecoder();
        Assert.Equal(
            ":status=302;cache-control=private;date=Mon, 21 Oct 2013 20:13:21 GMT;location=https://www.example.com",
            Decode(
                decoder,
                "3fe101" + "4803333032580770726976617465611d4d6f6e2c203231204f637420323031332032303a31333a323120474d546e17"
                    + "68747470733a2f2f7777772e6578616d706c652e636f6d"));
        Assert.Equal(
            ":status=307;cache-control=private;date=Mon, 21 Oct 2013 20:13:21 GMT;location=https://www.example.com",
            Decode(decoder, "4803333037c1c0bf"));
        Assert.Equal(
            ":status=200;cache-control=private;date=Mon, 21 Oct 2013 20:13:22 GMT;location=https://www.example.com;"
                + "content-encoding=gzip;set-cookie=foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; version=1",
            Decode(
                decoder,
                "88c1611d4d6f6e2c203231204f637420323031332032303a31333a323220474d54c05a04677a69707738666f6f3d4153444a4b"
                    + "48514b425a584f5157454f50495541585157454f49553b206d61782d6167653d333630303b2076657273696f6e3d31"));
        Assert.Throws<Http2Exception>(() => Decode(decoder, "c2"));
    }

    [Theory]
    [InlineData("80")] // Index 0.
    [InlineData("be")] // Beyond an empty table.
    [InlineData("ff")] // A number cut off.
    [InlineData("ffffffffff7f")] // A number without an end.
    [InlineData("410a61")] // A text cut off.
    [InlineData("4181ff")] // A text that is no code.
    [InlineData("8220")] // A change of size behind a field.
    [InlineData("3fe21f")] // A table larger than allowed (4097).
    [InlineData("40")]
    public void Broken_blocks_are_refused(string hex)
    {
        Http2Exception e = Assert.Throws<Http2Exception>(() => Decode(new HpackDecoder(), hex));
        Assert.Equal(Http2Error.Compression, e.Error);
    }

    [Fact]
    public void An_entry_larger_than_the_table_empties_it()
    {
        var decoder = new HpackDecoder();
        Decode(decoder, "400161" + "0162");
        Assert.Equal("a=b", Decode(decoder, "be"));
        string much = string.Concat(Enumerable.Repeat("78", 4096));
        Decode(decoder, "400163" + "7f811f" + much);
        Assert.Throws<Http2Exception>(() => Decode(decoder, "be"));
    }

    [Fact]
    public void Fields_above_the_limit_are_dropped_and_the_table_keeps_up()
    {
        var decoder = new HpackDecoder();
        var fields = new HeaderFields(40);
        decoder.Decode(Convert.FromHexString("400161" + "0162" + "400163" + "0164"), fields);
        Assert.True(fields.IsTooLarge);
        Assert.Single(fields.Fields);
        Assert.Equal("c=d;a=b", Decode(decoder, "bebf"));
    }

    private enum What
    {
        Add,
        AddCoded,
        Repeat,
        Resize,
    }

    /// <summary>Any fields, added, repeated by index, in tables of any size, against a plain list.</summary>
    [Fact]
    public void The_table_is_a_list_with_an_end() => Properties.Hold(
        Steps.ArrayOf(),
        steps => Properties.Smaller(steps, step => Properties.Smaller(step.Number).Select(less => step with { Number = less })),
        cases: 120,
        sizeMax: 150,
        check: steps =>
        {
            var decoder = new HpackDecoder();
            var model = new List<(string Name, string Value)>();
            string resize = "";
            int limit = HpackDecoder.TableBytesMax;
            foreach (Step step in steps)
            {
                switch (step.What)
                {
                    case What.Resize:
                        // Said at the head of the next block.
                        limit = step.Number;
                        resize += Number(0x20, 5, limit);
                        Trim(model, limit);
                        break;
                    case What.Repeat when model.Count > 0:
                        int at = step.Number % model.Count;
                        Assert.Equal(
                            $"{model[at].Name}={model[at].Value}", Decode(decoder, resize + Number(0x80, 7, 62 + at)));
                        resize = "";
                        break;
                    case What.Add or What.AddCoded:
                        string name = "n" + (step.Number % 5);
                        string value = new((char)(' ' + (step.Number % 95)), step.Number % 700);
                        Func<string, string> text = step.What == What.Add ? Text : CodedText;
                        Assert.Equal(
                            $"{name}={value}", Decode(decoder, resize + Number(0x40, 6, 0) + text(name) + text(value)));
                        resize = "";
                        model.Insert(0, (name, value));
                        Trim(model, limit);
                        break;
                }
            }

            Assert.Throws<Http2Exception>(() => Decode(decoder, resize + Number(0x80, 7, 62 + model.Count)));
        });

    [Fact]
    public void Any_bytes_survive_the_code() => Properties.Hold(
        Properties.Bytes, bytes => Properties.Smaller(bytes), cases: 300, check: bytes =>
        {
            byte[] coded = Encode(bytes);
            byte[] target = new byte[Huffman.DecodedBytesMax(coded.Length) + 1];
            int written = Huffman.Decode(coded, target);
            Assert.Equal(bytes, target[..Math.Max(0, written)]);
        });

    private static Gen<Step> Steps { get; } =
        from what in Gen.Frequency(
            (6, Gen.Constant(What.Add)),
            (3, Gen.Constant(What.AddCoded)),
            (8, Gen.Constant(What.Repeat)),
            (1, Gen.Constant(What.Resize)))
        from number in Gen.Choose(0, HpackDecoder.TableBytesMax)
        select new Step(what, number);

    private sealed record Step(What What, int Number);

    private const string CookieText = "foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; version=1";

    private static void Trim(List<(string Name, string Value)> model, int limit)
    {
        while (model.Sum(e => e.Name.Length + e.Value.Length + 32) > limit)
        {
            model.RemoveAt(model.Count - 1);
        }
    }

    private static string Text(string text) => Number(0, 7, text.Length) + Convert.ToHexString(Encoding.ASCII.GetBytes(text));

    private static string CodedText(string text)
    {
        byte[] coded = Encode(Encoding.ASCII.GetBytes(text));
        return Number(0x80, 7, coded.Length) + Convert.ToHexString(coded);
    }

    private static string Number(int flags, int prefixBits, int value)
    {
        int max = (1 << prefixBits) - 1;
        if (value < max)
        {
            return (flags | value).ToString("x2", System.Globalization.CultureInfo.InvariantCulture);
        }

        string hex = (flags | max).ToString("x2", System.Globalization.CultureInfo.InvariantCulture);
        for (value -= max; value >= 0x80; value >>= 7)
        {
            hex += ((value & 0x7f) | 0x80).ToString("x2", System.Globalization.CultureInfo.InvariantCulture);
        }

        return hex + value.ToString("x2", System.Globalization.CultureInfo.InvariantCulture);
    }

    private static string Decode(HpackDecoder decoder, string hex)
    {
        var fields = new HeaderFields(1 << 20);
        decoder.Decode(Convert.FromHexString(hex), fields);
        return string.Join(';', fields.Fields.Select(f => $"{f.Key}={f.Value}"));
    }

    /// <summary>Codes by counting up within each length, which is all that canonical means.</summary>
    private static byte[] Encode(ReadOnlySpan<byte> text)
    {
        var codes = new uint[257];
        uint code = 0;
        for (int length = 1; length <= 30; length++)
        {
            code <<= 1;
            for (int symbol = 0; symbol < 257; symbol++)
            {
                if (Huffman.Lengths[symbol] == length)
                {
                    codes[symbol] = code++;
                }
            }
        }

        var bits = new StringBuilder();
        foreach (byte b in text)
        {
            bits.Append(Convert.ToString(codes[b], 2).PadLeft(Huffman.Lengths[b], '0'));
        }

        bits.Append('1', (8 - (bits.Length % 8)) % 8);
        return [.. Enumerable.Range(0, bits.Length / 8).Select(i => Convert.ToByte(bits.ToString(i * 8, 8), 2))];
    }
}
