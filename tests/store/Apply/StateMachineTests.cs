using Etcdserverpb;
using Google.Protobuf;
using Membershippb;
using Perf.Store.Apply;
using Perf.Store.Backend;
using Perf.Store.Membership;
using Perf.Store.V2;
using Xunit;
using DowngradeInfo = Perf.Store.Membership.DowngradeInfo;
using Member = Perf.Store.Membership.Member;

namespace Perf.Store.Tests.Apply;

public sealed class StateMachineTests : IDisposable
{
    private readonly MachineRig _rig = new();

    public void Dispose() => _rig.Dispose();

    private StateMachine Machine => _rig.Machine;

    /// <summary>Once it was answered with an empty message: a put without a revision.</summary>
    [Fact]
    public void WhoWaitsForAnEntryThatTheBucketsHoldAlreadyIsToldSo()
    {
        using var rig = new MachineRig();
        rig.Put("a", "1");
        rig.Backend.CommitAll();
        using var again = new MachineRig(rig.Disk.CrashCopy(1));
        Assert.Equal(StoreError.AnswerLost, again.Error(Requests.Put("a", "1")));
        Assert.Equal(0, again.ResponseBytes);
        using var silent = new MachineRig(rig.Disk.CrashCopy(1));
        Assert.Equal(StoreError.None, silent.Apply(Requests.Put("a", "1"), wait: false).Error);
    }

    [Fact]
    public void Answers_carry_the_whole_header()
    {
        _rig.Term = 5;
        var put = _rig.Answer<PutResponse>(Requests.Put("k", "v"));
        Assert.Equal(MachineRig.ClusterId, put.Header.ClusterId);
        Assert.Equal(MachineRig.MemberId, put.Header.MemberId);
        Assert.Equal(2, put.Header.Revision);
        Assert.Equal(5ul, put.Header.RaftTerm);

        var grant = _rig.Answer<LeaseGrantResponse>(Requests.Grant(9));
        Assert.Equal(2, grant.Header.Revision);
        Assert.Equal(60, grant.TTL);
        var status = _rig.Answer<AuthStatusResponse>(new InternalRaftRequest { AuthStatus = new AuthStatusRequest() });
        Assert.Equal(1ul, status.AuthRevision);
        Assert.Equal(5ul, status.Header.RaftTerm);
    }

    [Fact]
    public void Every_entry_moves_the_index_whatever_it_does()
    {
        byte[][] entries =
        [
            [],
            Requests.Put("k", "v").ToByteArray(),
            Requests.Put("k", "v", lease: 404).ToByteArray(),
            "no message at all"u8.ToArray(),
            new V2Request { Method = "PUT", Path = "/1/a" }.Encode(),
            new V2Request { Method = "SYNC" }.Encode(),
            [0xfa, 0xff, 0x02, 0x00],
        ];
        foreach (byte[] entry in entries)
        {
            _rig.Apply(entry);
            Assert.Equal(_rig.Index, Machine.AppliedIndex);
            Assert.Equal(_rig.Index, Machine.PublishedIndex);
            Assert.Equal(_rig.Index, _rig.Backend.ConsistentIndex);
        }

        Assert.Equal(StoreError.MemberNotFound, _rig.Apply(ConfChange.Remove(0, 9)).Error);
        Assert.Equal(_rig.Index, _rig.Backend.ConsistentIndex);
        Assert.Equal(2, Machine.Kv.Revision);
    }

    [Fact]
    public void Outcomes_say_who_waits_and_what_follows()
    {
        Assert.Equal(ApplyEffects.EmptyEntry, _rig.Apply([]).Effects);
        Assert.Equal(77ul, _rig.Apply(new InternalRaftRequest { ID = 77, Put = new PutRequest { Key = ByteString.CopyFromUtf8("k") } }).RequestId);
        Assert.Equal(78ul, _rig.Apply(new InternalRaftRequest { Header = new RequestHeader { ID = 78 }, AuthStatus = new AuthStatusRequest() }).RequestId);
        Assert.Equal(79ul, _rig.Apply(new V2Request { Id = 79, Method = "QGET", Path = "/1" }.Encode()).RequestId);
        Assert.Equal(80ul, _rig.Apply(new InternalRaftRequest { V2 = new Request { ID = 80, Method = "QGET", Path = "/1" } }).RequestId);
        Assert.True(_rig.Apply(new InternalRaftRequest { Compaction = new CompactionRequest { Revision = 2 } }).Effects.HasFlag(ApplyEffects.CompactionScheduled));
        Assert.True(_rig.Apply(Requests.Alarm(AlarmRequest.Types.AlarmAction.Activate, AlarmType.Nospace)).Effects.HasFlag(ApplyEffects.AlarmsChanged));
        Assert.True(_rig.Apply(new InternalRaftRequest { AuthRoleAdd = new AuthRoleAddRequest { Name = "r" } }).Effects.HasFlag(ApplyEffects.AuthChanged));
        Assert.Equal(ApplyEffects.None, _rig.Apply(new InternalRaftRequest { AuthRoleAdd = new AuthRoleAddRequest { Name = "r" } }).Effects);
    }

