using System.Buffers;
using System.Text;
using Perf.Store.Auth;
using Perf.Store.Commands;
using Perf.Store.Lease;

namespace Perf.Node.Consensus;

/// <summary>What a leader proposes of its own accord about leases.</summary>
internal static class LeaseProposals
{
    private static readonly byte[] Root = Encoding.ASCII.GetBytes("root");

    /// <summary>
    /// The end of a lease whose time is over. As root where auth is on, as etcd does it: the keys that hang on it are
    /// somebody's, and nobody else asks.
    /// </summary>
    public static ProposalDraft Revoke(Pipeline pipeline, long lease)
    {
        byte[] body = new byte[ProtoSize.Int64(1, lease)];
        new ProtoWriter(body).Int64(1, lease);
        AuthView auth = pipeline.State.Machine.Auth.View;
#if MUTANTS
        if (Mutant.Is("26-nobody-ends-a-lease"))
        {
            return pipeline.Draft(InternalField.LeaseRevoke, new ReadOnlySequence<byte>(body), RequestIdentity.None);
        }
#endif
        return pipeline.Draft(
            InternalField.LeaseRevoke,
            new ReadOnlySequence<byte>(body),
            auth.Enabled ? new RequestIdentity(Root, auth.Revision) : RequestIdentity.None);
    }

    /// <summary>Remaining TTLs for the next leader.</summary>
    public static ProposalDraft Checkpoint(Pipeline pipeline, ReadOnlySpan<LeaseCheckpoint> checkpoints)
    {
        var body = new ProtoBuffer();
        foreach (ref readonly LeaseCheckpoint checkpoint in checkpoints)
        {
            int at = body.BeginMessage(1);
            body.Int64(1, checkpoint.Id);
            body.Int64(2, checkpoint.RemainingSeconds);
            body.EndMessage(at);
        }

        return pipeline.Draft(
            InternalField.LeaseCheckpoint, new ReadOnlySequence<byte>(body.WrittenMemory), RequestIdentity.None);
    }
}
