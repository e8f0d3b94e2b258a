using Etcdserverpb;
using Perf.Grpc;
using Perf.Node;
using Perf.Store;

namespace Perf.Rpc;

/// <summary>etcdserverpb.Cluster.</summary>
internal sealed class ClusterService(EtcdNode node, Admission admission)
{
    public void Map(GrpcRouter router)
    {
        router.Map("/etcdserverpb.Cluster/MemberAdd", MethodKind.Unary, MemberAdd);
        router.Map("/etcdserverpb.Cluster/MemberRemove", MethodKind.Unary, MemberRemove);
        router.Map("/etcdserverpb.Cluster/MemberUpdate", MethodKind.Unary, MemberUpdate);
        router.Map("/etcdserverpb.Cluster/MemberPromote", MethodKind.Unary, MemberPromote);
        router.Map("/etcdserverpb.Cluster/MemberList", MethodKind.Unary, MemberList);
    }

    /// <summary>Peer URLs as etcd takes them: a scheme, a host, a port, no path; none twice.</summary>
    private static bool AreGood(IReadOnlyCollection<string> urls)
    {
        foreach (string text in urls)
        {
            if (!Uri.TryCreate(text, UriKind.Absolute, out Uri? url) || url.Scheme is not ("http" or "https" or "unix" or "unixs")
                || url.Host.Length == 0 || url.AbsolutePath != "/" || text.EndsWith('/')
                || text.LastIndexOf(':') <= text.IndexOf("//", StringComparison.Ordinal))
            {
                return false;
            }
        }

        return urls.Count > 0;
    }

    /// <summary>Headers of this service carry no revision (SURFACE REQ-01).</summary>
    private Etcdserverpb.ResponseHeader Header() => Messages.Header(node.Header() with { Revision = 0 });

    private async ValueTask MemberList(ServerCall call)
    {
        MemberListRequest request = Messages.Parse(MemberListRequest.Parser, call);
        StoreError error = admission.Admit(call);
        if (error == StoreError.None && request.Linearizable)
        {
            error = await node.LinearizableAsync().ConfigureAwait(false);
        }

        if (error != StoreError.None)
        {
            StatusMapping.Fail(call, error);
            return;
        }

        var response = new MemberListResponse { Header = Header() };
        response.Members.AddRange(Members());
        Messages.Write(call, response);
    }

    private async ValueTask MemberAdd(ServerCall call)
    {
        MemberAddRequest request = Messages.Parse(MemberAddRequest.Parser, call);
        StoreError error = Admit(call);
        ulong id = 0;
        if (error == StoreError.None)
        {
            (error, id) = AreGood(request.PeerURLs)
                ? await node.AddMemberAsync(request.PeerURLs, request.IsLearner).ConfigureAwait(false)
                : (StoreError.MemberBadUrls, 0UL);
        }

        var response = new MemberAddResponse { Header = Header() };
        response.Members.AddRange(Members());
        response.Member = response.Members.FirstOrDefault(m => m.ID == id);
        Answer(call, error, response);
    }

    private async ValueTask MemberRemove(ServerCall call)
    {
        MemberRemoveRequest request = Messages.Parse(MemberRemoveRequest.Parser, call);
        StoreError error = Admit(call);
        if (error == StoreError.None)
        {
            error = await node.RemoveMemberAsync(request.ID).ConfigureAwait(false);
        }

        var response = new MemberRemoveResponse { Header = Header() };
        response.Members.AddRange(Members());
        Answer(call, error, response);
    }

    private async ValueTask MemberUpdate(ServerCall call)
    {
        MemberUpdateRequest request = Messages.Parse(MemberUpdateRequest.Parser, call);
        StoreError error = Admit(call);
        if (error == StoreError.None)
        {
            error = AreGood(request.PeerURLs)
                ? await node.UpdateMemberAsync(request.ID, request.PeerURLs).ConfigureAwait(false)
                : StoreError.MemberBadUrls;
        }

        var response = new MemberUpdateResponse { Header = Header() };
        response.Members.AddRange(Members());
        Answer(call, error, response);
    }

    private async ValueTask MemberPromote(ServerCall call)
    {
        MemberPromoteRequest request = Messages.Parse(MemberPromoteRequest.Parser, call);
        StoreError error = Admit(call);
        if (error == StoreError.None)
        {
            error = await node.PromoteMemberAsync(request.ID).ConfigureAwait(false);
        }

        var response = new MemberPromoteResponse { Header = Header() };
        response.Members.AddRange(Members());
        Answer(call, error, response);
    }

    private StoreError Admit(ServerCall call)
    {
        StoreError error = admission.Admit(call);
        return error == StoreError.None ? admission.RequireRoot(call) : error;
    }

    private static void Answer<T>(ServerCall call, StoreError error, T response)
        where T : Google.Protobuf.IMessage<T>
    {
        if (error == StoreError.None)
        {
            Messages.Write(call, response);
        }
        else
        {
            StatusMapping.Fail(call, error);
        }
    }

    private IEnumerable<Member> Members()
    {
        foreach (Store.Membership.Member member in node.State.Machine.Members.Current.Members)
        {
            var message = new Member { ID = member.Id, Name = member.Name, IsLearner = member.IsLearner };
            message.PeerURLs.AddRange(member.PeerUrls);
            message.ClientURLs.AddRange(member.ClientUrls);
            yield return message;
        }
    }
}
