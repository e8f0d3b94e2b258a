using System.Net;
using System.Net.Sockets;
using System.Security.Cryptography.X509Certificates;

namespace Perf.Node.Security;

/// <summary>
/// Compares the alternative names in a peer's certificate with where it comes from, by etcd's rules: addresses must
/// hold the peer's own, names must resolve to it or be what it resolves to, a certificate without either may come from
/// anywhere.
/// </summary>
internal static class PeerAddress
{
    /// <summary>Null when it fits, else the reason.</summary>
    public static Task<string?> CheckAsync(X509Certificate2 certificate, IPAddress remote, CancellationToken cancel) =>
        CheckAsync(certificate, remote, ReverseAsync, Dns.GetHostAddressesAsync, cancel);

    /// <summary>The same with other resolvers.</summary>
    public static async Task<string?> CheckAsync(
        X509Certificate2 certificate,
        IPAddress remote,
        Func<IPAddress, CancellationToken, Task<string[]>> reverse,
        Func<string, CancellationToken, Task<IPAddress[]>> forward,
        CancellationToken cancel)
    {
        remote = remote.IsIPv4MappedToIPv6 ? remote.MapToIPv4() : remote;
        (string[] dnsNames, IPAddress[] addresses) = CertificateNames.Alternatives(certificate);
        if (addresses.Contains(remote) || (addresses.Length == 0 && dnsNames.Length == 0))
        {
            return null;
        }

        if (dnsNames.Length == 0)
        {
            return $"x509: certificate is valid for {string.Join(", ", (object[])addresses)}, not {remote}";
        }

        string[] wildcards = [.. dnsNames.Where(IsWildcard).Select(n => n[1..])];
        string[] names = [.. dnsNames.Where(n => !IsWildcard(n))];
        foreach (string own in await TryAsync(reverse(remote, cancel)).ConfigureAwait(false))
        {
            string name = own.TrimEnd('.');
            if (names.Contains(name, StringComparer.Ordinal)
                || wildcards.Any(w => name.EndsWith(w, StringComparison.Ordinal)))
            {
                return null;
            }
        }

        foreach (string name in names)
        {
            if ((await TryAsync(forward(name, cancel)).ConfigureAwait(false)).Contains(remote))
            {
                return null;
            }
        }

        return $"tls: \"{remote}\" does not match any of DNSNames [{string.Join(' ', dnsNames.Select(n => $"\"{n}\""))}]";
    }

    private static bool IsWildcard(string name) => name.StartsWith("*.", StringComparison.Ordinal);

    private static async Task<T[]> TryAsync<T>(Task<T[]> lookup)
    {
        try
        {
            return await lookup.ConfigureAwait(false);
        }
        catch (Exception e) when (e is SocketException or ArgumentException)
        {
            return [];
        }
    }

    private static async Task<string[]> ReverseAsync(IPAddress address, CancellationToken cancel)
    {
        IPHostEntry entry = await Dns.GetHostEntryAsync(address.ToString(), cancel).ConfigureAwait(false);
        return [entry.HostName, .. entry.Aliases];
    }
}
