using System.IO.Pipelines;
using Perf.Raft;

namespace Perf.Node.Peers;

/// <summary>
/// What waits for one of a peer's two streams. The peer dials us: its request's answer becomes the writer, until it
/// breaks or a newer one replaces it. Bounded: a full queue drops the message, raft repairs.
/// <para>Threads: the core adds; the task of the answer takes.</para>
/// </summary>
internal sealed class OutgoingStream
{
    /// <summary>etcd's streamBufSize.</summary>
    public const int MessagesMax = 4096;

    /// <summary>Written but not flushed above this: flush before the batch ends, so that the peer can begin.</summary>
    private const int UnflushedBytesMax = 256 << 10;

    private static readonly TimeSpan WriteTimeout = TimeSpan.FromSeconds(5);

    /// <summary>A third of the peer's patience.</summary>
    private static readonly TimeSpan LinkHeartbeatInterval = TimeSpan.FromSeconds(5.0 / 3);

    private readonly object _gate = new();
    private readonly SemaphoreSlim _work = new(0, 1);
    private OutgoingMessage[] _waiting = new OutgoingMessage[64];
    private int _count;
    private CancellationTokenSource? _writer;
    private bool _closed;

    /// <summary>True while a peer is attached.</summary>
    public bool IsUp => Volatile.Read(ref _writer) is not null;

    /// <summary>Queues a message, lent for the call; false when nobody is attached or too much waits already.</summary>
    public bool TrySend(in Message message)
    {
        lock (_gate)
        {
            if (_writer is null || _count == MessagesMax)
            {
                return false;
            }

            if (_count == _waiting.Length)
            {
                Array.Resize(ref _waiting, _count * 2);
            }

            _waiting[_count++] = OutgoingMessage.Keep(message);
            if (_count > 1)
            {
                return true;
            }
        }

        Wake();
        return true;
    }

    /// <summary>
    /// Writes what is sent until the connection breaks, is replaced or the peer is removed. The header of the answer
    /// has been flushed.
    /// </summary>
    public async Task ServeAsync(PipeWriter body, IPeerEncoder encoder, CancellationToken aborted)
    {
        using var own = CancellationTokenSource.CreateLinkedTokenSource(aborted);
        lock (_gate)
        {
            if (_closed)
            {
                return;
            }

            _writer?.Cancel();
            _writer = own;
        }

        var taken = new OutgoingMessage[64];
        int count = 0;
        int done = 0;
        try
        {
            encoder.WriteLinkHeartbeat(body);
            await FlushAsync(body, own.Token).ConfigureAwait(false);
            while (true)
            {
                count = Take(ref taken);
                done = 0;
                if (count == 0)
                {
                    if (!await _work.WaitAsync(LinkHeartbeatInterval, own.Token).ConfigureAwait(false))
                    {
                        encoder.WriteLinkHeartbeat(body);
                        await FlushAsync(body, own.Token).ConfigureAwait(false);
                    }

                    own.Token.ThrowIfCancellationRequested();
                    continue;
                }

                while (done < count)
                {
                    encoder.Write(taken[done].Message, body);
                    taken[done++].Release();
                    if (body.UnflushedBytes > UnflushedBytesMax)
                    {
                        await FlushAsync(body, own.Token).ConfigureAwait(false);
                    }
                }

                await FlushAsync(body, own.Token).ConfigureAwait(false);
            }
        }
        catch (Exception e) when (e is IOException or OperationCanceledException or TimeoutException or InvalidOperationException)
        {
            // The connection is gone or replaced; the peer dials again.
        }
        finally
        {
            for (; done < count; done++)
            {
                taken[done].Release();
            }

            Detach(own);
        }
    }

    /// <summary>Ends the stream for good: the peer is no longer one.</summary>
    public void Close()
    {
        lock (_gate)
        {
            _closed = true;
            _writer?.Cancel();
            ClearLocked();
        }
    }

    private static async ValueTask FlushAsync(PipeWriter body, CancellationToken cancel)
    {
        ValueTask<FlushResult> flush = body.FlushAsync(cancel);
        FlushResult result;
        if (flush.IsCompletedSuccessfully)
        {
            result = flush.Result;
        }
        else
        {
            result = await flush.AsTask().WaitAsync(WriteTimeout, cancel).ConfigureAwait(false);
        }

        if (result.IsCompleted || result.IsCanceled)
        {
            throw new IOException("the peer has gone");
        }
    }

    private int Take(ref OutgoingMessage[] into)
    {
        lock (_gate)
        {
            int count = _count;
            if (count > 0)
            {
                (into, _waiting) = (_waiting, into);
                _count = 0;
            }

            return count;
        }
    }

    private void Detach(CancellationTokenSource own)
    {
        lock (_gate)
        {
            if (ReferenceEquals(_writer, own))
            {
                _writer = null;
                ClearLocked();
            }
            else
            {
                // The one that replaced us may sleep on a wake-up that we took.
                Wake();
            }
        }
    }

    private void ClearLocked()
    {
        for (int i = 0; i < _count; i++)
        {
            _waiting[i].Release();
        }

        _count = 0;
    }

    private void Wake()
    {
        try
        {
            _work.Release();
        }
        catch (SemaphoreFullException)
        {
            // Awake already.
        }
    }
}