    [Fact]
    public void Every_request_of_the_log_is_known_and_no_other()
    {
        // What gogo's generated switch is to etcd, this list of the descriptor is to us: no field without an apply.
        foreach (var field in InternalRaftRequest.Descriptor.Fields.InDeclarationOrder())
        {
            if (field.FieldType != Google.Protobuf.Reflection.FieldType.Message || field.Name == "header")
            {
                continue;
            }

            var request = new InternalRaftRequest();
            field.Accessor.SetValue(request, field.MessageType.Parser.ParseFrom(Array.Empty<byte>()));
            var error = _rig.Apply(request).Error;
            Assert.True(error is not StoreError.UnknownRequest || field.Name == "v2", field.Name);
        }

        byte[] unknown = [.. new InternalRaftRequest { Header = new RequestHeader { ID = 6 } }.ToByteArray(), 0xc2, 0x57, 0x00];
        var outcome = _rig.Apply(unknown);
        Assert.Equal(StoreError.UnknownRequest, outcome.Error);
        Assert.Equal(6ul, outcome.RequestId);

        // 3.6's test of whether all members left a version: tolerated.
        Assert.Equal(StoreError.None, _rig.Apply([0xe2, 0xea, 0x04, 0x00]).Error);
    }

    [Fact]
    public void Keys_leases_and_their_revocation_go_through_the_log()
    {
        Assert.Equal(StoreError.LeaseNotFound, _rig.Put("a", "1", lease: 5));
        Assert.Equal(1, Machine.Kv.Revision);
        _rig.Ok(Requests.Grant(5));
        Assert.Equal(StoreError.LeaseExist, _rig.Error(Requests.Grant(5)));
        _rig.Put("b", "1", lease: 5);
        _rig.Put("a", "1", lease: 5);
        Assert.Equal("1", _rig.Get("a"));

        var revoked = _rig.Answer<LeaseRevokeResponse>(new InternalRaftRequest { LeaseRevoke = new LeaseRevokeRequest { ID = 5 } });

        Assert.Equal(4, revoked.Header.Revision);
        Assert.Null(_rig.Get("a"));
        Assert.Null(_rig.Get("b"));
        Assert.Equal(StoreError.LeaseNotFound, _rig.Error(new InternalRaftRequest { LeaseRevoke = new LeaseRevokeRequest { ID = 5 } }));
        _rig.Ok(Requests.Grant(6));
        _rig.Ok(new InternalRaftRequest { LeaseRevoke = new LeaseRevokeRequest { ID = 6 } });
        Assert.Equal(4, Machine.Kv.Revision);
        _rig.Ok(new InternalRaftRequest
        {
            LeaseCheckpoint = new LeaseCheckpointRequest { Checkpoints = { new LeaseCheckpoint { ID = 404, RemainingTTL = 1 } } },
        });
    }

    [Fact]
    public void A_transaction_with_a_compacted_read_does_nothing_whoever_waits()
    {
        // etcd issue 18667: members without a waiter left reads out and applied what the others refused.
        _rig.Put("k", "1");
        _rig.Put("k", "2");
        _rig.Ok(new InternalRaftRequest { Compaction = new CompactionRequest { Revision = 3 } });
        var txn = Requests.Txn(
            new RequestOp { RequestPut = new PutRequest { Key = ByteString.CopyFromUtf8("k"), Value = ByteString.CopyFromUtf8("3") } },
            new RequestOp { RequestRange = new RangeRequest { Key = ByteString.CopyFromUtf8("k"), Revision = 2 } });

        Assert.Equal(StoreError.Compacted, _rig.Apply(txn).Error);
        Assert.Equal(StoreError.Compacted, _rig.Apply(txn, wait: false).Error);
        Assert.Equal("2", _rig.Get("k"));
        Assert.Equal(3, Machine.Kv.Revision);
    }

