using System.Buffers;

namespace Perf.Store.Mvcc;

/// <summary>
/// A target that wants to know how long the message will be, as a transport that writes lengths first does. The
/// store calls <see cref="Begin"/> once, before the first byte, and then writes exactly so many.
/// </summary>
public interface ISizedBufferWriter : IBufferWriter<byte>
{
    void Begin(int bytes);
}
