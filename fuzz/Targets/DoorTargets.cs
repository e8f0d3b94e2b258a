using System.Buffers;
using System.IO.Pipelines;
using System.Security.Cryptography;
using System.Text;
using System.Text.Json;
using Etcdserverpb;
using Google.Protobuf;
using Google.Protobuf.Reflection;
using Microsoft.IdentityModel.Tokens;
using Perf.Etcdctl.CommandLine;
using Perf.Etcdctl.Commands;
using Perf.Etcdctl.Text;
using Perf.Node.Logging;
using Perf.Node.Security;
using Perf.Rpc.Http.Gateway;
using Perf.Store.Auth;
using Perf.Store.Commands;

namespace Perf.Fuzz.Targets;

/// <summary>
/// JSON from the gateway: the same values however the body arrives; refused by name, or bytes that Google's reader
/// takes, and these as JSON again are the same message.
/// </summary>
internal sealed class GatewayTarget() : FuzzTarget("gateway")
{
    private const int BodyBytesMax = 1 << 16;

    private static readonly MessageDescriptor[] Types =
    [
        PutRequest.Descriptor, TxnRequest.Descriptor, RangeRequest.Descriptor, WatchRequest.Descriptor,
        LeaseGrantRequest.Descriptor, AuthRoleGrantPermissionRequest.Descriptor, AlarmRequest.Descriptor,
        MemberAddRequest.Descriptor,
    ];

    public override IEnumerable<byte[]> Seeds() =>
    [
        """{"key":"YQ==","value":"Yg==","lease":"77","prev_kv":true}"""u8.ToArray(),
        """{"compare":[{"target":"MOD","key":"YQ==","result":"GREATER","modRevision":"5"}],"success":[{"requestPut":{"key":"YQ==","value":""}},{"request_range":{"key":"YQ","range_end":"Yg=="}}],"failure":[{"request_txn":{"success":[{"request_delete_range":{"key":"AA=="}}]}}]}"""u8.ToArray(),
        """{"key":"AA==","range_end":"AA==","limit":10,"revision":"3","sort_order":"DESCEND","sort_target":2,"serializable":true}"""u8.ToArray(),
        """{"create_request":{"key":"YQ==","start_revision":"9","filters":["NOPUT",1],"watch_id":"-1"}}"""u8.ToArray(),
        """{"TTL":"5","ID":"9223372036854775807"}"""u8.ToArray(),
        """{"name":"r\u00e4","perm":{"permType":"READWRITE","key":"YQ==","range_end":"AA=="}} {"action":"ACTIVATE","memberID":"18446744073709551615","alarm":1}"""u8.ToArray(),
        """{"peerURLs":["http://a:1","http://\ud83d\ude00"],"isLearner":true,"unknown":{"x":[1,{"y":null}]}}"""u8.ToArray(),
    ];

    public override byte[] Change(Mutator mutator, IReadOnlyList<byte[]> corpus) => mutator.Json(corpus);

    public override void Run(ReadOnlySpan<byte> input)
    {
        byte[] body = input.ToArray();
        List<string> values = Values(new MemoryStream(body));
        RequireEqual(string.Join('|', values), string.Join('|', Values(new Trickle(body))), "values in pieces");
        bool isEntered = false;
        foreach (string value in values)
        {
            byte[] json = Convert.FromHexString(value);
            foreach (MessageDescriptor type in Types)
            {
                isEntered |= TryConvert(json, type);
            }
        }

        if (isEntered)
        {
            Enter();
        }
    }

