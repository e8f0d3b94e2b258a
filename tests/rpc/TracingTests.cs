using System.Buffers;
using System.Collections.Concurrent;
using System.Text;
using Etcdserverpb;
using Google.Protobuf;
using Perf.Grpc;
using Xunit;
using Metadata = Perf.Grpc.Metadata;

namespace Perf.Rpc.Tests;

/// <summary>Spans of calls arrive at a collector (--experimental-distributed-tracing-*).</summary>
public sealed class TracingTests
{
    private const string Export = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";
    private const string Put = "/etcdserverpb.KV/Put";

    [Theory]
    [InlineData(1_000_000, false, true)]
    [InlineData(0, false, false)]
    [InlineData(0, true, true)]
    public async Task SpansAreSampledByChanceOrByTheClient(long samplesPerMillion, bool clientTraces, bool arrives)
    {
        var received = new ConcurrentQueue<byte[]>();
        var router = new GrpcRouter();
        router.Map(Export, MethodKind.Unary, call =>
        {
            received.Enqueue(call.Message.ToArray());
            call.WriteMessage([]);
            return default;
        });
        using var free = new System.Net.Sockets.TcpListener(System.Net.IPAddress.Loopback, 0);
        free.Start();
        int port = ((System.Net.IPEndPoint)free.LocalEndpoint).Port;
        free.Stop();
        await using var collector = new GrpcServer(
            new GrpcServerOptions { Endpoints = [new ListenEndpoint { Url = $"http://127.0.0.1:{port}" }] }, router);
        await collector.StartAsync();
        RpcServer server = await RpcServer.StartAsync(config =>
        {
            config.Tracing.Enabled = true;
            config.Tracing.Address = $"127.0.0.1:{port}";
            config.Tracing.ServiceName = "my-etcd";
            config.Tracing.InstanceId = "number-7";
            config.Tracing.SamplesPerMillion = samplesPerMillion;
        });
        try
        {
            var headers = new Metadata();
            if (clientTraces)
            {
                headers.Add("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01");
            }

            await server.Channel.UnaryAsync(
                Put,
                new PutRequest { Key = ByteString.CopyFromUtf8("k") }.ToByteArray(),
                CallOptions.Timeout(TimeSpan.FromSeconds(20), headers));
        }
        finally
        {
            // What is left is sent at the end.
            await server.DisposeAsync();
        }

        byte[] spans = [.. received.SelectMany(message => message)];
        Assert.Equal(arrives, Has(spans, "etcdserverpb.KV/Put"u8));
        if (arrives)
        {
            Assert.True(Has(spans, "my-etcd"u8) && Has(spans, "number-7"u8), Encoding.UTF8.GetString(spans));
            Assert.Equal(clientTraces, Has(spans, Convert.FromHexString("0af7651916cd43dd8448eb211c80319c")));
        }
    }

    private static bool Has(byte[] spans, ReadOnlySpan<byte> text) => spans.AsSpan().IndexOf(text) >= 0;
}