    [Fact]
    public void Reads_through_the_log_see_the_entries_before_them()
    {
        Machine.Apply(1, 1, Requests.Put("k", "v").ToByteArray(), null);
        var response = new System.Buffers.ArrayBufferWriter<byte>();
        var range = new InternalRaftRequest { Range = new RangeRequest { Key = ByteString.CopyFromUtf8("k") } };
        Assert.Equal(StoreError.None, Machine.Apply(2, 1, range.ToByteArray(), response).Error);

        Assert.Equal("v", RangeResponse.Parser.ParseFrom(response.WrittenSpan).Kvs[0].Value.ToStringUtf8());
        Assert.Equal(StoreError.None, Machine.Apply(3, 1, range.ToByteArray(), null).Error);
    }

    [Fact]
    public void Nospace_refuses_what_grows_and_corrupt_what_changes()
    {
        _rig.Put("k", "v");
        _rig.Ok(Requests.Grant(5));
        var putTxn = Requests.Txn(new RequestOp { RequestTxn = new TxnRequest { Failure = { new RequestOp { RequestPut = new PutRequest { Key = ByteString.CopyFromUtf8("x") } } } } });
        var deleteTxn = Requests.Txn(new RequestOp { RequestDeleteRange = new DeleteRangeRequest { Key = ByteString.CopyFromUtf8("none") } });

        var raised = _rig.Answer<AlarmResponse>(Requests.Alarm(AlarmRequest.Types.AlarmAction.Activate, AlarmType.Nospace));
        Assert.Equal(7ul, Assert.Single(raised.Alarms).MemberID);
        Assert.Equal(StoreError.NoSpace, _rig.Put("k", "w"));
        Assert.Equal(StoreError.NoSpace, _rig.Error(Requests.Grant(6)));
        Assert.Equal(StoreError.NoSpace, _rig.Error(putTxn));
        Assert.Equal(StoreError.None, _rig.Error(deleteTxn));
        Assert.Equal(StoreError.None, _rig.Error(Requests.Delete("none")));
        Assert.Equal(StoreError.None, _rig.Error(new InternalRaftRequest { Compaction = new CompactionRequest { Revision = 2 } }));
        Assert.Equal("v", _rig.Get("k"));

        _rig.Ok(Requests.Alarm(AlarmRequest.Types.AlarmAction.Activate, AlarmType.Corrupt, member: 8));
        foreach (var request in new[]
        {
            Requests.Put("k", "w"), Requests.Delete("k"), putTxn, deleteTxn, Requests.Grant(6),
            new InternalRaftRequest { LeaseRevoke = new LeaseRevokeRequest { ID = 5 } },
            new InternalRaftRequest { Compaction = new CompactionRequest { Revision = 2 } },
            new InternalRaftRequest { Range = new RangeRequest { Key = ByteString.CopyFromUtf8("k") } },
        })
        {
            Assert.Equal(StoreError.Corrupt, _rig.Error(request));
        }

        Assert.Equal(StoreError.None, _rig.Error(new InternalRaftRequest { AuthRoleAdd = new AuthRoleAddRequest { Name = "r" } }));
        var all = _rig.Answer<AlarmResponse>(Requests.Alarm(AlarmRequest.Types.AlarmAction.Get, AlarmType.None));
        Assert.Equal([AlarmType.Nospace, AlarmType.Corrupt], all.Alarms.Select(alarm => alarm.Alarm));

        // Lifting one leaves the other in force.
        _rig.Ok(Requests.Alarm(AlarmRequest.Types.AlarmAction.Deactivate, AlarmType.Corrupt, member: 8));
        Assert.Equal(StoreError.NoSpace, _rig.Put("k", "w"));
        _rig.Ok(Requests.Alarm(AlarmRequest.Types.AlarmAction.Deactivate, AlarmType.Nospace));
        Assert.Equal(StoreError.None, _rig.Put("k", "w"));
        Assert.Empty(_rig.Answer<AlarmResponse>(Requests.Alarm(AlarmRequest.Types.AlarmAction.Get, AlarmType.None)).Alarms);
    }

