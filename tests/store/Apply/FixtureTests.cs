using System.Text.Json;
using Perf.Engine.IO;
using Perf.Engine.Transactions;
using Perf.Store.Apply;
using Perf.Store.Auth;
using Perf.Store.Backend;
using Xunit;

namespace Perf.Store.Tests.Apply;

/// <summary>The state machine on databases that real etcds left behind.</summary>
public sealed class FixtureTests
{
    [FixtureTheory]
    [InlineData("etcd-3.4-1")]
    [InlineData("etcd-3.6-3")]
    public void The_database_of_a_real_etcd_opens_as_what_it_says_it_is(string fixture)
    {
        string folder = Fixtures.Unpack(fixture);
        try
        {
            string snapFolder = Path.Combine(folder, "m0", "member", "snap");
            string snap = Directory.GetFiles(snapFolder, "*.snap").Order().Last();
            ulong index = Convert.ToUInt64(Path.GetFileNameWithoutExtension(snap)[17..], 16);
            var clock = new ManualClock();
            using var backend = new BackendStore(
                DataFile.Open(FileDisk.Instance, Path.Combine(snapFolder, "db"), new DataFileOptions { MapBytesMin = 64 << 20 }));
            var machine = StateMachine.Open(
                backend,
                new StateMachineOptions
                {
                    ClusterId = 1,
                    MemberId = 1,
                    Clock = clock,
                    Tokens = new SimpleTokens(clock, new Random(1).NextBytes, default),
                    Hasher = new BcryptHasher(),
                },
                new V2Snapshot(index, Fixtures.V2JsonOf(snap)));
            machine.Publish();
            using var expected = JsonDocument.Parse(File.ReadAllBytes(Path.Combine(folder, "expected.json")));

            Assert.InRange(machine.Kv.Revision, 2, expected.RootElement.GetProperty("revision").GetInt64());
            Assert.True(machine.Auth.Enabled);
            Assert.Equal(9ul, machine.Auth.Revision);
            var verifier = new PasswordVerifier(new BcryptHasher(), 4, new Random(2).NextBytes);
            Assert.Equal(StoreError.None, verifier.Check(machine.Auth.View, "root", "rootpw", out _));
            var alice = machine.Auth.Subject("alice"u8, 9);
            Assert.Equal(StoreError.None, alice.Check(PermissionKind.Write, "k0"u8, "k1"u8));
            Assert.Equal(StoreError.PermissionDenied, alice.Check(PermissionKind.Read, "k1"u8, default));
            Assert.Equal(4, machine.Leases.Leases().Length);

            // Nothing in the buckets needs repair: what we would write is what etcd wrote. Only 3.4 has no confState.
            Assert.Equal(fixture.Contains("3.4", StringComparison.Ordinal) ? 1 : 0, machine.Members.Reconcile());
            Assert.True(machine.Members.IsProjected());
        }
        finally
        {
            Directory.Delete(Path.GetDirectoryName(folder)!, recursive: true);
        }
    }
}
