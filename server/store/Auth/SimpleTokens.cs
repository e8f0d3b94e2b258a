using System.Collections.Concurrent;
using System.Globalization;

namespace Perf.Store.Auth;

/// <summary>Fills a span with random bytes: a cryptographic source in production, a seeded one in tests.</summary>
public delegate void RandomFill(Span<byte> target);

/// <summary>
/// etcd's simple tokens: 16 letters chosen by the member that proposes, a dot, and the index of the entry. Every
/// member learns them by applying the entry; they live in memory and die of disuse.
/// </summary>
public sealed class SimpleTokens : ITokenProvider
{
    /// <summary>etcd's default of --auth-token-ttl.</summary>
    public static readonly TimeSpan TtlDefault = TimeSpan.FromSeconds(300);

    private const int PrefixLetters = 16;
    private const string Letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";

    /// <summary>Bytes from here on are not used: they would make some letters likelier than others.</summary>
    private const int ByteLimit = 256 / 52 * 52;
    private const int SweepCountMin = 1024;

    /// <summary>A use counts from the last step of this many in a lifetime: what slides is late by so little.</summary>
    private const int StepsPerTtl = 512;

    private readonly ConcurrentDictionary<string, Token> _tokens = new(StringComparer.Ordinal);
    private readonly TimeProvider _clock;
    private readonly RandomFill _random;
    private readonly long _ttlTicks;
    private volatile bool _enabled;
    private int _sweepAtCount = SweepCountMin;

    /// <summary>No tokens, not enabled.</summary>
    public SimpleTokens(TimeProvider clock, RandomFill random, TimeSpan ttl)
    {
        _clock = clock;
        _random = random;
        double seconds = (ttl > TimeSpan.Zero ? ttl : TtlDefault).TotalSeconds;
        _ttlTicks = (long)(seconds * clock.TimestampFrequency);
    }

    /// <inheritdoc/>
    public bool IsReplicated => true;

    /// <inheritdoc/>
    public TimeSpan BelievedFor => TimeSpan.FromSeconds((double)_ttlTicks / _clock.TimestampFrequency / StepsPerTtl);

    /// <summary>Tokens held, dead ones not yet swept included.</summary>
    public int Count => _tokens.Count;

    /// <inheritdoc/>
    public void Enable() => _enabled = true;

    /// <inheritdoc/>
    public void Disable()
    {
        _enabled = false;
        _tokens.Clear();
    }

    /// <inheritdoc/>
    public void InvalidateUser(string username)
    {
        foreach (var (token, held) in _tokens)
        {
            if (held.Username == username)
            {
                _tokens.TryRemove(token, out _);
            }
        }
    }

    /// <inheritdoc/>
    public string NewPrefix()
    {
        Span<char> prefix = stackalloc char[PrefixLetters];
        Span<byte> bytes = stackalloc byte[PrefixLetters * 2];
        for (int count = 0; count < PrefixLetters;)
        {
            _random(bytes);
            foreach (byte b in bytes)
            {
                if (b < ByteLimit && count < PrefixLetters)
                {
                    prefix[count++] = Letters[b % Letters.Length];
                }
            }
        }

        return new string(prefix);
    }

    /// <inheritdoc/>
    public string? Assign(string username, ulong authRevision, string prefix, ulong index)
    {
        string token = prefix + "." + index.ToString(CultureInfo.InvariantCulture);
        if (_enabled)
        {
            long now = _clock.GetTimestamp();
            if (_tokens.Count >= _sweepAtCount)
            {
                Sweep(now);
            }

            _tokens[token] = new Token(username, now + _ttlTicks);
        }

        return token;
    }

    /// <inheritdoc/>
    public TokenOutcome Resolve(
        string token, ulong authRevision, ulong appliedIndex, out AuthInfo info, out ulong awaitIndex)
    {
        awaitIndex = 0;
        if (_tokens.TryGetValue(token, out var held))
        {
            long expiresAt = Volatile.Read(ref held.ExpiresAt);
            long now = _clock.GetTimestamp();
            if (now <= expiresAt)
            {
                // Moved in steps: a line of memory that every core writes on every request is dear.
                if (now + _ttlTicks - expiresAt > _ttlTicks / StepsPerTtl)
                {
                    Volatile.Write(ref held.ExpiresAt, now + _ttlTicks);
                }

                info = new AuthInfo(held.Username, authRevision);
                return TokenOutcome.Valid;
            }

            info = default;
            _tokens.TryRemove(token, out _);
            return TokenOutcome.Invalid;
        }

        info = default;
        int dot = token.IndexOf('.');
        if (dot < 0
            || token.LastIndexOf('.') != dot
            || !ulong.TryParse(token.AsSpan(dot + 1), NumberStyles.None, CultureInfo.InvariantCulture, out ulong index))
        {
            return TokenOutcome.Invalid;
        }

        awaitIndex = index;
        return index > appliedIndex ? TokenOutcome.NotYetApplied : TokenOutcome.Invalid;
    }

    /// <summary>Drops the dead; the next sweep is due when as many have come again, so it costs little per token.</summary>
    private void Sweep(long now)
    {
        foreach (var (token, held) in _tokens)
        {
            if (now > Volatile.Read(ref held.ExpiresAt))
            {
                _tokens.TryRemove(token, out _);
            }
        }

        _sweepAtCount = Math.Max(SweepCountMin, _tokens.Count * 2);
    }

    private sealed class Token(string username, long expiresAt)
    {
        public readonly string Username = username;

        /// <summary>Clock ticks; uses move it. Racing ones write nearly the same.</summary>
        public long ExpiresAt = expiresAt;
    }
}
