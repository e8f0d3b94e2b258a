using Google.Protobuf;
using Google.Protobuf.Reflection;
using Grpc.Reflection.V1;
using Perf.Grpc;
using Xunit;

namespace Perf.Rpc.Tests;

/// <summary>Server reflection, in both of its versions (SURFACE RPC-09).</summary>
public sealed class ReflectionTests(RpcServer server) : IClassFixture<RpcServer>
{
    public static TheoryData<string> Versions => new("v1", "v1alpha");

    [Theory]
    [MemberData(nameof(Versions))]
    public async Task EveryServedServiceIsListedAndDescribed(string version)
    {
        ServerReflectionResponse list = await AskAsync(version, new ServerReflectionRequest { ListServices = "" });
        string[] services = [.. list.ListServicesResponse.Service.Select(service => service.Name)];
        Assert.Contains("etcdserverpb.KV", services);
        Assert.Contains("grpc.health.v1.Health", services);
        Assert.Equal(11, services.Length);
        foreach (string service in services)
        {
            FileDescriptor file = await FileOfAsync(version, new ServerReflectionRequest { FileContainingSymbol = service });
            Assert.Contains(file.Services, described => described.FullName == service);
        }
    }

    [Theory]
    [InlineData("etcdserverpb.KV.RangeStream", "etcdserverpb/kv.proto")]
    [InlineData("etcdserverpb.RangeRequest", "etcdserverpb/kv.proto")]
    [InlineData("etcdserverpb.RangeRequest.SortOrder", "etcdserverpb/kv.proto")]
    [InlineData("mvccpb.KeyValue.mod_revision", "mvccpb/kv.proto")]
    [InlineData("authpb.Permission", "authpb/auth.proto")]
    public async Task ASymbolIsFoundInItsFile(string symbol, string file)
    {
        Assert.Equal(file, (await FileOfAsync("v1", new ServerReflectionRequest { FileContainingSymbol = symbol })).Name);
        Assert.Equal(file, (await FileOfAsync("v1", new ServerReflectionRequest { FileByFilename = file })).Name);
    }

    [Fact]
    public async Task WhatIsNotThereIsNotFound()
    {
        foreach (ServerReflectionRequest request in new[]
        {
            new ServerReflectionRequest { FileByFilename = "no.proto" },
            new ServerReflectionRequest { FileContainingSymbol = "no.Symbol" },
            new ServerReflectionRequest { FileContainingExtension = new ExtensionRequest { ContainingType = "a.B" } },
            new ServerReflectionRequest { AllExtensionNumbersOfType = "a.B" },
        })
        {
            ServerReflectionResponse answer = await AskAsync("v1", request);
            Assert.Equal((int)StatusCode.NotFound, answer.ErrorResponse.ErrorCode);
            Assert.Equal(request, answer.OriginalRequest);
        }
    }

    private async Task<FileDescriptor> FileOfAsync(string version, ServerReflectionRequest request)
    {
        ServerReflectionResponse answer = await AskAsync(version, request);
        Assert.Null(answer.ErrorResponse);
        ByteString asked = answer.FileDescriptorResponse.FileDescriptorProto[0];

        // It comes first, what it imports behind it; descriptors are built from the imports on.
        IReadOnlyList<FileDescriptor> built = FileDescriptor.BuildFromByteStrings(
            InOrder([.. answer.FileDescriptorResponse.FileDescriptorProto]));
        string name = FileDescriptorProto.Parser.ParseFrom(asked).Name;
        return built.Single(file => file.Name == name);
    }

    private static List<ByteString> InOrder(List<ByteString> files)
    {
        Dictionary<string, (FileDescriptorProto Parsed, ByteString Bytes)> byName = files
            .Select(bytes => (Parsed: FileDescriptorProto.Parser.ParseFrom(bytes), Bytes: bytes))
            .ToDictionary(file => file.Parsed.Name);
        var order = new List<ByteString>();
        var done = new HashSet<string>();
        foreach (string name in byName.Keys)
        {
            Visit(name);
        }

        return order;

        void Visit(string name)
        {
            if (!done.Add(name))
            {
                return;
            }

            foreach (string import in byName[name].Parsed.Dependency)
            {
                Visit(import);
            }

            order.Add(byName[name].Bytes);
        }
    }

    private async Task<ServerReflectionResponse> AskAsync(string version, ServerReflectionRequest request)
    {
        var method = new ClientMethod<ServerReflectionRequest, ServerReflectionResponse>(
            $"/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo",
            message => message.ToByteArray(),
            bytes => ServerReflectionResponse.Parser.ParseFrom(bytes.Span));
        await using ClientStream<ServerReflectionRequest, ServerReflectionResponse> stream =
            server.Channel.Open(method, RpcServer.Options());
        await stream.WriteAsync(request);
        Assert.True(await stream.MoveNextAsync());
        return stream.Current;
    }
}
