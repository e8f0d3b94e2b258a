using System.Buffers;
using System.IO.Compression;
using System.Text;
using Perf.Grpc;
using Perf.Node.Config;
using Perf.Store.Auth;
using Perf.Store.V2;

namespace Perf.Fuzz.Targets;

/// <summary>The v2 store as JSON: refused, or saved as it loads again.</summary>
internal sealed class V2JsonTarget() : FuzzTarget("v2json")
{
    public override IEnumerable<byte[]> Seeds()
    {
        var store = new V2Store(TimeProvider.System);
        store.Create("/0/members/1a/raftAttributes", directory: false, "{\"peerURLs\":[\"http://a\"]}", unique: false, 0);
        store.Create("/1/dir", directory: true, "", unique: false, 0);
        store.Set("/1/dir/key", directory: false, "value \u00e4 \"quoted\"", 2_000_000_000_000_000_000);
        yield return store.Save();
    }

    public override byte[] Change(Mutator mutator, IReadOnlyList<byte[]> corpus) => mutator.Json(corpus);

    public override void Run(ReadOnlySpan<byte> input)
    {
        var store = new V2Store(TimeProvider.System);
        try
        {
            store.Load(input);
        }
        catch (InvalidDataException)
        {
            return;
        }

        Enter();
        byte[] saved = store.Save();
        var again = new V2Store(TimeProvider.System);
        again.Load(saved);
        byte[] second = again.Save();
        RequireSame(saved, IsPlanted && again.HasUserContent ? [] : second, "saved twice");
        _ = again.HasUserContent;
    }
}

/// <summary>v2 requests from the log.</summary>
internal sealed class V2RequestTarget() : FuzzTarget("v2request")
{
    public override IEnumerable<byte[]> Seeds() =>
    [
        new V2Request { Id = 7, Method = "PUT", Path = "/0/version", Value = "3.4.0" }.Encode(),
        new V2Request { Id = 1, Method = "DELETE", Path = "/1/a", PrevExist = true, Recursive = true, Expiration = -1 }.Encode(),
    ];

    public override byte[] Change(Mutator mutator, IReadOnlyList<byte[]> corpus) => mutator.Fields(corpus);

    public override void Run(ReadOnlySpan<byte> input)
    {
        _ = V2Request.IsBare(input);
        if (!V2Request.TryDecode(input, out V2Request? request))
        {
            return;
        }

        Enter();
        Require(V2Request.TryDecode(request.Encode(), out V2Request? again), "refused what it wrote");
        RequireEqual(request, IsPlanted ? again with { Id = (uint)again.Id } : again, "request");
    }
}

/// <summary>Permissions: a set of ranges against each range for itself.</summary>
internal sealed class KeyRangeTarget() : FuzzTarget("authranges")
{
    private const int AlphabetSize = 3;

    public override IEnumerable<byte[]> Seeds() => [[1, 2, 0xff, 3, 4, 0, 9, 8], [7, 0xff, 5, 6, 1, 2, 3, 4, 0x21, 0x43]];

    public override void Run(ReadOnlySpan<byte> input)
    {
        // Two bytes a range, a word of up to three letters each; the last two ask.
        if (input.Length < 4)
        {
            return;
        }

        Enter();
        var ranges = new List<(byte[] Begin, byte[]? End)>();
        for (int i = 0; i + 3 < input.Length && i < 32; i += 2)
        {
            // A permission for one key is the range up to its next one; null means no end.
            byte[] begin = Word(input[i]);
            byte[]? end = input[i + 1] switch { 0xff => null, 0xfe => [.. begin, 0], var b => Word(b) };
            if (end is null || begin.AsSpan().SequenceCompareTo(end) < 0)
            {
                ranges.Add((begin, end));
            }
        }

        KeyRangeSet set = KeyRangeSet.Compile(ranges);
        byte[] from = Word(input[^2]);
        byte[] to = Word(input[^1]);
        RequireEqual(Holds(ranges, from), set.Covers(from, default) || (IsPlanted && ranges.Count > 4 && from.Length == 2), "one key");
        if (from.AsSpan().SequenceCompareTo(to) >= 0 || !set.Covers(from, to))
        {
            return;
        }

        for (int i = 0; i < 256; i++)
        {
            byte[] key = Word((byte)i);
            bool isAsked = key.AsSpan().SequenceCompareTo(from) >= 0 && key.AsSpan().SequenceCompareTo(to) < 0;
            Require(!isAsked || Holds(ranges, key), "a covered range has a key that no permission holds");
        }
    }