    private bool TryConvert(byte[] json, MessageDescriptor type)
    {
        var bytes = new ProtoBuffer();
        try
        {
            JsonToProto.Convert(json, type, bytes);
        }
        catch (JsonError e)
        {
            Require(e.Message.Length > 0, "refused without a word");
            return false;
        }

        IMessage message = type.Parser.ParseFrom(bytes.Written);
        byte[] canonical = message.ToByteArray();
        var text = new ArrayBufferWriter<byte>();
        using (var writer = new Utf8JsonWriter(text, ProtoToJson.Options))
        {
            ProtoToJson.Write(canonical, type, writer);
        }

        var again = new ProtoBuffer();
        try
        {
            JsonToProto.Convert(text.WrittenSpan, type, again);
        }
        catch (JsonError e)
        {
            throw new BrokenException($"refused its own {Encoding.UTF8.GetString(text.WrittenSpan)}: {e.Message}");
        }

        IMessage second = type.Parser.ParseFrom(again.Written);
        if (IsPlanted && second is PutRequest { Key.IsEmpty: true } put)
        {
            put.Key = put.Value;
        }

        Require(message.Equals(second), $"{message} became {second}");
        return true;
    }

    /// <summary>The body's values, in hexadecimal; the last one is the reason where it was refused.</summary>
    private static List<string> Values(Stream body)
    {
        var splitter = new JsonSplitter(PipeReader.Create(body), BodyBytesMax);
        var values = new List<string>();
        try
        {
            // Nothing here waits: the streams are in memory.
            while (splitter.NextAsync(CancellationToken.None).AsTask().GetAwaiter().GetResult() is { } value)
            {
                values.Add(Convert.ToHexString(value));
            }
        }
        catch (JsonError)
        {
            values.Add("");
        }

        return values;
    }

    /// <summary>A few bytes a read.</summary>
    private sealed class Trickle(byte[] bytes) : MemoryStream(bytes)
    {
        public override ValueTask<int> ReadAsync(Memory<byte> buffer, CancellationToken cancellationToken = default) =>
            base.ReadAsync(buffer[..Math.Min(11, buffer.Length)], cancellationToken);
    }
}

/// <summary>Tokens: valid are only those that were signed with the key and the algorithm, and they say who and since when.</summary>
internal sealed class JwtTarget() : FuzzTarget("jwt")
{
    private static readonly byte[] Secret = "0123456789abcdef0123456789abcdef"u8.ToArray();

    private static readonly string[] Headers =
    [
        """{"alg":"HS256","typ":"JWT"}""", """{"alg":"HS256"}""", """{"typ":"JWT","alg":"HS256","kid":"k"}""", """{"alg":"none"}""",
        """{"alg":"HS512"}""", """{"alg":"RS256"}""", """{"alg":"HS256","crit":["b64"],"b64":false}""", """{"alg":"HS256","zip":"DEF"}""", "{}",
    ];

    private readonly JwtTokens _tokens = new(
        new JwtOptions
        {
            Algorithm = "HS256",
            Ttl = TimeSpan.FromMinutes(5),
            SigningKey = new SymmetricSecurityKey(Secret),
            VerificationKey = new SymmetricSecurityKey(Secret),
        },
        Log.None,
        TimeProvider.System);

    /// <summary>Payloads; the signature is made by the run, and spoilt by some of them.</summary>
    public override IEnumerable<byte[]> Seeds() =>
    [
        """{"exp":9999999999,"revision":3,"username":"root"}"""u8.ToArray(),
        """{"exp":9999999999.5,"nbf":1,"revision":18446744073709551615,"username":"\u00e4"}"""u8.ToArray(),
        """{"revision":3.0,"username":"","iat":7,"aud":["x"]}"""u8.ToArray(),
        """{"exp":1,"revision":3,"username":"late"}"""u8.ToArray(),
    ];

    public override byte[] Change(Mutator mutator, IReadOnlyList<byte[]> corpus) => mutator.Json(corpus);

