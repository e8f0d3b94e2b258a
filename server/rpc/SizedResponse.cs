using System.Buffers;
using Perf.Grpc;
using Perf.Store.Mvcc;

namespace Perf.Rpc;

/// <summary>
/// Lets the store write an answer straight into the call: it says the length first, then the bytes. One per thread at
/// a time; used within a synchronous piece of a handler.
/// </summary>
internal sealed class SizedResponse : ISizedBufferWriter
{
    [ThreadStatic]
    private static SizedResponse? t_forThread;

    private ServerCall? _call;
    private IBufferWriter<byte>? _target;

    /// <summary>The thread's writer, aimed at a call. Hand it back with <see cref="Release"/>.</summary>
    public static SizedResponse For(ServerCall call)
    {
        SizedResponse response = t_forThread ?? new SizedResponse();
        t_forThread = null;
        response._call = call;
        response._target = null;
        return response;
    }

    public void Release()
    {
        _call = null;
        _target = null;
        t_forThread = this;
    }

    /// <inheritdoc/>
    public void Begin(int bytes) => _target = _call!.StartMessage(bytes);

    /// <inheritdoc/>
    public void Advance(int count) => _target!.Advance(count);

    /// <inheritdoc/>
    public Memory<byte> GetMemory(int sizeHint = 0) => _target!.GetMemory(sizeHint);

    /// <inheritdoc/>
    public Span<byte> GetSpan(int sizeHint = 0) => _target!.GetSpan(sizeHint);
}