    private static bool Holds(List<(byte[] Begin, byte[]? End)> ranges, byte[] key) => ranges.Exists(
        r => key.AsSpan().SequenceCompareTo(r.Begin) >= 0 && (r.End is null || key.AsSpan().SequenceCompareTo(r.End) < 0));

    private static byte[] Word(byte seed)
    {
        var word = new List<byte>();
        for (int rest = seed; word.Count == 0 || (rest > 0 && word.Count < 4); rest /= AlphabetSize)
        {
            word.Add((byte)('a' + (rest % AlphabetSize)));
        }

        return [.. word];
    }
}

/// <summary>The command line: a reading or a refusal, never anything else.</summary>
internal sealed class FlagsTarget() : FuzzTarget("flags")
{
    public override IEnumerable<byte[]> Seeds() =>
    [
        "--name\nm1\n--listen-client-urls=http://127.0.0.1:1,https://[::1]:2\n--snapshot-count=5\n--pre-vote"u8.ToArray(),
        "--auto-compaction-retention=1h\n--auto-compaction-mode\nperiodic\n--max-request-bytes=1.5\n-h"u8.ToArray(),
        "--initial-cluster\na=http://a:1,b=http://b:2\n--heartbeat-interval=10\n--election-timeout=100\n--log-level=debug"u8.ToArray(),
    ];

    public override byte[] Change(Mutator mutator, IReadOnlyList<byte[]> corpus) => mutator.Lines(corpus);

    public override void Run(ReadOnlySpan<byte> input)
    {
        string[] arguments = Encoding.UTF8.GetString(input).Split('\n');
        if (arguments.Any(a => a.Contains("config-file", StringComparison.Ordinal)))
        {
            return;
        }

        Enter();
        ConfigReading reading = ConfigReader.Read(arguments, new Dictionary<string, string>());
        Require(
            reading.ExitCode is null or 0 || reading.Complaint.Length + reading.Output.Length + reading.Notes.Count > 0,
            "refused without a word");
        Require(!IsPlanted || reading.ExitCode is null, "planted");
    }
}

/// <summary>The configuration file.</summary>
internal sealed class YamlTarget() : FuzzTarget("yaml")
{
    private static readonly string Folder = Directory.CreateTempSubdirectory("perf-fuzz-").FullName;

    private static readonly (string Name, string Good)[] Settings =
    [
        ("name", "m1"), ("name", "\"\\u00e4 b\""), ("data-dir", "/tmp/x"), ("snapshot-count", "10"), ("pre-vote", "true"),
        ("log-level", "debug"), ("log-outputs", "[stderr, stdout]"), ("quota-backend-bytes", "0x100000"), ("cors", "'*'"),
        ("heartbeat-interval", "100"), ("max-txn-ops", "128"), ("auto-compaction-mode", "revision"), ("auth-token", "simple"),
        ("auto-compaction-retention", "\"10\""), ("enable-v2", "!!bool false"), ("experimental-initial-corrupt-check", "false"),
    ];

    public override IEnumerable<byte[]> Seeds() =>
    [
        "name: m1\ndata-dir: /tmp/x\nsnapshot-count: 10\nlisten-client-urls: http://localhost:2379\n"u8.ToArray(),
        "client-transport-security:\n  cert-file: a\n  client-cert-auth: true\nlog-outputs: [stderr, stdout]\n"u8.ToArray(),
        "auto-compaction-mode: periodic\nauto-compaction-retention: \"1h\"\nelection-timeout: 1000 # comment\n"u8.ToArray(),
    ];

    /// <summary>Settings that there are, with good values and bad ones; or lines of such files mixed.</summary>
    public override byte[] Change(Mutator mutator, IReadOnlyList<byte[]> corpus)
    {
        if (mutator.Chance(40))
        {
            return mutator.Lines(corpus);
        }

        var text = new StringBuilder();
        int first = mutator.Below(Settings.Length);
        for (int count = 1 + mutator.Below(4); count > 0; count--)
        {
            (string name, string good) = Settings[(first + count) % Settings.Length];
            string value = mutator.Chance(85) ? good : Settings[mutator.Below(Settings.Length)].Good;
            text.Append(name).Append(": ").Append(value).Append(mutator.Chance(20) ? " # " + value : "").Append('\n');
        }

        return Encoding.UTF8.GetBytes(text.ToString());
    }

