using Perf.Cluster.Tests.Harness;
using Xunit;

namespace Perf.Cluster.Tests.Security;

/// <summary>
/// Debian's etcdctl says the same words to its own server and to ours, and gets the same answers: user, role and auth
/// commands, and what they mean to keys (SURFACE 1.11, 6.4).
/// </summary>
[Collection(SingleMembers.Name)]
public sealed class AuthCommandTests
{
    private const int Port = 31820;

    private static readonly string[] _setUp =
    [
        "user list",
        "user add root:rootpw",
        "user add u1:pw1",
        "user add u1:again",
        "user add u2 --new-user-password=pw2",
        "user add cert --no-password",
        "user add",
        "user add :x",
        "user add u3 --interactive=false",
        "user list",
        "user get u1",
        "user get nosuch",
        "user passwd nosuch --interactive=false",
        "role add r1",
        "role add r1",
        "role add empty",
        "role add gone",
        "role list",
        "role grant-permission r1 readwrite foo",
        "role grant-permission r1 read a z",
        "role grant-permission r1 write pre/ --prefix=true",
        "role grant-permission r1 read zz --from-key=true",
        "role grant-permission r1 bogus foo",
        "role grant-permission nosuch read foo",
        "role grant-permission r1",
        "role get r1",
        "role get nosuch",
        "role revoke-permission r1 nothing",
        "role revoke-permission r1 zz --from-key=true",
        "role revoke-permission r1 a z",
        "role get r1",
        "user grant-role u1 r1",
        "user grant-role u1 r1",
        "user grant-role u1 nosuch",
        "user grant-role nosuch r1",
        "user grant-role u2 gone",
        "user get u1 --detail",
        "user get u2",
        "role delete gone",
        "role delete gone",
        "user get u2",
        "user revoke-role u1 empty",
        "user revoke-role nosuch r1",
        "user delete nosuch",
        "--user u1:pw1 get foo",
        "put foo first",
        "put secret hidden",
        "put pre/1 one",
        "user grant-role root root",
        "auth enable x",
        "auth enable",
    ];

    private static readonly string[] _underAuth =
    [
        "get foo",
        "put foo denied",
        "user list",
        "--user root:rootpw auth enable",
        "--user root:rootpw get foo",
        "--user root --password rootpw get secret",
        "--user root:wrong get foo",
        "--user nosuch:pw get foo",
        "--user cert:anything get foo",
        "--user u1:pw1 get foo",
        "--user u1:pw1 put foo byu1",
        "--user u1:pw1 get secret",
        "--user u1:pw1 get foo --prefix",
        "--user u1:pw1 put pre/2 two",
        "--user u1:pw1 put pre/2 two --prev-kv",
        "--user u1:pw1 get pre/2",
        "--user u1:pw1 del pre/2",
        "--user u1:pw1 del pre/1 --prev-kv",
        "--user u1:pw1 del foo --prev-kv",
        "--user u1:pw1 del foo --from-key",
        "--user u1:pw1 user list",
        "--user u1:pw1 user get u1",
        "--user u1:pw1 user get root",
        "--user u1:pw1 role get r1",
        "--user u1:pw1 role get empty",
        "--user u1:pw1 role add mine",
        "--user u1:pw1 auth disable",
        "--user u2:pw2 get foo",
        "--user root:rootpw role revoke-permission r1 foo",
        "--user u1:pw1 get foo",
        "--user root:rootpw role grant-permission r1 read foo",
        "--user u1:pw1 get foo",
        "--user u1:pw1 put foo x",
        "--user root:rootpw user revoke-role u1 r1",
        "--user u1:pw1 get foo",
        "--user root:rootpw user delete root",
        "--user root:rootpw role delete root",
        "--user root:rootpw user revoke-role root root",
        "--user root:rootpw user delete u2",
        "--user u2:pw2 get foo",
        "--user root:rootpw user list",
        "--user root:rootpw role list",
        "--user root:rootpw auth disable x",
        "--user root:rootpw auth disable",
        "get secret",
        "auth disable",
    ];

    [InteropFact]
    public void User_role_and_auth_commands_get_the_answers_of_a_real_etcd()
    {
        using var scratch = new TempDirectory();
        using PerfProcess ours = PerfProcess.Start(scratch["ours"], Port, "--bcrypt-cost", "4");
        using RealEtcd real = RealEtcd.Start(scratch["real"], Port + 2, "--bcrypt-cost", "4");
        foreach (string line in _setUp)
        {
            Compare(ours, real, line);
        }

        // 3.4 stores a range that cannot be; 3.5 refuses it, and so do we.
        Assert.Contains(
            "invalid auth management",
            new Etcdctl(ours).Run("--user root:rootpw role grant-permission r1 read z a").Error,
            StringComparison.Ordinal);

        // It lets every user compact; 3.5 and we do not.
        new Etcdctl(ours).Succeed("--user root:rootpw user add any:pw");
        Assert.Contains(
            "permission denied", new Etcdctl(ours).Run("--user any:pw compact 1").Error, StringComparison.Ordinal);
        new Etcdctl(ours).Succeed("--user root:rootpw user delete any");

        // Passwords are typed; twice, where they are new.
        Compare(ours, real, "user add typed", "typedpw\ntypedpw\n");
        Compare(ours, real, "user add typo", "one\ntwo\n");
        Compare(ours, real, "--user root:rootpw user passwd u2 --interactive=false", "new2\n");
        foreach (string line in _underAuth)
        {
            Compare(ours, real, line.Replace("u2:pw2", "u2:new2", StringComparison.Ordinal));
        }
    }

    private static void Compare(EtcdProcess ours, EtcdProcess real, string line, string? input = null) =>
        Assert.Equal((line, Ask(real, line, input)), (line, Ask(ours, line, input)));

    private static string Ask(EtcdProcess server, string line, string? input)
    {
        Outcome outcome = new Etcdctl(server).Run(line, input);
        string error = outcome.LastError.StartsWith("{\"level\":", StringComparison.Ordinal) ? "" : outcome.LastError;
        return $"{outcome.Code}\n{outcome.Output}{error}".Replace(server.Endpoint, "ENDPOINT", StringComparison.Ordinal);
    }
}