    [Fact]
    public void Alarms_of_several_members_stay_until_the_last_is_lifted()
    {
        _rig.Ok(Requests.Alarm(AlarmRequest.Types.AlarmAction.Activate, AlarmType.Nospace, member: 1));
        _rig.Ok(Requests.Alarm(AlarmRequest.Types.AlarmAction.Activate, AlarmType.Nospace, member: 2));
        Assert.Equal(ApplyEffects.None, _rig.Apply(Requests.Alarm(AlarmRequest.Types.AlarmAction.Activate, AlarmType.Nospace, member: 2)).Effects);
        _rig.Ok(Requests.Alarm(AlarmRequest.Types.AlarmAction.Deactivate, AlarmType.Nospace, member: 1));
        Assert.Equal(StoreError.NoSpace, _rig.Put("k", "v"));
        Assert.Empty(_rig.Answer<AlarmResponse>(Requests.Alarm(AlarmRequest.Types.AlarmAction.Deactivate, AlarmType.Nospace, member: 1)).Alarms);
        Assert.Empty(_rig.Answer<AlarmResponse>(Requests.Alarm(AlarmRequest.Types.AlarmAction.Activate, AlarmType.None)).Alarms);
        Assert.Equal(StoreError.UnknownRequest, _rig.Error(Requests.Alarm(AlarmRequest.Types.AlarmAction.Activate, (AlarmType)3)));

        _rig.Backend.CommitAll();
        using var reopened = new MachineRig(_rig.Disk.KillCopy(), new V2Snapshot(_rig.Index, Machine.SaveSnapshot()));
        Assert.True(reopened.Machine.Alarms.IsNoSpace);
        Assert.Equal(2ul, Assert.Single(reopened.Machine.Alarms.Active).MemberId);
    }

    [Fact]
    public void The_quota_changes_the_answer_and_never_the_state()
    {
        using var roomy = new MachineRig();
        Machine.QuotaBytesLeft = 300;
        var big = Requests.Put("k", new string('x', 100));
        var bigTxn = Requests.Txn(new RequestOp { RequestPut = big.Put });

        foreach (var request in new[] { Requests.Put("s", "v"), big, bigTxn, Requests.Grant(5), Requests.Delete("s") })
        {
            var outcome = _rig.Apply(request);
            bool over = ReferenceEquals(request, big) || ReferenceEquals(request, bigTxn);
            Assert.Equal(over ? StoreError.NoSpace : StoreError.None, outcome.Error);
            Assert.Equal(over, outcome.Effects.HasFlag(ApplyEffects.RaiseNoSpace));
            Assert.Equal(over ? 0 : 1, Math.Min(1, _rig.ResponseBytes));
            Assert.Equal(StoreError.None, roomy.Apply(request).Error);
        }

        Machine.QuotaBytesLeft = -1;
        Assert.Equal(StoreError.NoSpace, _rig.Error(Requests.Grant(6)));
        Assert.Equal(StoreError.None, roomy.Error(Requests.Grant(6)));
        Assert.Equal(StoreError.LeaseExist, _rig.Error(Requests.Grant(6)));
        Assert.Equal(StoreError.None, _rig.Error(Requests.Txn()));
        roomy.Error(Requests.Grant(6));
        roomy.Error(Requests.Txn());
        Assert.Equal(roomy.Machine.Digest(), Machine.Digest());
    }

    [Fact]
    public void Members_come_by_conf_changes_and_tell_of_themselves_in_either_form()
    {
        var outcome = _rig.Apply(ConfChange.Add(31, new Member { Id = 1, PeerUrls = ["http://1"] }));
        Assert.Equal((31ul, ApplyEffects.MembersChanged, 1ul), (outcome.RequestId, outcome.Effects, outcome.RaftNodeId));
        Assert.Equal(0ul, _rig.Apply(ConfChange.Add(32, new Member { Id = 1, PeerUrls = ["http://2"] })).RaftNodeId);
        Assert.Equal(StoreError.Malformed, Machine.ApplyConfChange(3, 1, "not a conf change"u8).Error);
        Assert.Equal("{\"voters\":[1],\"auto_leave\":false}", _rig.Bucket(Buckets.Meta, "confState"));
        using var rig = new MachineRig();
        rig.Apply(ConfChange.Add(0, new Member { Id = 1, PeerUrls = ["http://1"] }));
        rig.Apply(ConfChange.Add(0, new Member { Id = 2, PeerUrls = ["http://2"] }));

        var v35 = new RequestDialect(SpeakAs.V35, new SemanticVersion(3, 5, 0));
        var v36 = new RequestDialect(SpeakAs.V36, new SemanticVersion(3, 5, 0));
        Assert.Equal(StoreError.None, rig.Apply(v35.EncodeAttributes(41, 1, "m1", ["http://c1"])).Error);
        Assert.Equal(StoreError.None, rig.Apply(v36.EncodeAttributes(42, 2, "m2", ["http://c2"])).Error);
        Assert.Equal(StoreError.MemberNotFound, rig.Apply(v36.EncodeAttributes(43, 3, "m3", [])).Error);
        Assert.Equal(StoreError.Malformed, rig.Apply(new V2Request { Method = "PUT", Path = "/0/members/1/attributes", Value = "{" }.Encode()).Error);
        Assert.Equal(["m1", "m2"], rig.Machine.Members.Current.Members.Select(member => member.Name));
        Assert.Contains("\"name\":\"m2\"", rig.Bucket(Buckets.Members, "2"), StringComparison.Ordinal);

        var versioned = rig.Apply(v35.EncodeVersion(44, new SemanticVersion(3, 4, 0)));
        Assert.Equal((44ul, ApplyEffects.VersionChanged), (versioned.RequestId, versioned.Effects));
        Assert.Equal("3.4.0", rig.Bucket(Buckets.Cluster, "clusterVersion"));
        rig.Apply(v36.EncodeVersion(45, new SemanticVersion(3, 6, 0)));
        Assert.Equal("3.6.0", rig.Bucket(Buckets.Cluster, "clusterVersion"));
        Assert.True(rig.Machine.Leases.PersistCheckpoints);
        Assert.Equal(StoreError.Malformed, rig.Apply(new V2Request { Method = "PUT", Path = "/0/version", Value = "x" }.Encode()).Error);

        rig.Apply(RequestDialect.EncodeDowngrade(46, new DowngradeInfo(true, "3.5.0")));
        Assert.Equal(new DowngradeInfo(true, "3.5.0"), rig.Machine.Members.Current.Downgrade);
        rig.Apply(RequestDialect.EncodeDowngrade(47, DowngradeInfo.None));
        Assert.Equal(DowngradeInfo.None, rig.Machine.Members.Current.Downgrade);

        Assert.Equal(ApplyEffects.MembersChanged, rig.Apply(ConfChange.Remove(48, 2)).Effects);
        Assert.Equal(ApplyEffects.MembersChanged | ApplyEffects.RemovedSelf, rig.Apply(ConfChange.Remove(49, 1)).Effects);
        Assert.Equal(StoreError.MemberIdRemoved, rig.Apply(ConfChange.Add(50, new Member { Id = 2, PeerUrls = ["http://9"] })).Error);
    }

