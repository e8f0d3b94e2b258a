using Google.Protobuf;
using Perf.Grpc;

namespace Perf.Client;

/// <summary>When a failed call may be made again.</summary>
internal enum Repeat
{
    /// <summary>It changes nothing, or changing it twice is the same: whenever the member was unavailable.</summary>
    WhenUnavailable,

    /// <summary>Twice would not be the same: only when it provably was not sent.</summary>
    WhenNotSent,
}

/// <summary>Makes every call of the client: chooses the member, carries token and headers, repeats what may be repeated.</summary>
internal sealed class Caller : IAsyncDisposable
{
    private static readonly TimeSpan BackoffBetween = TimeSpan.FromMilliseconds(25);

    private readonly EtcdClientOptions _options;
    private readonly Balancer _balancer;
    private readonly CancellationTokenSource _closed = new();
    private readonly SemaphoreSlim _authenticating = new(1, 1);
    private volatile string _token;

    public Caller(EtcdClientOptions options)
    {
        _options = options;
        _balancer = new Balancer(options);
        _token = options.Token;
        Closed = _closed.Token;
    }

    public Balancer Balancer => _balancer;

    public CancellationToken Closed { get; }

    public int AttemptsMax => Math.Max(1, _options.AttemptsMax);

    public bool HasCredentials => _options.Username.Length > 0 && _options.Password.Length > 0;

    public void Warn(string message) => _options.Warn?.Invoke(message);

    /// <summary>One request, one answer, with repetition by rule. With an endpoint, only that member is asked.</summary>
    public async Task<TAnswer> UnaryAsync<TAnswer>(
        string path,
        IMessage request,
        MessageParser<TAnswer> parser,
        Repeat repeat,
        CancellationToken cancellation,
        string? endpoint = null)
        where TAnswer : IMessage<TAnswer>
    {
        ObjectDisposedException.ThrowIf(_closed.IsCancellationRequested, typeof(EtcdClient));
        using var linked = CancellationTokenSource.CreateLinkedTokenSource(cancellation, Closed);
        ReadOnlyMemory<byte> body = request.ToByteArray();
        if (body.Length > _options.SendBytesMax)
        {
            throw new EtcdException(
                RpcCode.ResourceExhausted,
                $"trying to send message larger than max ({body.Length} vs. {_options.SendBytesMax})");
        }

        for (int attempt = 1; ; attempt++)
        {
            string token = _token;
            try
            {
                return parser.ParseFrom(
                    (await OnceAsync(path, body, token, endpoint, linked.Token).ConfigureAwait(false)).Span);
            }
            catch (EtcdException e) when (attempt < AttemptsMax && ShouldRefresh(e))
            {
                Warn($"{path} attempt {attempt}: {e.Message}");
                await AuthenticateAsync(token, linked.Token).ConfigureAwait(false);
                if (attempt > 1)
                {
                    await Task.Delay(BackoffBetween, linked.Token).ConfigureAwait(false);
                }
            }
            catch (EtcdException e) when (attempt < AttemptsMax && MayRepeat(e, repeat))
            {
                Warn($"{path} attempt {attempt}: {e.Message}");
                if (attempt % ((_balancer.Names.Count / 2) + 1) == 0)
                {
                    await Task.Delay(BackoffBetween, linked.Token).ConfigureAwait(false);
                }
            }
        }
    }

    /// <summary>Opens a stream on some member. That it cannot be opened may show only when it is used.</summary>
    public async Task<Duplex<TRequest, TAnswer>> OpenAsync<TRequest, TAnswer>(
        string path,
        MessageParser<TAnswer> parser,
        bool requireLeader,
        string? endpoint,
        CancellationToken cancellation)
        where TRequest : class, IMessage<TRequest>
        where TAnswer : class, IMessage<TAnswer>
    {
        if (HasCredentials && _token.Length == 0)
        {
            await AuthenticateAsync("", cancellation).ConfigureAwait(false);
        }

        Endpoint picked = await _balancer.PickAsync(endpoint, cancellation).ConfigureAwait(false);
        var method = new ClientMethod<TRequest, TAnswer>(
            path, request => request.ToByteArray(), bytes => parser.ParseFrom(bytes.Span));
        return new Duplex<TRequest, TAnswer>(
            picked,
            picked.Channel.Open(method, new CallOptions(null, Headers(_token, requireLeader), cancellation)),
            cancellation);
    }

