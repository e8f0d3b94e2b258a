using Google.Protobuf.Reflection;
using Perf.Contracts;

namespace Perf.Rpc;

/// <summary>The .proto files whose services are served.</summary>
internal static class ServedFiles
{
    public static IReadOnlyList<FileDescriptor> All { get; } =
        [.. ContractFiles.Load().Where(file => file.Services.Count > 0)];
}
