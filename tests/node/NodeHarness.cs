using System.Buffers;
using Perf.Engine.IO;
using Perf.Node.Config;
using Perf.Node.Consensus;
using Perf.Node.Logging;
using Perf.Store;
using Perf.Store.Commands;
using Xunit;

namespace Perf.Node.Tests;

/// <summary>A single member in this process, spoken to below the services.</summary>
internal sealed class NodeHarness : IAsyncDisposable
{
    private NodeHarness(EtcdNode node, string directory)
    {
        Node = node;
        Directory = directory;
    }

    public EtcdNode Node { get; }

    public string Directory { get; }

    /// <summary>Fast elections: a lone member has nobody to wait for.</summary>
    public static ServerConfig Config(string directory) => new()
    {
        DataDir = directory,
        HeartbeatMs = 10,
        ElectionMs = 50,
    };

    public static async Task<NodeHarness> StartAsync(IDisk disk, ServerConfig config)
    {
        EtcdNode node = EtcdNode.StartOn(disk, config, Log.None, TimeProvider.System);
        await node.Ready.WaitAsync(TimeSpan.FromSeconds(30));
        return new NodeHarness(node, config.DataDir);
    }

    public static byte[] PutRequest(string key, byte[] value)
    {
        var buffer = new ProtoBuffer();
        buffer.Bytes(1, System.Text.Encoding.UTF8.GetBytes(key));
        buffer.Bytes(2, value);
        return buffer.Written.ToArray();
    }

    public static byte[] RangeRequest(string key)
    {
        var buffer = new ProtoBuffer();
        buffer.Bytes(1, System.Text.Encoding.UTF8.GetBytes(key));
        return buffer.Written.ToArray();
    }

    public async Task<StoreError> PutAsync(string key, byte[] value)
    {
        using PendingRequest request = Node.Propose(
            InternalField.Put, new ReadOnlySequence<byte>(PutRequest(key, value)), RequestIdentity.None);
        await request.Completion;
        return request.Error;
    }

    /// <summary>The RangeResponse's bytes for one key.</summary>
    public byte[] Get(string key)
    {
        Assert.True(RangeView.TryParse(RangeRequest(key), out RangeView range));
        var response = new ProtoBuffer();
        Assert.Equal(StoreError.None, Node.State.Machine.Kv.Range(range, Node.Header(), response));
        return response.Written.ToArray();
    }

    public ValueTask DisposeAsync() => Node.DisposeAsync();
}
