using System.Buffers;
using System.Runtime.CompilerServices;
using Perf.Grpc;
using Perf.Node;
using Perf.Node.Consensus;
using Perf.Store;
using Perf.Store.Auth;
using Perf.Store.Commands;
using Perf.Store.Membership;

namespace Perf.Rpc;

/// <summary>etcdserverpb.KV.</summary>
internal sealed partial class KvService(EtcdNode node, Admission admission, Proposals proposals)
{
    /// <summary>A range of so many keys is read while others wait.</summary>
    private const int NarrowKeysMax = 64;

    public void Map(GrpcRouter router)
    {
        router.Map("/etcdserverpb.KV/Range", MethodKind.Unary, Range);
        router.Map("/etcdserverpb.KV/RangeStream", MethodKind.ServerStream, RangeStream);
        router.Map("/etcdserverpb.KV/Put", MethodKind.Unary, Put);
        router.Map("/etcdserverpb.KV/DeleteRange", MethodKind.Unary, DeleteRange);
        router.Map("/etcdserverpb.KV/Txn", MethodKind.Unary, Txn);
        router.Map("/etcdserverpb.KV/Compact", MethodKind.Unary, Compact);
    }

    private ValueTask Range(ServerCall call)
    {
        bool serializable = IsSerializable(call.Message, out bool isWide, out StoreError error);
        if (error == StoreError.None)
        {
            error = admission.Admit(call, learnerServes: serializable);
        }

        if (error != StoreError.None)
        {
            StatusMapping.Fail(call, error);
            return default;
        }

        if (!serializable)
        {
            ValueTask<StoreError> ready = node.LinearizableAsync();
            if (!ready.IsCompletedSuccessfully)
            {
                return RangeWhenReady(call, ready);
            }

            error = ready.Result;
        }

        if (isWide && !call.IsAlone)
        {
            return RangeElsewhere(call, error);
        }

        ServeRange(call, error);
        return default;
    }

    /// <summary>Others that came in with it are served by this thread next, and need not wait for so many keys.</summary>
    [AsyncMethodBuilder(typeof(PoolingAsyncValueTaskMethodBuilder))]
    private async ValueTask RangeElsewhere(ServerCall call, StoreError error)
    {
        await Task.CompletedTask.ConfigureAwait(ConfigureAwaitOptions.ForceYielding);
        ServeRange(call, error);
    }

    [AsyncMethodBuilder(typeof(PoolingAsyncValueTaskMethodBuilder))]
    private async ValueTask RangeWhenReady(ServerCall call, ValueTask<StoreError> ready) =>
        ServeRange(call, await ready.ConfigureAwait(false));

    private void ServeRange(ServerCall call, StoreError error)
    {
        if (error != StoreError.None)
        {
            StatusMapping.Fail(call, error);
            return;
        }

        using var request = new ContiguousMessage(call.Message);
        ulong revision = admission.AuthRevision;
        RangeView.TryParse(request.Span, out RangeView range);
        bool isChecked = admission.IsOn;
        if (isChecked)
        {
            error = admission.CheckRead(call, range.Key, range.RangeEnd);
        }

        if (error == StoreError.None)
        {
            SizedResponse response = SizedResponse.For(call);
            error = node.State.Machine.Kv.Range(range, node.Header(), response);
            response.Release();
            error = StandBy(call, isChecked, revision, error);
        }

        if (error != StoreError.None)
        {
            StatusMapping.Fail(call, error);
        }
    }

    /// <summary>Users may have changed between the check and the read: then nothing of it goes out (SURFACE AUT-17).</summary>
    private StoreError StandBy(ServerCall call, bool isChecked, ulong revision, StoreError error)
    {
        if (error == StoreError.None && isChecked && admission.AuthRevision != revision)
        {
            call.TakeBack();
            return StoreError.AuthOldRevision;
        }

        return error;
    }

    private static bool IsSerializable(in ReadOnlySequence<byte> message, out bool isWide, out StoreError error)
    {
        using var request = new ContiguousMessage(message);
        isWide = false;
        error = RequestValidator.ValidateRange(request.Span);
        if (error != StoreError.None || !RangeView.TryParse(request.Span, out RangeView range))
        {
            return false;
        }

        isWide = !range.RangeEnd.IsEmpty && range.Limit is 0 or > NarrowKeysMax;
        return range.Serializable;
    }