    [Fact]
    public void User_keys_of_the_v2_store_travel_in_the_snapshot()
    {
        var set = _rig.Apply(new V2Request { Id = 3, Method = "PUT", Path = "/1/a", Value = "v" }.Encode());
        Assert.Equal(V2Action.Set, set.V2.Event!.Action);
        Assert.Equal(V2ErrorCode.NodeExist, _rig.Apply(new V2Request { Method = "PUT", Path = "/1/a", PrevExist = false }.Encode()).V2.Error!.Code);
        Assert.Equal(StoreError.None, _rig.Apply(new V2Request { Method = "PUT", Path = "/1/0/members/ab/attributes", Value = "mine" }.Encode()).Error);

        var store = new V2Store(_rig.Clock);
        store.Load(Machine.SaveSnapshot());

        Assert.Equal("v", store.Get("/1/a", false, false).Event!.Node.Value);
        Assert.Equal("mine", store.Get("/1/0/members/ab/attributes", false, false).Event!.Node.Value);
        Assert.Equal(1, Machine.Kv.Revision);
    }

    [Fact]
    public void Old_knowledge_of_who_may_do_what_is_refused_without_effect()
    {
        _rig.EnableAuth();
        _rig.AsUser("user");
        Assert.Equal(StoreError.None, _rig.Put("u1", "v"));
        ulong revision = Machine.Auth.Revision;
        _rig.AsUser("root");
        _rig.Ok(new InternalRaftRequest { AuthRoleAdd = new AuthRoleAddRequest { Name = "more" } });
        string before = Machine.Digest();

        _rig.As = ("user", revision);
        Assert.Equal(StoreError.AuthOldRevision, _rig.Put("u1", "w"));
        Assert.Equal(StoreError.AuthOldRevision, _rig.Error(Requests.Delete("u1")));
        _rig.As = ("root", revision);
        Assert.Equal(StoreError.AuthOldRevision, _rig.Put("u1", "w"));
        _rig.As = ("", 0);
        Assert.Equal(StoreError.UserEmpty, _rig.Put("u1", "w"));
        _rig.AsUser("user");
        Assert.Equal(StoreError.PermissionDenied, _rig.Put("x", "w"));
        Assert.Equal(StoreError.PermissionDenied, _rig.Error(Requests.Delete("u", "w")));

        Assert.Equal(before, Machine.Digest());
        Assert.Equal(0, _rig.ResponseBytes);
    }