    public override void Run(ReadOnlySpan<byte> input)
    {
        string path = Path.Combine(Folder, "etcd.yaml");
        File.WriteAllBytes(path, input);
        ConfigReading reading = ConfigReader.Read(["--config-file", path], new Dictionary<string, string>());
        if (reading.ExitCode is null)
        {
            Enter();
        }

        Require(
            reading.ExitCode is null or 0 || reading.Complaint.Length + reading.Output.Length + reading.Notes.Count > 0,
            "refused without a word");
        Require(!IsPlanted || reading.ExitCode is null, "planted");
    }
}

/// <summary>Durations as Go writes them.</summary>
internal sealed class DurationTarget() : FuzzTarget("duration")
{
    private static readonly string[] Units = ["h", "m", "s", "ms", "us", "\u00b5s", "ns"];

    public override IEnumerable<byte[]> Seeds() => ["1h2m3.5s"u8.ToArray(), "-10ms"u8.ToArray(), "9223372036s"u8.ToArray(), "1us"u8.ToArray()];

    public override byte[] Change(Mutator mutator, IReadOnlyList<byte[]> corpus)
    {
        if (mutator.Chance(50))
        {
            return mutator.Bytes(corpus);
        }

        var text = new StringBuilder(mutator.Chance(20) ? "-" : "");
        for (int parts = 1 + mutator.Below(4); parts > 0; parts--)
        {
            text.Append(mutator.Below(1 << mutator.Below(31)));
            text.Append(mutator.Chance(30) ? "." + mutator.Below(1 << 20) : "");
            text.Append(Units[mutator.Below(Units.Length)]);
        }

        return Encoding.UTF8.GetBytes(text.ToString());
    }

    public override void Run(ReadOnlySpan<byte> input)
    {
        if (GoDuration.TryParse(Encoding.UTF8.GetString(input), out TimeSpan duration))
        {
            Enter();
            string text = GoDuration.Format(duration);
            Require(GoDuration.TryParse(text, out TimeSpan again), $"refused its own {text}");
            RequireEqual(duration, IsPlanted ? new TimeSpan(0, 0, (int)again.TotalSeconds) : again, text);
        }
    }
}

/// <summary>gRPC's small texts and compressed messages.</summary>
internal sealed class GrpcTextTarget() : FuzzTarget("grpc")
{
    private const int InflatedMax = 1 << 16;

    public override IEnumerable<byte[]> Seeds()
    {
        var packed = new MemoryStream();
        using (var gzip = new GZipStream(packed, CompressionLevel.Fastest, leaveOpen: true))
        {
            gzip.Write(new byte[5000]);
        }

        return ["etcdserver: 100% \u00e4"u8.ToArray(), "a%2541%25%2542"u8.ToArray(), "10S"u8.ToArray(), "AQID"u8.ToArray(), packed.ToArray()];
    }

    public override void Run(ReadOnlySpan<byte> input)
    {
        Enter();
        string text = Encoding.Latin1.GetString(input);
        string decoded = WireText.DecodeMessage(text);
        string encoded = WireText.EncodeMessage(decoded);
        Require(encoded.All(c => c is >= ' ' and <= '~'), "a message with bytes that a header must not have");
        RequireEqual(decoded, WireText.DecodeMessage(IsPlanted ? encoded.Replace("%25", "%", StringComparison.Ordinal) : encoded), "message");
        _ = WireText.TryDecodeBinary(text, out _);
        if (WireText.TryParseTimeout(text, out TimeSpan timeout))
        {
            Require(timeout >= TimeSpan.Zero, "a timeout below zero");
            Require(WireText.TryParseTimeout(WireText.FormatTimeout(timeout), out TimeSpan again) && again >= timeout, "timeout");
        }

        try
        {
            byte[] message = GzipMessage.Inflate(new ReadOnlySequence<byte>(input.ToArray()), InflatedMax, out int length);
            Require(length <= InflatedMax, "more than the limit");
            ArrayPool<byte>.Shared.Return(message);
        }
        catch (RpcException)
        {
            // Refused as it should be.
        }
    }
}
