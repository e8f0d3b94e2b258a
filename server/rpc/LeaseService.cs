using System.Buffers;
using Perf.Grpc;
using Perf.Node;
using Perf.Node.Consensus;
using Perf.Store;
using Perf.Store.Auth;
using Perf.Store.Commands;
using Perf.Store.Lease;

namespace Perf.Rpc;

/// <summary>etcdserverpb.Lease.</summary>
internal sealed class LeaseService(EtcdNode node, Admission admission, Proposals proposals)
{
    public void Map(GrpcRouter router)
    {
        router.Map("/etcdserverpb.Lease/LeaseGrant", MethodKind.Unary, Grant);
        router.Map("/etcdserverpb.Lease/LeaseRevoke", MethodKind.Unary, Revoke);
        router.Map("/etcdserverpb.Lease/LeaseKeepAlive", MethodKind.Duplex, KeepAlive);
        router.Map("/etcdserverpb.Lease/LeaseTimeToLive", MethodKind.Unary, TimeToLive);
        router.Map("/etcdserverpb.Lease/LeaseLeases", MethodKind.Unary, Leases);
    }

    private ValueTask Grant(ServerCall call)
    {
        if (!TryReadGrant(call.Message, out LeaseGrantView grant))
        {
            StatusMapping.Fail(call, StoreError.Malformed);
            return default;
        }

        StoreError error = admission.Admit(call);
        if (error == StoreError.None)
        {
            error = admission.Identify(call, out RequestIdentity who);
            if (error == StoreError.None)
            {
                // An id that the client left to us is chosen before proposing: all members must store the same.
                byte[] body = new byte[ProtoSize.Int64(1, long.MinValue) * 2];
                var writer = new ProtoWriter(body);
                writer.Int64(1, grant.Ttl);
                writer.Int64(2, grant.Id == 0 ? node.Pipeline.Ids.NextLease() : grant.Id);
                ProposalDraft draft = node.Pipeline.Draft(
                    InternalField.LeaseGrant, new ReadOnlySequence<byte>(body, 0, writer.Position), who);
                return proposals.Go(call, draft, StoreError.None, QuotaCost.LeaseGrant);
            }
        }

        StatusMapping.Fail(call, error);
        return default;
    }

    private ValueTask Revoke(ServerCall call)
    {
        Messages.Parse(Etcdserverpb.LeaseRevokeRequest.Parser, call);
        return proposals.Through(call, InternalField.LeaseRevoke);
    }

    private static bool TryReadGrant(in ReadOnlySequence<byte> message, out LeaseGrantView grant)
    {
        using var request = new ContiguousMessage(message);
        return LeaseGrantView.TryParse(request.Span, out grant);
    }

    private async ValueTask KeepAlive(ServerCall call)
    {
        StoreError error = admission.Admit(call);
        if (error != StoreError.None)
        {
            StatusMapping.Fail(call, error);
            return;
        }

        await call.SendHeadersAsync().ConfigureAwait(false);
        while (await call.ReadMessageAsync().ConfigureAwait(false))
        {
            if (!TryReadKeepAlive(call.Message, out LeaseKeepAliveView request))
            {
                StatusMapping.Fail(call, StoreError.Malformed);
                return;
            }

            // The header is taken before the renewal, as etcd does it.
            ResponseHeader header = node.Header();
            error = admission.Subject(call, out AuthSubject subject);
            if (error == StoreError.None)
            {
                // Asked again each time: auth may have been switched on since the stream was opened.
                error = subject.CheckNamed();
            }

            if (error == StoreError.None && !subject.MayDoEverything)
            {
                error = RequestAuthorizer.CheckLeaseKeys(subject, request.Id, node.State.Machine.LeaseKeys);
            }

            long ttl = 0;
            if (error == StoreError.None)
            {
                (error, ttl) = await node.RenewLeaseAsync(request.Id).ConfigureAwait(false);
            }

            if (error != StoreError.None && error != StoreError.LeaseNotFound)
            {
                StatusMapping.Fail(call, error);
                return;
            }

            Write(call, header, request.Id, error == StoreError.None ? ttl : 0);
            await call.FlushAsync().ConfigureAwait(false);
        }
    }

    private static bool TryReadKeepAlive(in ReadOnlySequence<byte> message, out LeaseKeepAliveView request)
    {
        using var span = new ContiguousMessage(message);
        return LeaseKeepAliveView.TryParse(span.Span, out request);
    }

    private static void Write(ServerCall call, in ResponseHeader header, long id, long ttl)
    {
        var buffer = new ProtoBuffer(64);
        LeaseResponses.WriteKeepAlive(header, id, ttl, buffer);
        call.WriteMessage(buffer.Written);
    }

    private async ValueTask TimeToLive(ServerCall call)
    {
        if (!TryReadTimeToLive(call.Message, out LeaseTimeToLiveView request))
        {
            StatusMapping.Fail(call, StoreError.Malformed);
            return;
        }

        StoreError error = admission.Admit(call);
        LeaseInfo? info = null;
        if (error == StoreError.None)
        {
            (error, info) = await node.LeaseTimeToLiveAsync(request.Id, request.Keys).ConfigureAwait(false);
        }

        if (error == StoreError.None && request.Keys && info is not null)
        {
            error = admission.Subject(call, out AuthSubject subject);
            if (error == StoreError.None && !subject.MayDoEverything)
            {
                // The very keys that would be told: the leader's, which may be ahead of ours.
                error = RequestAuthorizer.CheckKeys(subject, info.Keys, PermissionKind.Read);
            }
        }

        if (error != StoreError.None && error != StoreError.LeaseNotFound)
        {
            StatusMapping.Fail(call, error);
            return;
        }

        var buffer = new ProtoBuffer(128);
        if (error == StoreError.LeaseNotFound || info is null)
        {
            LeaseResponses.WriteTimeToLiveUnknown(node.Header(), request.Id, buffer);
        }
        else
        {
            LeaseResponses.WriteTimeToLive(node.Header(), info, buffer);
        }

        call.WriteMessage(buffer.Written);
    }

    private static bool TryReadTimeToLive(in ReadOnlySequence<byte> message, out LeaseTimeToLiveView request)
    {
        using var span = new ContiguousMessage(message);
        return LeaseTimeToLiveView.TryParse(span.Span, out request);
    }

    private ValueTask Leases(ServerCall call)
    {
        StoreError error = admission.Admit(call);
        long[] leases = [];
        if (error == StoreError.None)
        {
            leases = node.State.Machine.Leases.Leases();
            error = CheckEvery(call, leases);
        }

        if (error != StoreError.None)
        {
            StatusMapping.Fail(call, error);
            return default;
        }

        var buffer = new ProtoBuffer(256);
        LeaseResponses.WriteLeases(node.Header(), leases, buffer);
        call.WriteMessage(buffer.Written);
        return default;
    }

    /// <summary>The list is for who may read every key that hangs on a lease, as in etcd.</summary>
    private StoreError CheckEvery(ServerCall call, long[] leases)
    {
        StoreError error = admission.Subject(call, out AuthSubject subject);
        for (int i = 0; i < leases.Length && error == StoreError.None && !subject.MayDoEverything; i++)
        {
            error = RequestAuthorizer.CheckLeaseKeys(
                subject, leases[i], node.State.Machine.LeaseKeys, PermissionKind.Read);
        }

        return error;
    }
}
