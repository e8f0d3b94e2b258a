using Google.Protobuf.Reflection;
using Grpc.Reflection.V1;
using Perf.Grpc;
using StatusCode = Perf.Grpc.StatusCode;

namespace Perf.Rpc.Reflection;

/// <summary>
/// grpc.reflection: the descriptors of what is served, for tools without .proto files. etcd has no such service; ours
/// tells nothing that etcd's published files do not (SURFACE RPC-09). Versions v1 and v1alpha have the same bytes.
/// </summary>
internal sealed class ReflectionService
{
    private readonly GrpcRouter _services;

    /// <summary>Made for the first question: descriptors take tens of milliseconds of a start.</summary>
    private readonly Lazy<DescribedNames> _names = new(() => new DescribedNames(ServedFiles.All));

    public ReflectionService(GrpcRouter services)
    {
        _services = services;
    }

    public void Map(GrpcRouter router)
    {
        router.Map("/grpc.reflection.v1.ServerReflection/ServerReflectionInfo", MethodKind.Duplex, Serve);
        router.Map("/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo", MethodKind.Duplex, Serve);
    }

    private async ValueTask Serve(ServerCall call)
    {
        while (await call.ReadMessageAsync().ConfigureAwait(false))
        {
            ServerReflectionRequest request = Messages.Parse(ServerReflectionRequest.Parser, call);
            ServerReflectionResponse answer = Answer(request);
            answer.ValidHost = request.Host;
            answer.OriginalRequest = request;
            Messages.Write(call, answer);
            await call.FlushAsync().ConfigureAwait(false);
        }
    }

    private ServerReflectionResponse Answer(ServerReflectionRequest request) => request.MessageRequestCase switch
    {
        ServerReflectionRequest.MessageRequestOneofCase.ListServices => Services(),
        ServerReflectionRequest.MessageRequestOneofCase.FileByFilename =>
            File(_names.Value.Files, request.FileByFilename, "unknown file"),
        ServerReflectionRequest.MessageRequestOneofCase.FileContainingSymbol =>
            File(_names.Value.Symbols, request.FileContainingSymbol, "unknown symbol"),
        ServerReflectionRequest.MessageRequestOneofCase.FileContainingExtension =>
            Refused(StatusCode.NotFound, $"unknown extension of {request.FileContainingExtension.ContainingType}"),
        ServerReflectionRequest.MessageRequestOneofCase.AllExtensionNumbersOfType =>
            _names.Value.Symbols.ContainsKey(request.AllExtensionNumbersOfType)
                ? new ServerReflectionResponse
                {
                    AllExtensionNumbersResponse =
                        new ExtensionNumberResponse { BaseTypeName = request.AllExtensionNumbersOfType },
                }
                : Refused(StatusCode.NotFound, $"unknown type {request.AllExtensionNumbersOfType}"),
        _ => Refused(StatusCode.InvalidArgument, "the request asks for nothing"),
    };

    private static ServerReflectionResponse Refused(StatusCode code, string text) =>
        new() { ErrorResponse = new ErrorResponse { ErrorCode = (int)code, ErrorMessage = text } };

    private static ServerReflectionResponse File(
        Dictionary<string, FileDescriptor> table, string name, string trouble)
    {
        if (!table.TryGetValue(name, out FileDescriptor? file))
        {
            return Refused(StatusCode.NotFound, $"{trouble} {name}");
        }

        // With everything that it imports, so that one question is enough.
        var answer = new FileDescriptorResponse();
        var told = new HashSet<string>(StringComparer.Ordinal);
        Tell(file);
        return new ServerReflectionResponse { FileDescriptorResponse = answer };

        void Tell(FileDescriptor described)
        {
            if (!told.Add(described.Name))
            {
                return;
            }

            answer.FileDescriptorProto.Add(described.SerializedData);
            foreach (FileDescriptor imported in described.Dependencies)
            {
                Tell(imported);
            }
        }
    }

    private ServerReflectionResponse Services()
    {
        var list = new ListServiceResponse();
        IEnumerable<string> names = _services.Methods.Select(method => method.Service).Distinct();
        list.Service.AddRange(names.Order(StringComparer.Ordinal).Select(name => new ServiceResponse { Name = name }));
        return new ServerReflectionResponse { ListServicesResponse = list };
    }
}
