using System.Diagnostics;
using Perf.Engine.IO;
using Perf.Engine.Snap;
using Perf.Engine.Wal;
using Xunit;

namespace Perf.Engine.Tests.Wal;

/// <summary>Logs and snapshots that etcd 3.4, 3.5 and 3.6 wrote and were killed over.</summary>
public sealed class WalFixtureTests
{
    [EtcdFixtureFact]
    public void Directories_of_killed_etcds_open_replay_and_go_on()
    {
        string fixtures = EtcdFixtureFactAttribute.Directory!;
        int logs = 0;
        foreach (string archive in Directory.GetFiles(fixtures, "etcd-*-1.tar.xz"))
        {
            string target = Directory.CreateTempSubdirectory("perf-wal-").FullName;
            try
            {
                Unpack(archive, target);
                foreach (string member in Directory.GetDirectories(target, "member", SearchOption.AllDirectories))
                {
                    CheckMember(member);
                    logs++;
                }
            }
            finally
            {
                Directory.Delete(target, recursive: true);
            }
        }

        Assert.True(logs >= 3);
    }

    private static void CheckMember(string member)
    {
        string wal = Path.Combine(member, "wal");
        string snap = Path.Combine(member, "snap");
        IDisk disk = FileDisk.Instance;
        IReadOnlyList<WalSnapshot> valid = WalLog.ValidSnapshots(disk, wal);
        Assert.Equal(0UL, valid[0].Index);
        Assert.True(valid.Count >= 2);

        (SnapName Name, byte[] RaftSnapshot)? newest = SnapFile.ReadNewest(
            disk, snap, n => valid.Any(v => v.Index == n.Index && v.Term == n.Term));
        Assert.NotNull(newest);
        Assert.Equal(valid[^1].Index, newest.Value.Name.Index);
        Assert.NotEmpty(newest.Value.RaftSnapshot);

        // From the beginning, from the newest snapshot, and once more after we have written ourselves.
        var whole = new WalModel();
        WalLog log = WalLog.Open(disk, wal, default, new WalOptions(), whole);
        Assert.Equal(1UL, whole.Entries[0].Index);
        Assert.InRange(whole.State.Commit, newest.Value.Name.Index, whole.LastIndex);
        Assert.Equal(valid.Count, whole.Snapshots.Count);
        ulong next = log.LastIndex + 1;
        byte[] entry = WalSamples.Entry(whole.State.Term, next, 100);
        log.AppendEntry(next, entry);
        log.Cut();
        log.Dispose();
        whole.OnEntry(next, whole.State.Term, entry);

        var tail = new WalModel();
        WalLog.Open(disk, wal, valid[^1], new WalOptions(), tail).Dispose();
        Assert.Equal(whole.Entries.Where(e => e.Index > valid[^1].Index).Select(e => e.Index), tail.Entries.Select(e => e.Index));
        var again = new WalModel();
        log = WalLog.Open(disk, wal, default, new WalOptions(), again);
        Assert.True(whole.Equals(again));
        var read = new WalModel();
        Assert.Equal(whole.Entries.Count, log.ReadEntries(1, next + 1, int.MaxValue, read));
        Assert.Equal(whole.Entries.Select(e => e.Bytes), read.Entries.Select(e => e.Bytes));
        log.Dispose();
    }

    private static void Unpack(string archive, string target)
    {
        using Process tar = Process.Start("tar", ["xJf", archive, "-C", target]);
        Assert.True(tar.WaitForExit(60_000));
        Assert.Equal(0, tar.ExitCode);
    }
}
