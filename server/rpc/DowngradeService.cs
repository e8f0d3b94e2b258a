using System.Buffers;
using Etcdserverpb;
using Perf.Grpc;
using Perf.Node;
using Perf.Node.Consensus;
using Perf.Store;
using Perf.Store.Commands;
using Perf.Store.Membership;

namespace Perf.Rpc;

/// <summary>Maintenance.Downgrade: asks for, begins and calls off going one minor version down (SURFACE MNT-08).</summary>
internal sealed class DowngradeService(EtcdNode node, Admission admission)
{
    public void Map(GrpcRouter router) =>
        router.Map("/etcdserverpb.Maintenance/Downgrade", MethodKind.Unary, Downgrade);

    private async ValueTask Downgrade(ServerCall call)
    {
        DowngradeRequest request = Messages.Parse(DowngradeRequest.Parser, call);
        StoreError error = admission.Admit(call);
        if (error == StoreError.None)
        {
            error = request.Action switch
            {
                DowngradeRequest.Types.DowngradeAction.Validate => (await ValidateAsync(request.Version).ConfigureAwait(false)).Error,
                DowngradeRequest.Types.DowngradeAction.Enable => await EnableAsync(request.Version).ConfigureAwait(false),
                DowngradeRequest.Types.DowngradeAction.Cancel => await CancelAsync().ConfigureAwait(false),
                _ => StoreError.UnknownRequest,
            };
        }

        if (error != StoreError.None)
        {
            StatusMapping.Fail(call, error);
            return;
        }

        Messages.Write(call, new DowngradeResponse
        {
            Header = Messages.Header(node.Header()),
            Version = node.ClusterVersion?.ToString() ?? "",
        });
    }

    /// <summary>"3.4" or "3.4.0"; only major and minor count.</summary>
    private static bool TryTarget(string text, out SemanticVersion target)
    {
        bool isGood = SemanticVersion.TryParse(text, out target) || SemanticVersion.TryParse(text + ".0", out target);
        target = target.MajorMinor;
        return isGood;
    }

    private async Task<(StoreError Error, SemanticVersion Target)> ValidateAsync(string version)
    {
        if (!TryTarget(version, out SemanticVersion target))
        {
            return (StoreError.WrongDowngradeVersionFormat, target);
        }

        StoreError error = await node.LinearizableAsync().ConfigureAwait(false);
        if (error != StoreError.None)
        {
            return (error, target);
        }

        if (node.ClusterVersion is not { } current)
        {
            return (StoreError.ClusterVersionUnavailable, target);
        }

        return (target != new SemanticVersion(current.Major, current.Minor - 1, 0) ? StoreError.InvalidDowngradeTargetVersion
            : node.State.Machine.Members.Current.Downgrade.Enabled ? StoreError.DowngradeInProcess
            : StoreError.None, target);
    }

    private async Task<StoreError> EnableAsync(string version)
    {
        (StoreError error, SemanticVersion target) = await ValidateAsync(version).ConfigureAwait(false);
        return error == StoreError.None ? await ProposeAsync(isEnabled: true, target.ToString()).ConfigureAwait(false) : error;
    }

    private async Task<StoreError> CancelAsync()
    {
        StoreError error = await node.LinearizableAsync().ConfigureAwait(false);
        return error != StoreError.None ? error
            : node.State.Machine.Members.Current.Downgrade.Enabled ? await ProposeAsync(isEnabled: false, "").ConfigureAwait(false)
            : StoreError.NoInflightDowngrade;
    }

    private async Task<StoreError> ProposeAsync(bool isEnabled, string version)
    {
        var body = new ProtoBuffer(32);
        body.Bool(1, isEnabled);
        body.Bytes(2, System.Text.Encoding.ASCII.GetBytes(version));
        using PendingRequest request = node.Propose(
            InternalField.DowngradeInfoSet, new ReadOnlySequence<byte>(body.WrittenMemory), RequestIdentity.None);
        await request.Completion.ConfigureAwait(false);
        return request.Error;
    }
}
