using Etcdserverpb;
using Google.Protobuf;
using Perf.Engine.IO;
using Perf.Engine.Transactions;
using Perf.Store.Apply;
using Perf.Store.Membership;
using Perf.Store.V2;
using Xunit;
using AlarmType = Etcdserverpb.AlarmType;
using Member = Perf.Store.Membership.Member;

namespace Perf.Store.Tests.Apply;

/// <summary>
/// etcd issue 13766: an index saved apart from the data it stands for. A log of every kind of entry is applied on a
/// simulated disk; the power goes at every disk call; what comes back must be a state the log went through, at the
/// index it says, and the rest of the log must lead where it always leads.
/// </summary>
public sealed class CrashTests
{
    private const int Entries = 90;
    private const AlarmRequest.Types.AlarmAction Activate = AlarmRequest.Types.AlarmAction.Activate;
    private const AlarmRequest.Types.AlarmAction Deactivate = AlarmRequest.Types.AlarmAction.Deactivate;

    private readonly List<(bool IsConfChange, byte[] Data)> _log = [];

    /// <summary>Digest after each index; 0: the empty state.</summary>
    private readonly List<string> _digests = [];

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    public void Power_failure_at_any_disk_call_leaves_a_state_of_the_log_with_its_own_index(int seed)
    {
        Prepare(seed);
        bool finished = false;
        int crashes = 0;
        for (long call = 1; !finished; call += 1 + (call / 40))
        {
            var disk = new SimDisk();
            disk.FailAt(call, SimFailure.PowerOff);
            V2Snapshot? snapshot = null;
            try
            {
                Run(disk, seed, ref snapshot);
                finished = true;
            }
            catch (SimCrashException)
            {
                crashes++;
            }

            Check(disk.CrashCopy((ulong)call), snapshot, $"seed {seed}, power off at call {call}");
        }

        Assert.InRange(crashes, 40, int.MaxValue);
    }

    [Fact]
    public void A_killed_process_finds_its_last_commit_again()
    {
        Prepare(3);
        var disk = new SimDisk();
        V2Snapshot? snapshot = null;
        Run(disk, 3, ref snapshot);

        Check(disk.KillCopy(), snapshot, "killed");
        Check(disk.KillCopy(), null, "killed, log kept from its beginning");
    }

    [Fact]
    public void An_installed_snapshot_brings_users_alarms_and_members_along()
    {
        Prepare(4);
        using var source = new MachineRig();
        using var target = new MachineRig();
        for (int i = 0; i < Entries; i++)
        {
            Feed(source.Machine, (ulong)i + 1);
            if (i < Entries / 3)
            {
                Feed(target.Machine, (ulong)i + 1);
            }
        }

        source.Machine.Publish();
        source.Backend.CommitAll();
        var snapshot = new V2Snapshot(source.Machine.AppliedIndex, source.Machine.SaveSnapshot());
        using (var image = source.Backend.File.OpenImage())
        using (var file = target.Disk.Open("/data/received", DiskOpen.CreateNew))
        {
            byte[] chunk = new byte[1 << 16];
            for (long at = 0; at < image.Length;)
            {
                int count = image.Read(chunk, at);
                file.Write(chunk.AsSpan(0, count), at);
                at += count;
            }

            file.SyncAll();
        }

        target.Machine.Install(
            DataFile.Open(target.Disk, "/data/received", new DataFileOptions { MapBytesMin = 64 << 20 }), snapshot);
        target.Machine.Publish();

        Assert.Equal(source.Machine.Digest(), target.Machine.Digest());
        Assert.Equal(source.Machine.AppliedIndex, target.Machine.PublishedIndex);
        Assert.Equal(source.Machine.Auth.View.Revision, target.Machine.Auth.View.Revision);
        Assert.Equal(source.Machine.Alarms.Active, target.Machine.Alarms.Active);
        byte[] next = Requests.Put("next", "v").ToByteArray();
        Assert.Equal(
            source.Machine.Apply(Entries + 1, 9, next, null).Error, target.Machine.Apply(Entries + 1, 9, next, null).Error);
        source.Machine.Publish();
        target.Machine.Publish();
        Assert.Equal(source.Machine.Digest(), target.Machine.Digest());
    }

    /// <summary>Makes a log and the digest of every state it leads through.</summary>
    private void Prepare(int seed)
    {
        var random = new Random(seed);
        _log.Add((true, ConfChange.EncodeBootstrap(new Member { Id = 1, PeerUrls = ["http://1"], Name = "m1" })));
        while (_log.Count < Entries)
        {
            _log.Add(RandomEntry(random));
        }

        using var model = new MachineRig();
        _digests.Add(model.Machine.Digest());
        for (ulong index = 1; index <= Entries; index++)
        {
            Feed(model.Machine, index);
            model.Machine.Publish();
            _digests.Add(model.Machine.Digest());
        }

        // The log must really go through many states.
        Assert.InRange(_digests.Distinct().Count(), Entries / 4, Entries + 1);
    }

    /// <summary>Applies the log with commits and .snap files in between, as a node does (a .snap only after a commit).</summary>
    private void Run(SimDisk disk, int seed, ref V2Snapshot? snapshot)
    {
        var random = new Random(seed * 31);
        var rig = new MachineRig(disk);
        for (ulong index = 1; index <= Entries; index++)
        {
            Feed(rig.Machine, index);
            if (random.Next(4) == 0)
            {
                rig.Machine.Publish();
            }

            if (random.Next(3) == 0 && rig.Backend.TryFreeze() && random.Next(3) > 0)
            {
                rig.Backend.CommitFrozen();
            }
            else if (rig.Backend.HasFrozen && random.Next(2) == 0)
            {
                rig.Backend.CommitFrozen();
            }

            if (random.Next(20) == 0)
            {
                rig.Backend.CommitAll();
                snapshot = new V2Snapshot(index, rig.Machine.SaveSnapshot());
            }
        }

        rig.Backend.CommitAll();
    }

