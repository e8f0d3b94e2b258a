using System.Buffers;
using Perf.Store.Commands;
using Perf.Store.Watch;
using Xunit;

namespace Perf.Node.Tests.Cluster;

/// <summary>Watches all keys of a member and notes the revision of each event.</summary>
internal sealed class WatchRecorder : IWatchOutput
{
    private readonly List<long> _revisions = [];
    private readonly ArrayBufferWriter<byte> _message = new();

    public bool IsFull => false;

    public IReadOnlyList<long> Revisions
    {
        get
        {
            lock (_revisions)
            {
                return [.. _revisions];
            }
        }
    }

    /// <summary>From the first revision on.</summary>
    public WatchStream Open(EtcdNode node)
    {
        WatchStream stream = node.State.Watches.Open(this);
        var request = new ProtoBuffer();
        int create = request.BeginMessage(1);
        request.Bytes(1, [0]);
        request.Bytes(2, [0]);
        request.Int64(3, 1);
        request.EndMessage(create);
        Assert.True(stream.TryHandle(request.Written));
        return stream;
    }

    public IBufferWriter<byte> StartMessage(int bytes)
    {
        Note();
        return _message;
    }

    public bool TryFlush()
    {
        Note();
        return true;
    }

    private void Note()
    {
        var response = new ProtoReader(_message.WrittenSpan);
        while (response.Next())
        {
            if (response.Field != 11)
            {
                continue;
            }

            var change = new ProtoReader(response.Bytes);
            while (change.Next())
            {
                if (change.Field != 2)
                {
                    continue;
                }

                var kv = new ProtoReader(change.Bytes);
                while (kv.Next())
                {
                    if (kv.Field == 3)
                    {
                        lock (_revisions)
                        {
                            _revisions.Add((long)kv.UInt64);
                        }
                    }
                }
            }
        }

        _message.ResetWrittenCount();
    }
}
