using Perf.Etcdctl.CommandLine;

namespace Perf.Etcdctl.V2;

/// <summary>One v2 command being run.</summary>
internal sealed record V2Run(V2Client Client, V2Flags Global, V2Flags Flags, IReadOnlyList<string> Words, Terminal Terminal)
{
    /// <summary>Does something within --total-timeout.</summary>
    public async Task<T> InTimeAsync<T>(Func<CancellationToken, Task<T>> work)
    {
        using CancellationTokenSource limit = Global.TotalTimeout();
        try
        {
            return await work(limit.Token).ConfigureAwait(false);
        }
        catch (OperationCanceledException) when (!Terminal.Interrupted.IsCancellationRequested)
        {
            throw V2Exception.Timeout();
        }
    }
}

/// <summary>A v2 command and its own flags: long name, and letter behind a comma.</summary>
internal sealed record V2Verb(string Name, Func<V2Run, Task> Run, string[] Switches, string[] Values)
{
    /// <summary>What is refused with when there is no argument; empty where none is needed.</summary>
    public string WithoutArguments { get; init; } = "";

    /// <summary>True where the cluster's own client URLs are asked for first, unless --no-sync says otherwise.</summary>
    public bool Syncs { get; init; } = true;
}

/// <summary>All v2 commands.</summary>
internal static class V2Verbs
{
    public const string Help = """
        NAME:
           etcdctl - A simple command line client for etcd.

        USAGE:
           etcdctl [global options] command [command options] [arguments...]

        COMMANDS:
             backup          --data-dir=... --backup-dir={output}
             cluster-health  check the health of the etcd cluster
             mk              make a new key with a given value
             mkdir           make a new directory
             rm              remove a key or a directory
             rmdir           removes the key if it is an empty directory or a key-value pair
             get             retrieve the value of a key
             ls              retrieve a directory
             set             set the value of a key
             setdir          create a new directory or update an existing directory TTL
             update          update an existing key with a given value
             updatedir       update an existing directory
             watch           watch a key for changes
             exec-watch      watch a key for changes and exec an executable
             member          member add, remove, update and list subcommands

        GLOBAL OPTIONS:
           --debug                          output the requests that are sent
           --no-sync                        don't synchronize cluster information before sending request
           --output simple, -o simple       output response in the given format (simple, `extended` or `json`)
           --discovery-srv value, -D value  domain name to query for SRV records describing cluster endpoints
           --insecure-discovery             accept insecure SRV records describing cluster endpoints
           --peers value, -C value          DEPRECATED - "--endpoints" should be used instead
           --endpoint value                 DEPRECATED - "--endpoints" should be used instead
           --endpoints value                a comma-delimited list of machine addresses in the cluster
           --cert-file value                identify HTTPS client using this SSL certificate file
           --key-file value                 identify HTTPS client using this SSL key file
           --ca-file value                  verify certificates of HTTPS-enabled servers using this CA bundle
           --username value, -u value       provide username[:password] and prompt if password is not supplied.
           --timeout value                  connection timeout per request (default: 2s)
           --total-timeout value            timeout for the command execution (except watch) (default: 5s)
           --help, -h                       show help
           --version, -v                    print the version

        """;

    private static readonly V2Verb[] _all =
    [
        new("backup", r => V2ClusterCommands.BackupAsync(r), ["with-v3"], ["data-dir", "wal-dir", "backup-dir", "backup-wal-dir"])
        {
            Syncs = false,
        },
        new("cluster-health", r => new V2ClusterCommands(r).HealthAsync(), ["forever,f"], []) { Syncs = false },
        new("member list", r => new V2ClusterCommands(r).ListAsync(), [], []),
        new("member add", r => new V2ClusterCommands(r).AddAsync(), [], []),
        new("member remove", r => new V2ClusterCommands(r).RemoveAsync(), [], []),
        new("member update", r => new V2ClusterCommands(r).UpdateAsync(), [], []),
        OnKey("get", k => k.GetAsync(), ["sort", "quorum,q"], []),
        new("ls", r => new V2KeyCommands(r).ListAsync(), ["sort", "recursive,r", "p", "quorum,q"], []),
        OnKey("mk", k => k.MakeAsync(), ["in-order"], ["ttl"]),
        OnKey("mkdir", k => k.DirectoryAsync("false"), [], ["ttl"]),
        OnKey("setdir", k => k.DirectoryAsync(""), [], ["ttl"]),
        OnKey("updatedir", k => k.DirectoryAsync("true"), [], ["ttl"]),
        OnKey("set", k => k.SetAsync(""), [], ["ttl", "swap-with-value", "swap-with-index"]),
        OnKey("update", k => k.SetAsync("true"), [], ["ttl"]),
        OnKey("rm", k => k.RemoveAsync(), ["dir", "recursive,r"], ["with-value", "with-index"]),
        OnKey("rmdir", k => k.RemoveDirectoryAsync(), [], []),
        OnKey("watch", k => k.WatchAsync(), ["forever,f", "recursive,r"], ["after-index"]),
        OnKey("exec-watch", k => k.ExecWatchAsync(), ["recursive,r"], ["after-index"]) with
        {
            WithoutArguments = "key and command to exec required",
        },
    ];

    /// <summary>The command that the words begin with, and the words behind its name; null for none.</summary>
    public static (V2Verb Verb, List<string> Behind)? Find(List<string> words)
    {
        foreach (V2Verb verb in _all)
        {
            string[] name = verb.Name.Split(' ');
            if (words.Count >= name.Length && words[..name.Length].SequenceEqual(name))
            {
                return (verb, words[name.Length..]);
            }
        }

        return null;
    }

    private static V2Verb OnKey(string name, Func<V2KeyCommands, Task> run, string[] switches, string[] values) =>
        new(name, r => run(new V2KeyCommands(r)), switches, values) { WithoutArguments = "key required" };
}