    [Fact]
    public void One_denied_leaf_refuses_the_whole_transaction()
    {
        _rig.EnableAuth();
        _rig.AsUser("root");
        _rig.Put("secret", "s");
        _rig.AsUser("user");
        string before = Machine.Digest();
        var inner = new TxnRequest
        {
            Success = { new RequestOp { RequestPut = new PutRequest { Key = ByteString.CopyFromUtf8("u1") } } },
            Failure = { new RequestOp { RequestRange = new RangeRequest { Key = ByteString.CopyFromUtf8("secret") } } },
        };

        Assert.Equal(StoreError.PermissionDenied, _rig.Error(Requests.Txn(
            new RequestOp { RequestPut = new PutRequest { Key = ByteString.CopyFromUtf8("u2") } },
            new RequestOp { RequestTxn = inner })));

        Assert.Equal(0, _rig.ResponseBytes);
        Assert.Equal(before, Machine.Digest());
    }

    [Fact]
    public void Alarms_do_not_switch_permissions_off()
    {
        // In etcd an alarm raised at run time takes the auth applier out of the chain.
        _rig.EnableAuth();
        _rig.Ok(Requests.Alarm(AlarmRequest.Types.AlarmAction.Activate, AlarmType.Nospace));
        _rig.AsUser("user");

        Assert.Equal(StoreError.PermissionDenied, _rig.Error(Requests.Delete("x")));
        Assert.Equal(StoreError.None, _rig.Error(Requests.Delete("u1")));
    }

    [Fact]
    public void Authentication_hands_out_a_token_that_names_the_entry()
    {
        var request = new InternalRaftRequest { Authenticate = new InternalAuthenticateRequest { Name = "user", SimpleToken = "abcdefghijklmnop" } };
        Assert.Equal(StoreError.AuthNotEnabled, _rig.Error(request.Clone()));
        _rig.EnableAuth();

        var answer = _rig.Answer<AuthenticateResponse>(request.Clone());

        Assert.Equal($"abcdefghijklmnop.{_rig.Index}", answer.Token);
        Assert.Equal(Perf.Store.Auth.TokenOutcome.Valid, _rig.Tokens.Resolve(answer.Token, 1, _rig.Index, out var info, out _));
        Assert.Equal("user", info.Username);
        request.Authenticate.Name = "ghost";
        Assert.Equal(StoreError.AuthFailed, _rig.Error(request.Clone()));
    }

    [Fact]
    public void Users_and_roles_are_listed_and_shown()
    {
        _rig.EnableAuth();
        _rig.AsUser("root");
        Assert.Equal(["root", "user"], _rig.Answer<AuthUserListResponse>(new InternalRaftRequest { AuthUserList = new AuthUserListRequest() }).Users);
        Assert.Equal(["role"], _rig.Answer<AuthRoleListResponse>(new InternalRaftRequest { AuthRoleList = new AuthRoleListRequest() }).Roles);
        Assert.Equal(["role"], _rig.Answer<AuthUserGetResponse>(new InternalRaftRequest { AuthUserGet = new AuthUserGetRequest { Name = "user" } }).Roles);
        var status = _rig.Answer<AuthStatusResponse>(new InternalRaftRequest { AuthStatus = new AuthStatusRequest() });
        Assert.True(status.Enabled);
        Assert.Equal(Machine.Auth.Revision, status.AuthRevision);

        _rig.AsUser("user");
        Assert.Equal(["role"], _rig.Answer<AuthUserGetResponse>(new InternalRaftRequest { AuthUserGet = new AuthUserGetRequest { Name = "user" } }).Roles);
        var perm = Assert.Single(_rig.Answer<AuthRoleGetResponse>(new InternalRaftRequest { AuthRoleGet = new AuthRoleGetRequest { Role = "role" } }).Perm);
        Assert.Equal(("u", "v", Authpb.Permission.Types.Type.Readwrite), (perm.Key.ToStringUtf8(), perm.RangeEnd.ToStringUtf8(), perm.PermType));
        Assert.Equal(StoreError.PermissionDenied, _rig.Error(new InternalRaftRequest { AuthUserGet = new AuthUserGetRequest { Name = "root" } }));
        Assert.Equal(StoreError.PermissionDenied, _rig.Error(new InternalRaftRequest { AuthRoleGet = new AuthRoleGetRequest { Role = "root" } }));
    }

