using System.Buffers;
using Perf.Store.Auth;
using Perf.Store.Commands;
using Perf.Store.Lease;
using Perf.Store.Maintenance;

namespace Perf.Store.Apply;

/// <summary>
/// The requests one by one. Each passes the same gates in the same order: alarms, then permission over the exact
/// bytes of the request, then its execution. A refusal leaves no trace but the index.
/// </summary>
public sealed partial class StateMachine
{
    private StoreError ApplyOnce(in InternalRequestView request, IBufferWriter<byte>? response, ref ApplyEffects effects)
    {
        var subject = Auth.Subject(request.Username, request.AuthRevision);
        switch (request.Field)
        {
            case InternalField.Put:
                return ApplyPut(subject, request.Body, response, ref effects);

            case InternalField.Range:
                return response is null ? StoreError.None : ApplyRange(subject, request.Body, response);

            case InternalField.DeleteRange:
                return ApplyDeleteRange(subject, request.Body, response);

            case InternalField.Txn:
                return ApplyTxn(subject, request.Body, response, ref effects);

            case InternalField.Compaction:
                return ApplyCompaction(request.Body, response, ref effects);

            case InternalField.LeaseGrant:
                return ApplyLeaseGrant(request.Body, response, ref effects);

            case InternalField.LeaseRevoke:
                return ApplyLeaseRevoke(subject, request.Body, response);

            case InternalField.LeaseCheckpoint:
                return ApplyLeaseCheckpoint(request.Body, response);

            case InternalField.Alarm:
                return ApplyAlarm(request.Body, response, ref effects);

            case InternalField.DowngradeVersionTest:
                // 3.6 proposes it to find out whether all members have left the version; it does nothing.
                return StoreError.None;

            default:
                return AuthRequests.IsAuth(request.Field)
                    ? ApplyAuth(subject, request, response, ref effects)
                    : StoreError.UnknownRequest;
        }
    }

    private StoreError ApplyPut(
        in AuthSubject subject, ReadOnlySpan<byte> body, IBufferWriter<byte>? response, ref ApplyEffects effects)
    {
        if (Alarms.IsCorrupt || Alarms.IsNoSpace)
        {
            return Alarms.IsCorrupt ? StoreError.Corrupt : StoreError.NoSpace;
        }

        if (!PutView.TryParse(body, out var put) || put.Key.IsEmpty)
        {
            return StoreError.Malformed;
        }

        if (!subject.MayDoEverything)
        {
            var refusal = RequestAuthorizer.CheckPut(subject, put, _leaseKeys, _options.AuthRules);
            if (refusal != StoreError.None)
            {
                return refusal;
            }
        }

        bool overQuota = IsOverQuota(QuotaCost.Put(put));
        var error = Kv.ApplyPut(put, Header(), overQuota ? null : response);
        return AfterQuota(error, overQuota, ref effects);
    }

    private StoreError ApplyRange(in AuthSubject subject, ReadOnlySpan<byte> body, IBufferWriter<byte> response)
    {
        if (Alarms.IsCorrupt)
        {
            return StoreError.Corrupt;
        }

        if (!RangeView.TryParse(body, out var range))
        {
            return StoreError.Malformed;
        }

        var refusal = RequestAuthorizer.CheckRange(subject, body);
        if (refusal != StoreError.None)
        {
            return refusal;
        }

        // Readers see what is published; the entries before this one are complete, so they may be.
        Kv.Publish();
        return Kv.Range(range, Header(), response);
    }

    private StoreError ApplyDeleteRange(in AuthSubject subject, ReadOnlySpan<byte> body, IBufferWriter<byte>? response)
    {
        if (Alarms.IsCorrupt)
        {
            return StoreError.Corrupt;
        }

        if (!DeleteRangeView.TryParse(body, out var delete))
        {
            return StoreError.Malformed;
        }

        if (!subject.MayDoEverything)
        {
            var refusal = RequestAuthorizer.CheckDeleteRange(subject, body);
            if (refusal != StoreError.None)
            {
                return refusal;
            }
        }

        return Kv.ApplyDeleteRange(delete, Header(), response);
    }

    private StoreError ApplyTxn(
        in AuthSubject subject, ReadOnlySpan<byte> body, IBufferWriter<byte>? response, ref ApplyEffects effects)
    {
        if (Alarms.IsCorrupt)
        {
            return StoreError.Corrupt;
        }

        if (!RequestValidator.IsApplicableTxn(body))
        {
            return StoreError.Malformed;
        }

        long cost = Alarms.IsNoSpace || QuotaBytesLeft != long.MaxValue ? QuotaCost.Txn(body) : 0;
        if (Alarms.IsNoSpace && cost > 0)
        {
            return StoreError.NoSpace;
        }

        if (!subject.MayDoEverything)
        {
            var refusal = RequestAuthorizer.CheckTxn(subject, body, _leaseKeys, _options.AuthRules);
            if (refusal != StoreError.None)
            {
                return refusal;
            }
        }

        bool overQuota = IsOverQuota(cost);
        var error = Kv.ApplyTxn(body, Header(), overQuota ? null : response);
        return AfterQuota(error, overQuota, ref effects);
    }