    /// <summary>Fetches a token for the configured user; nothing to do when there is none, or authentication is off.</summary>
    public Task AuthenticateAsync(CancellationToken cancellation) => AuthenticateAsync(_token, cancellation);

    /// <summary>Makes the next call fetch a fresh token.</summary>
    public void ForgetToken() => _token = _options.Token;

    /// <summary>True when the error says that the token is stale and the client knows how to get another.</summary>
    public bool MayRefresh(EtcdException e) => HasCredentials && ShouldRefresh(e);

    public async ValueTask DisposeAsync()
    {
        await _closed.CancelAsync().ConfigureAwait(false);
        await _balancer.DisposeAsync().ConfigureAwait(false);
    }

    private static bool MayRepeat(EtcdException e, Repeat repeat) =>
        e.NotSent || (repeat == Repeat.WhenUnavailable && e.Code == RpcCode.Unavailable);

    // A certificate's user has no token to refresh, but may meet an auth store that has just changed: repeating is right.
    private bool ShouldRefresh(EtcdException e) => e.Detail switch
    {
        EtcdErrors.InvalidAuthToken or EtcdErrors.AuthOldRevision => _options.Token.Length == 0,
        EtcdErrors.UserEmpty => HasCredentials,
        _ => false,
    };

    private async Task<ReadOnlyMemory<byte>> OnceAsync(
        string path, ReadOnlyMemory<byte> body, string token, string? endpoint, CancellationToken cancellation)
    {
        // Waiting for a member that can be reached is not an attempt: nothing has been sent.
        while (true)
        {
            Endpoint picked = await _balancer.PickAsync(endpoint, cancellation).ConfigureAwait(false);
            try
            {
                ReadOnlyMemory<byte> answer = await picked.Channel.UnaryAsync(
                    path, body, new CallOptions(null, Headers(token, _options.RequireLeader), cancellation))
                    .ConfigureAwait(false);
                picked.Succeeded();
                return answer;
            }
            catch (RpcException e)
            {
                EtcdException failure = Failure.From(e, picked, cancellation);
                if (!failure.NotSent)
                {
                    throw failure;
                }

                Warn($"{picked.Name}: {failure.Detail}");
            }
        }
    }

    private async Task AuthenticateAsync(string stale, CancellationToken cancellation)
    {
        if (!HasCredentials)
        {
            return;
        }

        await _authenticating.WaitAsync(cancellation).ConfigureAwait(false);
        try
        {
            if (_token != stale)
            {
                // Another call has fetched one meanwhile.
                return;
            }

            var request = new Etcdserverpb.AuthenticateRequest
            {
                Name = _options.Username,
                Password = _options.Password,
            };
            ReadOnlyMemory<byte> body = request.ToByteArray();
            for (int attempt = 1; ; attempt++)
            {
                try
                {
                    ReadOnlyMemory<byte> answer = await OnceAsync(
                        "/etcdserverpb.Auth/Authenticate", body, "", endpoint: null, cancellation)
                        .ConfigureAwait(false);
                    _token = Etcdserverpb.AuthenticateResponse.Parser.ParseFrom(answer.Span).Token;
                    return;
                }
                catch (EtcdException e) when (e.Detail == EtcdErrors.AuthNotEnabled)
                {
                    _token = "";
                    return;
                }
                catch (EtcdException e) when (
                    attempt < AttemptsMax
                    && (e.Code == RpcCode.Unavailable || e.Detail == EtcdErrors.AuthOldRevision))
                {
                    await Task.Delay(BackoffBetween, cancellation).ConfigureAwait(false);
                }
            }
        }
        finally
        {
            _authenticating.Release();
        }
    }

    private static Metadata Headers(string token, bool requireLeader)
    {
        var headers = new Metadata { { "client-api-version", "3.5" } };
        if (token.Length > 0)
        {
            headers.Add("token", token);
        }

        if (requireLeader)
        {
            headers.Add("hasleader", "true");
        }

        return headers;
    }
}
