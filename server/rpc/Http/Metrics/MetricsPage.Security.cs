using Perf.Node.Security;

namespace Perf.Rpc.Http.Metrics;

/// <summary>What etcd has no figure for: when the certificates in use end.</summary>
internal sealed partial class MetricsPage
{
    private const string Expiry = "perf_tls_expiry_timestamp_seconds";

    private void WriteSecurity(PrometheusText page)
    {
        page.Family(Expiry, "gauge", "The unix time at which what is in use now expires; of several authorities the first.");
        Write("client", node.ClientTls);
        Write("peer", node.PeerTls);

        void Write(string side, TlsSide tls)
        {
            Sample(side, "certificate", tls.CertificateExpiry);
            Sample(side, "client-certificate", tls.ClientCertificateExpiry);
            Sample(side, "authority", tls.AuthorityExpiry);
        }

        void Sample(string side, string kind, DateTime? expiry)
        {
            if (expiry is { } known)
            {
                page.Sample(Expiry, new DateTimeOffset(known).ToUnixTimeSeconds(), $"kind=\"{kind}\",side=\"{side}\"");
            }
        }
    }
}
