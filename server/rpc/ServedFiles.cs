using Etcdserverpb;
using Google.Protobuf.Reflection;
using Grpc.Health.V1;
using V3Electionpb;
using V3Lockpb;
using V1 = Grpc.Reflection.V1;
using V1Alpha = Grpc.Reflection.V1Alpha;

namespace Perf.Rpc;

/// <summary>The .proto files whose services are served.</summary>
internal static class ServedFiles
{
    public static IReadOnlyList<FileDescriptor> All { get; } =
    [
        RangeRequest.Descriptor.File, WatchRequest.Descriptor.File, LeaseGrantRequest.Descriptor.File,
        MemberAddRequest.Descriptor.File, StatusRequest.Descriptor.File, AuthEnableRequest.Descriptor.File,
        LockRequest.Descriptor.File, CampaignRequest.Descriptor.File, HealthCheckRequest.Descriptor.File,
        V1.ServerReflectionRequest.Descriptor.File, V1Alpha.ServerReflectionRequest.Descriptor.File,
    ];
}