    [Fact]
    public void Every_request_has_a_declared_answer_for_nobody_a_user_and_root()
    {
        // Rows: nobody, user, root. A request added without a row fails here.
        const StoreError None = StoreError.None;
        const StoreError Denied = StoreError.PermissionDenied;
        const StoreError Empty = StoreError.UserEmpty;
        var key = ByteString.CopyFromUtf8("x");
        var rows = new Dictionary<string, (InternalRaftRequest Request, StoreError Nobody, StoreError User, StoreError Root)>
        {
            ["lease_revoke"] = (new() { LeaseRevoke = new LeaseRevokeRequest { ID = 5 } }, Empty, Denied, None),
            ["range"] = (new() { Range = new RangeRequest { Key = key } }, Empty, Denied, None),
            ["put"] = (new() { Put = new PutRequest { Key = key } }, Empty, Denied, None),
            ["delete_range"] = (new() { DeleteRange = new DeleteRangeRequest { Key = key } }, Empty, Denied, None),
            ["txn"] = (new() { Txn = new TxnRequest { Compare = { new Compare { Key = key } } } }, Empty, Denied, None),

            // Not asked about at apply, here as in etcd: their services ask.
            ["compaction"] = (new() { Compaction = new CompactionRequest { Revision = 99 } }, StoreError.FutureRev, StoreError.FutureRev, StoreError.FutureRev),
            ["lease_grant"] = (new() { LeaseGrant = new LeaseGrantRequest { ID = 5 } }, StoreError.LeaseExist, StoreError.LeaseExist, StoreError.LeaseExist),
            ["lease_checkpoint"] = (new() { LeaseCheckpoint = new LeaseCheckpointRequest() }, None, None, None),
            ["alarm"] = (new() { Alarm = new AlarmRequest() }, None, None, None),
            ["authenticate"] = (new() { Authenticate = new InternalAuthenticateRequest { Name = "user", SimpleToken = "t" } }, None, None, None),
            ["cluster_version_set"] = (new() { ClusterVersionSet = new ClusterVersionSetRequest { Ver = "3.5.0" } }, None, None, None),
            ["cluster_member_attr_set"] = (new() { ClusterMemberAttrSet = new ClusterMemberAttrSetRequest { MemberID = 9 } }, StoreError.MemberNotFound, StoreError.MemberNotFound, StoreError.MemberNotFound),
            ["downgrade_info_set"] = (new() { DowngradeInfoSet = new DowngradeInfoSetRequest() }, None, None, None),
            ["v2"] = (new() { V2 = new Request { Method = "QGET", Path = "/1" } }, None, None, None),

            // Administration.
            ["auth_status"] = (new() { AuthStatus = new AuthStatusRequest() }, Empty, Denied, None),
            ["auth_enable"] = (new() { AuthEnable = new AuthEnableRequest() }, Empty, Denied, None),
            ["auth_user_add"] = (new() { AuthUserAdd = new AuthUserAddRequest { Name = "user" } }, Empty, Denied, StoreError.UserAlreadyExist),
            ["auth_user_delete"] = (new() { AuthUserDelete = new AuthUserDeleteRequest { Name = "none" } }, Empty, Denied, StoreError.UserNotFound),
            ["auth_user_get"] = (new() { AuthUserGet = new AuthUserGetRequest { Name = "root" } }, Empty, Denied, None),
            ["auth_user_change_password"] = (new() { AuthUserChangePassword = new AuthUserChangePasswordRequest { Name = "none" } }, Empty, Denied, StoreError.UserNotFound),
            ["auth_user_grant_role"] = (new() { AuthUserGrantRole = new AuthUserGrantRoleRequest { User = "none" } }, Empty, Denied, StoreError.UserNotFound),
            ["auth_user_revoke_role"] = (new() { AuthUserRevokeRole = new AuthUserRevokeRoleRequest { Name = "none" } }, Empty, Denied, StoreError.UserNotFound),
            ["auth_user_list"] = (new() { AuthUserList = new AuthUserListRequest() }, Empty, Denied, None),
            ["auth_role_list"] = (new() { AuthRoleList = new AuthRoleListRequest() }, Empty, Denied, None),
            ["auth_role_add"] = (new() { AuthRoleAdd = new AuthRoleAddRequest { Name = "role" } }, Empty, Denied, StoreError.RoleAlreadyExist),
            ["auth_role_delete"] = (new() { AuthRoleDelete = new AuthRoleDeleteRequest { Role = "none" } }, Empty, Denied, StoreError.RoleNotFound),
            ["auth_role_get"] = (new() { AuthRoleGet = new AuthRoleGetRequest { Role = "none" } }, Empty, Denied, StoreError.RoleNotFound),
            ["auth_role_grant_permission"] = (new() { AuthRoleGrantPermission = new AuthRoleGrantPermissionRequest { Name = "none" } }, Empty, Denied, StoreError.PermissionNotGiven),
            ["auth_role_revoke_permission"] = (new() { AuthRoleRevokePermission = new AuthRoleRevokePermissionRequest { Role = "none" } }, Empty, Denied, StoreError.RoleNotFound),
            ["auth_disable"] = (new() { AuthDisable = new AuthDisableRequest() }, Empty, Denied, None),
        };
        var fields = InternalRaftRequest.Descriptor.Fields.InDeclarationOrder()
            .Where(field => field.FieldType == Google.Protobuf.Reflection.FieldType.Message && field.Name != "header")
            .Select(field => field.Name);
        Assert.Equal([], fields.Where(field => field != "downgrade_version_test" && !rows.ContainsKey(field)));

        _rig.Ok(Requests.Grant(5));
        _rig.Put("x", "v", lease: 5);
        _rig.EnableAuth();
        foreach (var (name, row) in rows)
        {
            foreach (var (user, expected) in new[] { ("", row.Nobody), ("user", row.User), ("root", row.Root) })
            {
                _rig.As = (user, user.Length == 0 ? 0 : Machine.Auth.Revision);
                var error = _rig.Error(row.Request.Clone());
                Assert.True(error == expected, $"{name} as '{user}': {error}, expected {expected}");
            }

            // Root's turn may have removed what the next rows need.
            if (name == "lease_revoke")
            {
                _rig.Ok(Requests.Grant(5));
            }
        }
    }

