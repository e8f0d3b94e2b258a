using Perf.Grpc;
using Perf.Node;
using Perf.Node.Consensus;
using Perf.Store;

namespace Perf.Rpc;

/// <summary>The way of a unary call through the log: the client's bytes in, the store's answer out, both verbatim.</summary>
internal sealed class Proposals(EtcdNode node, Admission admission)
{
    /// <summary>Admits the call and copies its message into an entry. On an error there is no draft.</summary>
    public StoreError Draft(ServerCall call, int field, out ProposalDraft draft)
    {
        draft = default;
        StoreError error = admission.Admit(call);
        if (error != StoreError.None)
        {
            return error;
        }

        error = admission.Identify(call, out RequestIdentity who);
        if (error == StoreError.None)
        {
            draft = node.Pipeline.Draft(field, call.Message, who);
        }

        return error;
    }

    /// <summary>Submits a valid draft, or refuses; the answer is written when it comes.</summary>
    public ValueTask Go(ServerCall call, in ProposalDraft draft, StoreError error, long quotaCost)
    {
        if (error == StoreError.None && quotaCost > 0)
        {
            error = node.CheckQuota(quotaCost);
        }

        if (error != StoreError.None)
        {
            draft.Discard();
            StatusMapping.Fail(call, error);
            return default;
        }

        return AnswerWait.For(call, Submit(draft, call.IsAlone));
    }

    /// <summary>The same for a call without checks of its own.</summary>
    public ValueTask Through(ServerCall call, int field)
    {
        StoreError error = Draft(call, field, out ProposalDraft draft);
        if (error != StoreError.None)
        {
            StatusMapping.Fail(call, error);
            return default;
        }

        return AnswerWait.For(call, Submit(draft, call.IsAlone));
    }

    /// <summary>Submits; the caller awaits and disposes.</summary>
    public PendingRequest Submit(in ProposalDraft draft, bool isAlone = true) =>
        node.Pipeline.Submit(draft, node.ProposalDeadline, isAlone: isAlone);

    /// <summary>Writes a finished request's answer.</summary>
    public static void Answer(ServerCall call, PendingRequest request)
    {
        if (request.Error == StoreError.None)
        {
            call.WriteMessage(request.Response);
        }
        else
        {
            StatusMapping.Fail(call, request.Error);
        }
    }
}
