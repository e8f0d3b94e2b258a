using System.Buffers.Binary;
using System.Security.Cryptography;
using System.Text;
using Google.Protobuf;
using Perf.Store.Commands;
using Perf.Store.Membership;
using Perf.Store.V2;
using Xunit;

namespace Perf.Store.Tests.Membership;

public sealed class MemberTests
{
    [Theory]
    [InlineData("etcd-cluster", "http://127.0.0.1:34380", "2c902495a3d372c7", "cf3541d82322dc81")]
    [InlineData("etcd-cluster", "http://localhost:2380", "8e9e05c52164694d", "cdf818194e3a8c32")]
    public void Ids_of_a_lone_member_are_etcds(string token, string url, string member, string cluster)
    {
        ulong id = MemberIds.Compute([url], token);

        Assert.Equal(member, MemberIds.Hex(id));
        Assert.Equal(cluster, MemberIds.Hex(MemberIds.ComputeCluster([id])));
    }

    [Fact]
    public void Own_hash_of_names_is_sha1()
    {
        var random = new Random(5);
        for (int length = 0; length < 300; length++)
        {
            byte[] message = new byte[length];
            random.NextBytes(message);
#pragma warning disable CA5350 // The formats prescribe it.
            Assert.Equal(BinaryPrimitives.ReadUInt64BigEndian(SHA1.HashData(message)), Sha1.Head(message));
#pragma warning restore CA5350
        }
    }

    [Fact]
    public void Ids_of_three_members_are_etcds()
    {
        string[] hex = [.. new[] { 101, 104, 105 }.Select(
            host => MemberIds.Hex(MemberIds.Compute([$"http://192.168.56.{host}:2380"], "etcd-cluster-1")))];

        Assert.Equal(["11796896800e7f4d", "6c7e4d4a727fd015", "e544486745ceaf82"], hex.Order());
    }

    [Fact]
    public void Ids_do_not_depend_on_the_order_of_urls_but_on_the_time_of_adding()
    {
        Assert.Equal(MemberIds.Compute(["http://b", "http://a"], "t"), MemberIds.Compute(["http://a", "http://b"], "t"));
        Assert.NotEqual(MemberIds.Compute(["http://a"], "", 1), MemberIds.Compute(["http://a"], "", 2));
    }

    [Fact]
    public void Hex_ids_have_no_leading_zeros_and_are_read_back()
    {
        Assert.Equal("8800669151eb828", MemberIds.Hex(0x08800669151eb828));
        Assert.True(MemberIds.TryParseHex("8800669151eb828", out ulong id));
        Assert.Equal(0x08800669151eb828ul, id);
        Assert.False(MemberIds.TryParseHex("", out _));
        Assert.False(MemberIds.TryParseHex("12345678901234567", out _));
        Assert.False(MemberIds.TryParseHex("xyz", out _));
    }

    [Fact]
    public void Json_is_etcds_to_the_byte()
    {
        var member = new Member
        {
            Id = 16631713378700492505,
            PeerUrls = ["http://127.0.0.1:24301"],
            Name = "m0",
            ClientUrls = ["http://127.0.0.1:24300"],
        };

        // As in bucket members of a directory that etcd 3.5.33 wrote.
        const string Stored = "{\"id\":16631713378700492505,\"peerURLs\":[\"http://127.0.0.1:24301\"],\"name\":\"m0\","
            + "\"clientURLs\":[\"http://127.0.0.1:24300\"]}";
        Assert.Equal(Stored, member.ToJson());
        Assert.Equal(member, Member.Parse(Encoding.UTF8.GetBytes(Stored), out _));
        Assert.Equal("{\"peerURLs\":[\"http://127.0.0.1:24301\"]}", member.RaftAttributesJson());
        Assert.Equal("{\"name\":\"m0\",\"clientURLs\":[\"http://127.0.0.1:24300\"]}", member.AttributesJson());
        Assert.Equal(
            "{\"id\":7,\"peerURLs\":[\"http://a\"],\"isLearner\":true,\"isPromote\":false}",
            new Member { Id = 7, PeerUrls = ["http://a"], IsLearner = true }.ToConfChangeContext(isPromote: false));
    }

    [Fact]
    public void Json_is_read_without_regard_to_case_or_unknown_fields()
    {
        var member = Member.Parse("{\"ID\":3,\"PEERURLS\":[\"u\"],\"more\":{\"x\":[1]},\"isPromote\":true,\"name\":null}"u8, out bool isPromote);

        Assert.True(isPromote);
        Assert.Equal(new Member { Id = 3, PeerUrls = ["u"] }, member);
        Assert.Throws<InvalidDataException>(() => Member.Parse("{\"id\":1.5}"u8, out _));
        Assert.Throws<InvalidDataException>(() => Member.Parse("{\"id\":"u8, out _));
        Assert.Throws<InvalidDataException>(() => Member.Parse("[]"u8, out _));
    }

    [Fact]
    public void Json_escapes_what_go_escapes()
    {
        var member = new Member { Id = 1, PeerUrls = ["<&>\u2028\"\\\u0001\n\u00e9"] };

        Assert.Equal(
            "{\"peerURLs\":[\"\\u003c\\u0026\\u003e\\u2028\\\"\\\\\\u0001\\n\u00e9\"]}", member.RaftAttributesJson());
        Assert.Equal(member, Member.Parse(Encoding.UTF8.GetBytes(member.ToJson()), out _));
    }

