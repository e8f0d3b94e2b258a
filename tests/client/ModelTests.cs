using FsCheck;
using FsCheck.Fluent;
using Xunit;

namespace Perf.Client.Tests;

public sealed class ModelTests
{
    [Theory]
    [InlineData("127.0.0.1:2379", false, "http://127.0.0.1:2379", false)]
    [InlineData("127.0.0.1:2379", true, "https://127.0.0.1:2379", true)]
    [InlineData("http://h:1", true, "http://h:1", false)]
    [InlineData("http://h:1/path", false, "http://h:1", false)]
    [InlineData("https://h:1", false, "https://h:1", true)]
    [InlineData("unix:///tmp/s", false, "unix:///tmp/s", false)]
    [InlineData("unix:local", false, "unix://local", false)]
    [InlineData("unix://local:0", true, "unixs://local:0", true)]
    [InlineData("unixs:///tmp/s", false, "unixs:///tmp/s", true)]
    public void Endpoints_are_read_as_etcd_writes_them(string endpoint, bool tls, string address, bool secure) =>
        Assert.Equal((address, secure), Endpoint.Interpret(endpoint, tls));

    [Fact]
    public void A_prefix_end_bounds_exactly_the_keys_with_the_prefix() => Prop.ForAll(
        ArbMap.Default.ArbFor<byte[]>(),
        ArbMap.Default.ArbFor<byte[]>(),
        (prefixBytes, keyBytes) =>
        {
            Bytes prefix = prefixBytes;
            Bytes key = keyBytes;
            Bytes end = prefix.PrefixEnd();
            bool inside = key >= prefix && (end == Bytes.Zero || key < end);
            return inside == key.Span.StartsWith(prefix.Span) || (end == Bytes.Zero && inside);
        }).QuickCheckThrowOnFailure();

    [Theory]
    [InlineData("etcdserver: no leader", "etcdserver: no leader")]
    [InlineData("who knows", "rpc error: code = Unavailable desc = who knows")]
    public void Known_errors_speak_for_themselves(string detail, string message) =>
        Assert.Equal(message, new EtcdException(RpcCode.Unavailable, detail).Message);
}