    private void Check(SimDisk disk, V2Snapshot? snapshot, string what)
    {
        using var rig = new MachineRig(disk, snapshot);
        ulong index = rig.Backend.ConsistentIndex;
        Assert.True(index >= (snapshot?.Index ?? 0), $"{what}: index {index} is behind the snapshot");
        for (ulong next = rig.Machine.AppliedIndex + 1; next <= index; next++)
        {
            Feed(rig.Machine, next);
            Assert.Equal(index, rig.Backend.ConsistentIndex);
        }

        rig.Machine.Publish();
        Assert.True(_digests[(int)index] == rig.Machine.Digest(), $"{what}: not the state of index {index}");

        for (ulong next = index + 1; next <= Entries; next++)
        {
            Feed(rig.Machine, next);
        }

        rig.Machine.Publish();
        Assert.True(_digests[Entries] == rig.Machine.Digest(), $"{what}: another end");
    }

    private void Feed(StateMachine machine, ulong index)
    {
        var (isConfChange, data) = _log[(int)index - 1];
        ulong term = 1 + (index / 40);
        if (isConfChange)
        {
            machine.ApplyConfChange(index, term, data);
        }
        else
        {
            machine.Apply(index, term, data, null);
        }
    }

    private static (bool IsConfChange, byte[] Data) RandomEntry(Random random)
    {
        string key = "k" + random.Next(12);
        ulong member = (ulong)random.Next(2, 5);
        string user = "user" + random.Next(3);
        string role = "role" + random.Next(2);
        var dialect = new RequestDialect(random.Next(2) == 0 ? SpeakAs.V35 : SpeakAs.V36, new SemanticVersion(3, 5, 0));
        switch (random.Next(20))
        {
            case 0:
                return (true, ConfChange.Add(1, new Member { Id = member, PeerUrls = [$"http://{member}"], IsLearner = random.Next(2) == 0 }).Encode());
            case 1:
                return (true, ConfChange.Promote(1, member).Encode());
            case 2:
                return (true, (random.Next(3) == 0 ? ConfChange.Remove(1, member) : ConfChange.Update(1, member, [$"http://{member}.{random.Next(9)}"])).Encode());
            case 3:
                return (false, dialect.EncodeAttributes(1, random.Next(2) == 0 ? 1 : member, "n" + random.Next(9), ["http://c"]));
            case 4:
                return (false, dialect.EncodeVersion(1, new SemanticVersion(3, random.Next(4, 7), 0)));
            case 5:
                return (false, new V2Request { Method = "PUT", Path = "/1/" + key, Value = key, Expiration = random.Next(2) * 2_000_000_000_000_000_000 }.Encode());
            case 6:
                return (false, new V2Request { Method = random.Next(2) == 0 ? "SYNC" : "POST", Path = "/1/q", Time = 2_000_000_000_000_000_001 }.Encode());
            case 7:
                return Entry(new InternalRaftRequest { AuthUserAdd = new AuthUserAddRequest { Name = user, Password = key } });
            case 8:
                return Entry(random.Next(2) == 0
                    ? new InternalRaftRequest { AuthRoleAdd = new AuthRoleAddRequest { Name = role } }
                    : new InternalRaftRequest { AuthRoleDelete = new AuthRoleDeleteRequest { Role = role } });
            case 9:
                return Entry(new InternalRaftRequest { AuthUserGrantRole = new AuthUserGrantRoleRequest { User = user, Role = role } });
            case 10:
                return Entry(new InternalRaftRequest
                {
                    AuthRoleGrantPermission = new AuthRoleGrantPermissionRequest
                    {
                        Name = role,
                        Perm = new Authpb.Permission { Key = ByteString.CopyFromUtf8(key) },
                    },
                });
            case 11:
                return Entry(Requests.Alarm(random.Next(4) == 0 ? Activate : Deactivate, AlarmType.Nospace, member));
            case 12:
                return Entry(Requests.Grant(random.Next(1, 4)));
            case 13:
                return Entry(new InternalRaftRequest { LeaseRevoke = new LeaseRevokeRequest { ID = random.Next(1, 4) } });
            case 14:
                return Entry(new InternalRaftRequest { Compaction = new CompactionRequest { Revision = random.Next(2, 20) } });
            case 15:
                return Entry(Requests.Delete(key, random.Next(3) == 0 ? "k5" : ""));
            case 16:
                return Entry(Requests.Txn(
                    new RequestOp { RequestPut = Requests.Put(key, "t").Put },
                    new RequestOp { RequestDeleteRange = Requests.Delete("k1").DeleteRange }));
            case 17:
                return (false, random.Next(2) == 0 ? [] : "garbage"u8.ToArray());
            default:
                return Entry(Requests.Put(key, "v" + random.Next(1000), lease: random.Next(3)));
        }

        static (bool IsConfChange, byte[] Data) Entry(InternalRaftRequest request)
        {
            request.Header = new RequestHeader { ID = 1 };
            return (false, request.ToByteArray());
        }
    }
}