    private StoreError ApplyCompaction(ReadOnlySpan<byte> body, IBufferWriter<byte>? response, ref ApplyEffects effects)
    {
        if (Alarms.IsCorrupt)
        {
            return StoreError.Corrupt;
        }

        if (!CompactionView.TryParse(body, out var compaction))
        {
            return StoreError.Malformed;
        }

        var error = Kv.ApplyCompaction(compaction, Header(), response);
        effects |= error == StoreError.None ? ApplyEffects.CompactionScheduled : ApplyEffects.None;
        return error;
    }

    private StoreError ApplyLeaseGrant(ReadOnlySpan<byte> body, IBufferWriter<byte>? response, ref ApplyEffects effects)
    {
        if (Alarms.IsCorrupt || Alarms.IsNoSpace)
        {
            return Alarms.IsCorrupt ? StoreError.Corrupt : StoreError.NoSpace;
        }

        if (!LeaseGrantView.TryParse(body, out var grant))
        {
            return StoreError.Malformed;
        }

        bool overQuota = IsOverQuota(QuotaCost.LeaseGrant);
        var error = AfterQuota(Leases.Grant(grant.Id, grant.Ttl, out long ttl), overQuota, ref effects);
        if (error == StoreError.None && response is not null)
        {
            LeaseResponses.WriteGrant(Header(), grant.Id, ttl, response);
        }

        return error;
    }

    private StoreError ApplyLeaseRevoke(in AuthSubject subject, ReadOnlySpan<byte> body, IBufferWriter<byte>? response)
    {
        if (Alarms.IsCorrupt)
        {
            return StoreError.Corrupt;
        }

        if (!LeaseRevokeView.TryParse(body, out var revoke))
        {
            return StoreError.Malformed;
        }

        if (!subject.MayDoEverything)
        {
            var refusal = RequestAuthorizer.CheckLeaseRevoke(subject, revoke.Id, _leaseKeys, _options.AuthRules);
            if (refusal != StoreError.None)
            {
                return refusal;
            }
        }

        var error = Leases.Revoke(revoke.Id, _leasedKeys);
        if (error == StoreError.None && response is not null)
        {
            LeaseResponses.WriteHeaderOnly(Header(), response);
        }

        return error;
    }

    private StoreError ApplyLeaseCheckpoint(ReadOnlySpan<byte> body, IBufferWriter<byte>? response)
    {
        var checkpoints = new LeaseCheckpoints(body);
        while (checkpoints.MoveNext())
        {
            Leases.Checkpoint(checkpoints.Current.Id, checkpoints.Current.RemainingTtl);
        }

        if (checkpoints.Failed)
        {
            return StoreError.Malformed;
        }

        if (response is not null)
        {
            LeaseResponses.WriteHeaderOnly(Header(), response);
        }

        return StoreError.None;
    }

    private StoreError ApplyAlarm(ReadOnlySpan<byte> body, IBufferWriter<byte>? response, ref ApplyEffects effects)
    {
        if (!AlarmRequest.TryParse(body, out var alarm))
        {
            return StoreError.Malformed;
        }

        var error = Alarms.Apply(alarm, Header(), response, out bool changed);
        effects |= changed ? ApplyEffects.AlarmsChanged : ApplyEffects.None;
        return error;
    }

    private StoreError ApplyAuth(
        in AuthSubject subject, in InternalRequestView request, IBufferWriter<byte>? response, ref ApplyEffects effects)
    {
        bool wasEnabled = Auth.Enabled;
        ulong revision = Auth.Revision;
        var error = AuthRequests.Apply(Auth, subject, request, _appliedIndex, Header(), response);
        if (Auth.Revision != revision || Auth.Enabled != wasEnabled)
        {
            effects |= ApplyEffects.AuthChanged;
        }

        return error;
    }

    private bool IsOverQuota(long cost) => cost > 0 && cost >= QuotaBytesLeft;

    private static StoreError AfterQuota(StoreError error, bool overQuota, ref ApplyEffects effects)
    {
        if (error != StoreError.None || !overQuota)
        {
            return error;
        }

        // The entry has had its effect, as on members with more room; only the answer says no.
        effects |= ApplyEffects.RaiseNoSpace;
        return StoreError.NoSpace;
    }
}