    [Fact]
    public void A_backend_behind_its_snapshot_is_refused()
    {
        _rig.Put("k", "v");
        _rig.Backend.CommitAll();
        var disk = _rig.Disk.KillCopy();

        var error = Assert.Throws<InvalidDataException>(() => new MachineRig(disk, new V2Snapshot(9, Machine.SaveSnapshot())));

        Assert.Contains("consistent index 1", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void A_restored_database_without_an_index_begins_at_its_snapshot()
    {
        // As etcdutl snapshot restore leaves it: members in the .snap, no consistent index in the database.
        var v2 = new V2Store(_rig.Clock);
        new MembershipStore(new MemoryBuckets(), v2).Apply(ConfChange.Add(0, new Member { Id = 1, PeerUrls = ["http://1"] }), true);

        using var rig = new MachineRig(snapshot: new V2Snapshot(1, v2.Save()));

        Assert.Equal(1ul, Assert.Single(rig.Machine.Members.Current.Members).Id);
        Assert.NotEqual("", rig.Bucket(Buckets.Members, "1"));
        rig.Put("k", "v");
        Assert.Equal(2ul, rig.Backend.ConsistentIndex);
    }

    [Fact]
    public void A_transaction_nested_too_deep_or_damaged_within_changes_nothing()
    {
        byte[] txn = [0x12, 0x02, 0x22, 0x00];
        for (int depth = 0; depth < 3000; depth++)
        {
            txn = Wrap(0x12, Wrap(0x22, txn));
        }

        Assert.Equal(StoreError.Malformed, _rig.Apply(Wrap(0x32, txn)).Error);

        byte[] put = Wrap(0x12, Wrap(0x12, Requests.Put("k", "v").Put.ToByteArray()));
        byte[] damaged = Wrap(0x1a, Wrap(0x12, [0x0a, 0x09]));
        Assert.Equal(StoreError.Malformed, _rig.Apply(Wrap(0x32, [.. put, .. damaged])).Error);
        Assert.Equal(1, Machine.Kv.Revision);

        static byte[] Wrap(byte tag, byte[] message)
        {
            using var stream = new MemoryStream();
            var output = new CodedOutputStream(stream);
            output.WriteRawTag(tag);
            output.WriteBytes(ByteString.CopyFrom(message));
            output.Flush();
            return stream.ToArray();
        }
    }

    [Fact]
    public void Hot_requests_allocate_nothing_once_warm()
    {
        byte[] put = Requests.Put("key", "a value of some length").ToByteArray();
        byte[] txn = Requests.Txn(new RequestOp { RequestPut = new PutRequest { Key = ByteString.CopyFromUtf8("key") } }).ToByteArray();
        ulong index = 0;
        var response = new System.Buffers.ArrayBufferWriter<byte>(1 << 16);
        Run(2000);

        // The memtable's tables grow by doubling now and then; between two growths nothing is allocated.
        Assert.Equal(0, Enumerable.Range(0, 6).Min(_ => Run(500)));

        long Run(int count)
        {
            long before = GC.GetAllocatedBytesForCurrentThread();
            for (int i = 0; i < count; i++)
            {
                response.ResetWrittenCount();
                Machine.Apply(++index, 1, put, response);
                Machine.Apply(++index, 1, txn, response);
                Machine.Publish();
            }

            return GC.GetAllocatedBytesForCurrentThread() - before;
        }
    }
}
