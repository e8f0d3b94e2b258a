using Etcdserverpb;
using Perf.Grpc;
using Perf.Node;
using Perf.Store;

namespace Perf.Rpc;

/// <summary>etcdserverpb.Cluster.</summary>
internal sealed class ClusterService(EtcdNode node, Admission admission)
{
    public void Map(GrpcRouter router) =>
        router.Map("/etcdserverpb.Cluster/MemberList", MethodKind.Unary, MemberList);

    /// <summary>Headers of this service carry no revision (SURFACE REQ-01).</summary>
    private Etcdserverpb.ResponseHeader Header() => Messages.Header(node.Header() with { Revision = 0 });

    private async ValueTask MemberList(ServerCall call)
    {
        MemberListRequest request = MemberListRequest.Parser.ParseFrom(call.Message);
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
