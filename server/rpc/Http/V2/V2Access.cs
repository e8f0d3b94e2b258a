using System.Text;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Http.Features;
using Perf.Node;
using Perf.Node.Security;

namespace Perf.Rpc.Http.V2;

/// <summary>Who may do what over the v2 API, by basic authentication or by the client's certificate.</summary>
internal sealed class V2Access(EtcdNode node, V2Auth auth)
{
    /// <summary>Writes of members and users are root's; reads are everybody's.</summary>
    public async Task<bool> MayWriteAsRootAsync(HttpContext context) =>
        context.Request.Method is "GET" or "HEAD" || await IsRootAsync(context).ConfigureAwait(false);

    public async Task<bool> IsRootAsync(HttpContext context)
    {
        if (!await auth.IsEnabledAsync().ConfigureAwait(false))
        {
            return true;
        }

        V2User? user = await UserAsync(context).ConfigureAwait(false);
        return user?.Roles?.Contains(V2Auth.RootName) ?? false;
    }

    public async Task<bool> MayUseKeyAsync(HttpContext context, string key, bool recursive)
    {
        if (!await auth.IsEnabledAsync().ConfigureAwait(false))
        {
            return true;
        }

        bool isWrite = context.Request.Method is not ("GET" or "HEAD");
        bool isNamed = context.Request.Headers.Authorization.Count > 0;
        V2User? user = await UserAsync(context).ConfigureAwait(false);
        if (user is null)
        {
            return !isNamed
                && await auth.RoleAsync(V2Auth.GuestName).ConfigureAwait(false) is { Role: { } guest }
                && guest.Allows(key, recursive: false, isWrite);
        }

        foreach (string name in user.Roles ?? [])
        {
            if (await auth.RoleAsync(name).ConfigureAwait(false) is { Role: { } role } && role.Allows(key, recursive, isWrite))
            {
                return true;
            }
        }

        return false;
    }

    private async Task<V2User?> UserAsync(HttpContext context)
    {
        string header = context.Request.Headers.Authorization.ToString();
        if (header.Length == 0)
        {
            // Only a certificate that was asked for and checked names anybody.
            return node.Config.ClientTls.ClientCertAuth
                && context.Features.Get<ITlsConnectionFeature>()?.ClientCertificate is { } certificate
                ? (await auth.UserAsync(CertificateNames.CommonName(certificate)).ConfigureAwait(false)).User
                : null;
        }

        const string Scheme = "Basic ";
        if (!header.StartsWith(Scheme, StringComparison.OrdinalIgnoreCase))
        {
            return null;
        }

        string plain;
        try
        {
            plain = Encoding.UTF8.GetString(Convert.FromBase64String(header[Scheme.Length..]));
        }
        catch (FormatException)
        {
            return null;
        }

        int colon = plain.IndexOf(':', StringComparison.Ordinal);
        if (colon < 0)
        {
            return null;
        }

        V2User? user = (await auth.UserAsync(plain[..colon]).ConfigureAwait(false)).User;
        return user is not null && await auth.IsPasswordAsync(user, plain[(colon + 1)..]).ConfigureAwait(false) ? user : null;
    }
}
