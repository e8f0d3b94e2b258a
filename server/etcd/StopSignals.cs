using System.Runtime.InteropServices;
using Perf.Node.Logging;

namespace Perf.Etcd;

/// <summary>SIGTERM and SIGINT ask for an orderly stop; a second one ends the process at once.</summary>
internal sealed class StopSignals : IDisposable
{
    private readonly TaskCompletionSource _stopped = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly Log _log;
    private readonly PosixSignalRegistration _terminate;
    private readonly PosixSignalRegistration _interrupt;

    public StopSignals(Log log)
    {
        _log = log;
        _terminate = PosixSignalRegistration.Create(PosixSignal.SIGTERM, context => OnSignal(context, "terminated"));
        _interrupt = PosixSignalRegistration.Create(PosixSignal.SIGINT, context => OnSignal(context, "interrupt"));
    }

    /// <summary>Completes at the first signal.</summary>
    public Task Stopped => _stopped.Task;

    /// <inheritdoc/>
    public void Dispose()
    {
        _terminate.Dispose();
        _interrupt.Dispose();
    }

    private void OnSignal(PosixSignalContext context, string name)
    {
        // Cancel the runtime's own way of ending, for the member is to be closed first. Not the second time.
        context.Cancel = _stopped.TrySetResult();
        _log.Info("received signal; shutting down", ("signal", name));
    }
}