    [Fact]
    public void Conf_changes_are_raft_messages()
    {
        var member = new Member { Id = 0xABCDEF0123456789, PeerUrls = ["http://a:1"], IsLearner = true };
        var change = ConfChange.Add(42, member);

        var message = Raftpb.ConfChange.Parser.ParseFrom(change.Encode());

        Assert.Equal(42ul, message.Id);
        Assert.Equal(Raftpb.ConfChangeType.ConfChangeAddLearnerNode, message.Type);
        Assert.Equal(member.Id, message.NodeId);
        Assert.Equal(member.ToConfChangeContext(isPromote: false), message.Context.ToStringUtf8());
        Assert.Equal(message.ToByteArray(), change.Encode());
        Assert.True(ConfChange.TryDecode(change.Encode(), out var read));
        Assert.Equal(change, read);

        // Zeros are written, as proto2 with required-like fields has it; bootstrap entries are compared by bytes.
        byte[] bootstrap = ConfChange.EncodeBootstrap(member with { IsLearner = false });
        Assert.Equal(Convert.FromHexString("08001000"), bootstrap[..4]);
    }

    [Fact]
    public void Conf_changes_of_unknown_kind_or_with_anothers_context_are_refused()
    {
        var change = ConfChange.Add(1, new Member { Id = 5, PeerUrls = ["http://a"] });
        byte[] other = (change with { NodeId = 6 }).Encode();
        byte[] unknown = change.Encode();
        unknown[3] = 4;

        Assert.False(ConfChange.TryDecode(other, out var read));
        Assert.Equal(1ul, read.RequestId);
        Assert.False(ConfChange.TryDecode(unknown, out _));
        Assert.False(ConfChange.TryDecode("garbage"u8, out _));
    }

    [Theory]
    [InlineData("3.4.0", "3.5.0", true)]
    [InlineData("3.5.0", "3.4.0", true)]
    [InlineData("3.5.0", "3.3.0", false)]
    [InlineData("3.5.0", "3.5.0", false)]
    [InlineData("3.5.0", "4.0.0", false)]
    public void Cluster_versions_go_up_or_one_down(string current, string decided, bool valid)
    {
        Assert.True(SemanticVersion.TryParse(current, out var from));
        Assert.True(SemanticVersion.TryParse(decided, out var to));
        Assert.Equal(valid, SemanticVersion.IsValidChange(from, to));
    }

    [Fact]
    public void Versions_are_read_strictly()
    {
        Assert.True(SemanticVersion.TryParse("3.6.0-rc.1+x", out var version));
        Assert.Equal(new SemanticVersion(3, 6, 0), version);
        Assert.All(new[] { "", "3", "3.5", "3.5.x", "3.5.0.1", "-1.0.0", " 3.5.0" }, text => Assert.False(SemanticVersion.TryParse(text, out _)));
    }

    [Fact]
    public void Requests_take_the_form_that_the_lowest_member_knows()
    {
        var v35 = new RequestDialect(SpeakAs.V35, new SemanticVersion(3, 5, 0));
        var mixed = new RequestDialect(SpeakAs.V36, new SemanticVersion(3, 4, 0));
        var young = new RequestDialect(SpeakAs.V35, null);
        var v36 = new RequestDialect(SpeakAs.V36, new SemanticVersion(3, 6, 0));

        Assert.True(v35.HashesPasswords);
        Assert.False(mixed.HashesPasswords);
        Assert.False(young.HashesPasswords);
        Assert.False(young.ProposesAuthStatus);
        Assert.True(v35.MayPropose(InternalField.DowngradeInfoSet));
        Assert.False(v35.MayPropose(InternalField.DowngradeVersionTest));
        Assert.False(mixed.MayPropose(InternalField.AuthStatus));

        foreach (var dialect in new[] { v35, mixed, young })
        {
            Assert.True(V2Request.IsBare(dialect.EncodeVersion(9, new SemanticVersion(3, 5, 0))));
            Assert.True(V2Request.TryDecode(dialect.EncodeAttributes(9, 0xab, "n", ["http://c"]), out var request));
            Assert.Equal("/0/members/ab/attributes", request.Path);
            Assert.Equal("{\"name\":\"n\",\"clientURLs\":[\"http://c\"]}", request.Value);
            Assert.Equal(9ul, request.Id);
        }

        var attributes = Etcdserverpb.InternalRaftRequest.Parser.ParseFrom(v36.EncodeAttributes(9, 0xab, "n", ["http://c"]));
        Assert.Equal(9ul, attributes.Header.ID);
        Assert.Equal(0xabul, attributes.ClusterMemberAttrSet.MemberID);
        Assert.Equal("n", attributes.ClusterMemberAttrSet.MemberAttributes.Name);
        Assert.Equal("http://c", Assert.Single(attributes.ClusterMemberAttrSet.MemberAttributes.ClientUrls));
        var version = Etcdserverpb.InternalRaftRequest.Parser.ParseFrom(v36.EncodeVersion(9, new SemanticVersion(3, 6, 0)));
        Assert.Equal("3.6.0", version.ClusterVersionSet.Ver);
    }
}