    private ValueTask Put(ServerCall call)
    {
        StoreError error = proposals.Draft(call, InternalField.Put, out ProposalDraft draft);
        if (error == StoreError.None)
        {
            error = RequestValidator.ValidatePut(draft.Body);
            PutView.TryParse(draft.Body, out PutView put);
            return proposals.Go(call, draft, error, QuotaCost.Put(put));
        }

        StatusMapping.Fail(call, error);
        return default;
    }

    private ValueTask DeleteRange(ServerCall call)
    {
        StoreError error = proposals.Draft(call, InternalField.DeleteRange, out ProposalDraft draft);
        if (error == StoreError.None)
        {
            return proposals.Go(call, draft, RequestValidator.ValidateDeleteRange(draft.Body), 0);
        }

        StatusMapping.Fail(call, error);
        return default;
    }

    private ValueTask Txn(ServerCall call)
    {
        bool isWrite;
        bool serializable;
        StoreError error;
        using (var request = new ContiguousMessage(call.Message))
        {
            error = RequestValidator.ValidateTxn(request.Span, node.Config.MaxTxnOps);
            isWrite = RequestValidator.IsWriteTxn(request.Span, out serializable);
        }

        if (error == StoreError.None && isWrite)
        {
            error = proposals.Draft(call, InternalField.Txn, out ProposalDraft draft);
            if (error == StoreError.None && node.Config.SpeakAs == SpeakAs.V34)
            {
                error = CheckWhole(call, draft);
            }

            if (error == StoreError.None)
            {
                return proposals.Go(call, draft, StoreError.None, QuotaCost.Txn(draft.Body));
            }
        }
        else if (error == StoreError.None)
        {
            error = admission.Admit(call);
        }

        if (error != StoreError.None)
        {
            StatusMapping.Fail(call, error);
            return default;
        }

        if (!serializable)
        {
            ValueTask<StoreError> ready = node.LinearizableAsync();
            if (!ready.IsCompletedSuccessfully)
            {
                return ReadTxnWhenReady(call, ready);
            }

            error = ready.Result;
        }

        ServeReadTxn(call, error);
        return default;
    }

    /// <summary>Where apply decides as 3.4 does, which looks at less, nothing else gets in by us. Discards what is refused.</summary>
    private StoreError CheckWhole(ServerCall call, in ProposalDraft draft)
    {
        StoreError error = admission.Subject(call, out AuthSubject subject);
        if (error == StoreError.None && !subject.MayDoEverything)
        {
            error = RequestAuthorizer.CheckTxn(subject, draft.Body, node.State.Machine.LeaseKeys);
        }

        if (error != StoreError.None)
        {
            draft.Discard();
        }

        return error;
    }

    [AsyncMethodBuilder(typeof(PoolingAsyncValueTaskMethodBuilder))]
    private async ValueTask ReadTxnWhenReady(ServerCall call, ValueTask<StoreError> ready) =>
        ServeReadTxn(call, await ready.ConfigureAwait(false));

    private void ServeReadTxn(ServerCall call, StoreError error)
    {
        using var request = new ContiguousMessage(call.Message);
        AuthSubject subject = default;
        ulong revision = admission.AuthRevision;
        if (error == StoreError.None)
        {
            error = admission.Subject(call, out subject);
        }

        if (error == StoreError.None && !subject.MayDoEverything)
        {
            error = RequestAuthorizer.CheckTxn(subject, request.Span, node.State.Machine.LeaseKeys);
        }

        if (error == StoreError.None)
        {
            SizedResponse response = SizedResponse.For(call);
            error = node.State.Machine.Kv.ReadOnlyTxn(request.Span, node.Header(), response);
            response.Release();
            error = StandBy(call, subject.IsChecked, revision, error);
        }

        if (error != StoreError.None)
        {
            StatusMapping.Fail(call, error);
        }
    }

    private async ValueTask Compact(ServerCall call)
    {
        StoreError error = proposals.Draft(call, InternalField.Compaction, out ProposalDraft draft);
        if (error != StoreError.None)
        {
            StatusMapping.Fail(call, error);
            return;
        }

        if (!CompactionView.TryParse(draft.Body, out CompactionView compaction))
        {
            draft.Discard();
            StatusMapping.Fail(call, StoreError.Malformed);
            return;
        }

        using PendingRequest request = proposals.Submit(draft);
        await request.Completion.ConfigureAwait(false);
        if (request.Error == StoreError.None && compaction.Physical)
        {
            await node.CompactedPhysicallyAsync(compaction.Revision).ConfigureAwait(false);
        }

        Proposals.Answer(call, request);
    }
}