    public override void Run(ReadOnlySpan<byte> input)
    {
        // What is done to the token follows from the payload.
        uint dice = BitConverter.ToUInt32(SHA256.HashData(input));
        string header = dice % 4 == 0 ? Headers[(dice >> 8) % Headers.Length] : Headers[0];
        string signed = Text(Encoding.UTF8.GetBytes(header)) + "." + Text(input);
        byte[] signature = HMACSHA256.HashData(Secret, Encoding.ASCII.GetBytes(signed));
        string token = $"{signed}.{Text(signature)}";
        token = ((dice >> 4) % 8) switch
        {
            0 => Flip(token, (int)((dice >> 12) % token.Length), 1 + (int)((dice >> 5) & 3)),
            1 => token[..(int)((dice >> 12) % token.Length)],
            _ => token,
        };
        TokenOutcome outcome = _tokens.Resolve(token, 1, 1, out AuthInfo info, out _);
        if (outcome != TokenOutcome.Valid)
        {
            if (token.Length > signed.Length + 2 && token.StartsWith(signed, StringComparison.Ordinal))
            {
                Enter();
            }

            return;
        }

        Enter();
        string[] parts = token.Split('.');
        Require(parts.Length == 3, "valid with other than three parts");
        byte[] wanted = HMACSHA256.HashData(Secret, Encoding.ASCII.GetBytes(parts[0] + "." + parts[1]));
        RequireSame(wanted, Base64UrlEncoder.DecodeBytes(parts[2]), "signature of a valid token");
        using JsonDocument head = JsonDocument.Parse(Base64UrlEncoder.DecodeBytes(parts[0]));
        RequireEqual("HS256", head.RootElement.GetProperty("alg").GetString(), "algorithm of a valid token");
        using JsonDocument payload = JsonDocument.Parse(Base64UrlEncoder.DecodeBytes(parts[1]));
        RequireEqual(payload.RootElement.GetProperty("username").GetString(), IsPlanted ? info.Username.Trim('r') : info.Username, "user");
        RequireEqual(Math.Truncate(payload.RootElement.GetProperty("revision").GetDouble()), info.Revision, "revision");
    }

    private static string Text(ReadOnlySpan<byte> bytes) => Base64UrlEncoder.Encode(bytes.ToArray());

    private static string Flip(string token, int at, int bits) =>
        string.Concat(token.AsSpan(0, at), ((char)(token[at] ^ bits)).ToString(), token.AsSpan(at + 1));
}

/// <summary>What people type into `etcdctl txn`: comparisons and requests, or an error that names the line.</summary>
internal sealed class TxnInputTarget() : FuzzTarget("txninput")
{
    private static readonly Terminal Terminal = new(Stream.Null, Stream.Null, Stream.Null, new Dictionary<string, string>());

    public override IEnumerable<byte[]> Seeds() =>
    [
        "mod(\"key\") > \"0\"\nval('k') = 'v'\nlease(\"a\") != \"1f\""u8.ToArray(),
        "put key \"a \\x41 \\n b\" --lease=1f\nget --prefix k --limit 5\ndel a b --prev-kv"u8.ToArray(),
        "version(\"\\u00e4\") < \"3\"\nput 'it is' ok\nget \"\\377\" --order=DESCEND --sort-by=MODIFY"u8.ToArray(),
        "create(\"k\") = \"0\"\nc(\"\") = \"0\"\nm(\"x\") < \"-1\""u8.ToArray(),
    ];

    public override byte[] Change(Mutator mutator, IReadOnlyList<byte[]> corpus) => mutator.Lines(corpus);

    public override void Run(ReadOnlySpan<byte> input)
    {
        bool isEntered = false;
        foreach (string line in GoText.FromBytes(input).Split('\n'))
        {
            string quoted = GoText.Quote(line);
            Require(GoText.TryUnquote(quoted, out string text, out int used) && used == quoted.Length, $"cannot read its own {quoted}");
            RequireSame(GoText.ToBytes(line), GoText.ToBytes(IsPlanted ? text.TrimEnd('"') : text), "quoted");
            isEntered |= Parses(() => TxnCommand.ParseCompare(line));
            isEntered |= Parses(() => TxnCommand.ParseOpAsync(line, Terminal).GetAwaiter().GetResult());
        }

        if (isEntered)
        {
            Enter();
        }
    }

    private static bool Parses(Action parse)
    {
        try
        {
            parse();
            return true;
        }
        catch (ExitException e)
        {
            Require(e.Message.Length > 0, "refused without a word");
            return false;
        }
    }
}
