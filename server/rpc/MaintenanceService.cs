using System.Security.Cryptography;
using Etcdserverpb;
using Google.Protobuf;
using Perf.Grpc;
using Perf.Node;
using Perf.Store;
using Perf.Store.Commands;
using Perf.Store.Maintenance;
using Perf.Store.Mvcc;
using AlarmMember = Perf.Store.Maintenance.AlarmMember;
using AlarmRequest = Perf.Store.Maintenance.AlarmRequest;

namespace Perf.Rpc;

/// <summary>etcdserverpb.Maintenance.</summary>
internal sealed class MaintenanceService(EtcdNode node, Admission admission, Proposals proposals, HealthService health)
{
    /// <summary>etcd's chunk: the size of its snapshot messages.</summary>
    private const int SnapshotChunkBytes = 32 * 1024;

    /// <summary>What is sent at once: each send wakes the receiver.</summary>
    private const int SnapshotHeldBytesMax = 256 * 1024;

    public void Map(GrpcRouter router)
    {
        router.Map("/etcdserverpb.Maintenance/Alarm", MethodKind.Unary, Alarm);
        router.Map("/etcdserverpb.Maintenance/Status", MethodKind.Unary, Status);
        router.Map("/etcdserverpb.Maintenance/Defragment", MethodKind.Unary, Defragment);
        router.Map("/etcdserverpb.Maintenance/Hash", MethodKind.Unary, Hash);
        router.Map("/etcdserverpb.Maintenance/HashKV", MethodKind.Unary, HashKv);
        router.Map("/etcdserverpb.Maintenance/MoveLeader", MethodKind.Unary, MoveLeader);
        router.Map("/etcdserverpb.Maintenance/Snapshot", MethodKind.ServerStream, Snapshot);
    }

    /// <summary>What Status says; the gateway and the health checks read it too.</summary>
    public StatusResponse Describe()
    {
        var status = new StatusResponse
        {
            Header = Messages.Header(node.Header()),
            Version = node.ServerVersion,
            DbSize = node.State.Backend.SizeBytes,
            DbSizeInUse = node.State.Backend.SizeInUseBytes,
            Leader = node.Raft.Leader,
            RaftIndex = node.Raft.Commit,
            RaftTerm = node.Raft.Term,
            RaftAppliedIndex = node.Pipeline.AppliedIndex,
            IsLearner = node.IsLearner,
        };
        if (status.Leader == 0)
        {
            status.Errors.Add("etcdserver: no leader");
        }

        foreach (AlarmMember alarm in node.State.Machine.Alarms.Active)
        {
            status.Errors.Add($"memberID:{alarm.MemberId} alarm:{Name(alarm.Kind)} ");
        }

        return status;
    }

    private static string Name(AlarmKind kind) => kind.ToString().ToUpperInvariant();

    private ValueTask Alarm(ServerCall call)
    {
        using var request = new ContiguousMessage(call.Message);
        if (!AlarmRequest.TryParse(request.Span, out AlarmRequest alarm))
        {
            StatusMapping.Fail(call, StoreError.Malformed);
            return default;
        }

        StoreError error = alarm.Action == AlarmAction.Get ? admission.RequireUser(call) : admission.RequireRoot(call);
        if (error != StoreError.None)
        {
            StatusMapping.Fail(call, error);
            return default;
        }

        return proposals.Through(call, InternalField.Alarm);
    }

    private ValueTask Status(ServerCall call)
    {
        StoreError error = admission.Admit(call, learnerServes: true);
        if (error != StoreError.None)
        {
            StatusMapping.Fail(call, error);
        }
        else
        {
            Messages.Write(call, Describe());
        }

        return default;
    }

    private async ValueTask Defragment(ServerCall call)
    {
        StoreError error = admission.Admit(call);
        if (error == StoreError.None)
        {
            bool isUnhealthy = node.Config.StopServiceOnDefrag;
            health.Serving &= !isUnhealthy;
            try
            {
                await node.DefragmentAsync().ConfigureAwait(false);
            }
            finally
            {
                health.Serving |= isUnhealthy;
            }

            Messages.Write(call, new DefragmentResponse());
        }
        else
        {
            StatusMapping.Fail(call, error);
        }
    }

    private async ValueTask Hash(ServerCall call)
    {
        StoreError error = admission.Admit(call);
        if (error != StoreError.None)
        {
            StatusMapping.Fail(call, error);
            return;
        }

        uint hash = await node.HashAsync().ConfigureAwait(false);
        Messages.Write(call, new HashResponse { Header = Messages.Header(node.Header()), Hash = hash });
    }

    private ValueTask HashKv(ServerCall call)
    {
        StoreError error = admission.Admit(call);
        HashKVRequest request = Messages.Parse(HashKVRequest.Parser, call);
        HashKvResult result = default;
        if (error == StoreError.None)
        {
            error = node.HashByRevision(request.Revision, out result);
        }

        if (error != StoreError.None)
        {
            StatusMapping.Fail(call, error);
            return default;
        }

        Messages.Write(call, new HashKVResponse
        {
            Header = Messages.Header(node.Header() with { Revision = result.CurrentRevision }),
            Hash = result.Hash,
            CompactRevision = result.CompactRevision,
        });
        return default;
    }

    private async ValueTask MoveLeader(ServerCall call)
    {
        MoveLeaderRequest request = Messages.Parse(MoveLeaderRequest.Parser, call);
        StoreError error = admission.RequireRoot(call);
        if (error == StoreError.None)
        {
            error = await node.MoveLeaderAsync(request.TargetID).ConfigureAwait(false);
        }

        if (error == StoreError.None)
        {
            Messages.Write(call, new MoveLeaderResponse());
        }
        else
        {
            StatusMapping.Fail(call, error);
        }
    }

    private async ValueTask Snapshot(ServerCall call)
    {
        StoreError error = admission.Admit(call, learnerServes: true);
        if (error != StoreError.None)
        {
            StatusMapping.Fail(call, error);
            return;
        }

        using NodeImage image = await node.OpenImageAsync().ConfigureAwait(false);
        using var sha256 = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        var pace = new Pace(node);
        int held = 0;
        byte[] chunk = new byte[SnapshotChunkBytes];
        long length = image.Length;
        for (long at = 0; at < length;)
        {
            int bytes = image.Read(chunk, at);
            sha256.AppendData(chunk, 0, bytes);
            at += bytes;
            Messages.Write(call, new SnapshotResponse
            {
                Header = new Etcdserverpb.ResponseHeader(),
                RemainingBytes = (ulong)(length - at),
                Blob = UnsafeByteOperations.UnsafeWrap(chunk.AsMemory(0, bytes)),
            });
            held += bytes;
            if (held >= SnapshotHeldBytesMax || pace.IsDue)
            {
                held = 0;
                await call.FlushAsync().ConfigureAwait(false);
            }

            if (pace.IsDue)
            {
                await pace.StepBackAsync().ConfigureAwait(false);
            }
        }

        Messages.Write(call, new SnapshotResponse
        {
            Header = new Etcdserverpb.ResponseHeader(),
            Blob = UnsafeByteOperations.UnsafeWrap(sha256.GetHashAndReset()),
        });
    }
}
