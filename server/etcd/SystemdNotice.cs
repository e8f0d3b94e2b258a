using System.Net.Sockets;
using System.Text;
using Perf.Node.Logging;

namespace Perf.Etcd;

/// <summary>Tells the service manager that clients are served (sd_notify).</summary>
internal static class SystemdNotice
{
    private const string Variable = "NOTIFY_SOCKET";

    public static void Ready(IReadOnlyDictionary<string, string> environment, Log log)
    {
        log.Info("notifying init daemon");
        if (environment.GetValueOrDefault(Variable) is { Length: > 0 } path)
        {
            try
            {
                // A leading @ stands for the zero byte of Linux's abstract names.
                string address = path[0] == '@' ? "\0" + path[1..] : path;
                using var socket = new Socket(AddressFamily.Unix, SocketType.Dgram, ProtocolType.Unspecified);
                socket.Connect(new UnixDomainSocketEndPoint(address));
                socket.Send(Encoding.ASCII.GetBytes("READY=1"));
            }
            catch (Exception e) when (e is SocketException or ArgumentException)
            {
                log.Error("failed to notify systemd for readiness", ("error", e));
                return;
            }
        }

        log.Info("successfully notified init daemon");
    }
}
