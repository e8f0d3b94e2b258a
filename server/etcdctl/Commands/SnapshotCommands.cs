using System.Runtime.InteropServices;
using System.Security.Cryptography;
using Microsoft.Win32.SafeHandles;
using Perf.Client;
using Perf.Compression;
using Perf.Etcdctl.CommandLine;
using Perf.Etcdctl.Text;
using Perf.Progress;

namespace Perf.Etcdctl.Commands;

/// <summary>snapshot save; restore and status, which work on files, are handed to etcdutl.</summary>
internal static class SnapshotCommands
{
    private const string DefaultCluster = "default=http://localhost:2380";

    public static Command New() => new Command("snapshot <subcommand>", "Manages etcd node snapshots").Add(
        new Command("save <filename>", "Stores an etcd node backend snapshot to a given file") { Run = SaveAsync }.With(
            flags => flags.Bool("compress", false, "Compress the file with zstd; status and restore recognise it")),
        new Command(
            "restore <filename> [options]",
            "Restores an etcd member snapshot to an etcd directory",
            "Moved to `etcdutl snapshot restore ...`\n")
        {
            Run = RestoreAsync,
        }.With(RestoreFlags),
        new Command(
            "status <filename>",
            "[deprecated] Gets backend snapshot status of a given file",
            "When --write-out is set to simple, this command prints out comma-separated status lists for each "
            + "endpoint.\nThe items in the lists are hash, revision, total keys, total size.\n\n"
            + "Moved to 'etcdutl snapshot status ...'\n")
        {
            Run = run => MovedAsync(run, "status", [run.Flags["write-out"]]),
        });

    private static void RestoreFlags(FlagSet flags)
    {
        flags.String("data-dir", "", "Path to the data directory");
        flags.String("wal-dir", "", "Path to the WAL directory (use --data-dir if none given)");
        flags.String(
            "initial-cluster", DefaultCluster, "Initial cluster configuration for restore bootstrap");
        flags.String(
            "initial-cluster-token",
            "etcd-cluster",
            "Initial cluster token for the etcd cluster during restore bootstrap");
        flags.String(
            "initial-advertise-peer-urls",
            "http://localhost:2380",
            "List of this member's peer URLs to advertise to the rest of the cluster");
        flags.String("name", "default", "Human-readable name for this member");
        flags.Bool(
            "skip-hash-check",
            false,
            "Ignore snapshot integrity hash value (required if copied from data directory)");
        flags.Uint64("bump-revision", 0, "How much to increase the latest revision after restore");
        flags.Bool(
            "mark-compacted",
            false,
            "Mark the latest revision after restore as the point of scheduled compaction (required if "
            + "--bump-revision > 0, disallowed otherwise)");
        flags.Uint64(
            "initial-memory-map-size",
            0,
            "Initial memory map size of the database in bytes. It uses the default value if not defined or defined "
            + "to 0");
    }

    private static Task RestoreAsync(Invocation run)
    {
        // etcdutl insists on a directory; etcdctl goes by the name.
        if (run.Text("data-dir").Length == 0)
        {
            run.Flags["data-dir"].Set(run.Text("name") + ".etcd");
        }

        return MovedAsync(run, "restore", run.Command.Flags.All.Where(f => f.Changed && f.Name != "help"));
    }

    private static Task MovedAsync(Invocation run, string name, IEnumerable<Flag> flags)
    {
        run.Terminal.ErrorLine($"Deprecated: Use `etcdutl snapshot {name}` instead.\n");
        return Etcdutl.RunAsync(
            run.Terminal, ["snapshot", name, .. flags.Select(f => $"--{f.Name}={f.Text}"), "--", .. run.Args]);
    }

    private static async Task SaveAsync(Invocation run)
    {
        if (run.Args.Count != 1)
        {
            throw Invocation.BadArguments("snapshot save expects one argument");
        }

        string path = run.Args[0];
        await using Session session = Session.Prepare(run);
        IReadOnlyList<string> endpoints = await session.EndpointsAsync().ConfigureAwait(false);
        if (endpoints.Count != 1)
        {
            throw new ExitException(
                ExitCode.Interrupted,
                $"snapshot must be requested to one selected node, not multiple [{string.Join(' ', endpoints)}]");
        }

        try
        {
            EtcdClient client = await session.ConnectAsync(session.Options(endpoints)).ConfigureAwait(false);
            await using (client.ConfigureAwait(false))
            {
                await SaveAsync(run, session, client, path).ConfigureAwait(false);
            }
        }
        catch (OperationCanceledException)
        {
            throw new ExitException(ExitCode.Interrupted, "context deadline exceeded");
        }
        catch (Exception e) when (e is EtcdException or IOException or InvalidDataException
            or UnauthorizedAccessException)
        {
            throw new ExitException(ExitCode.Interrupted, e.Message);
        }

        run.Terminal.WriteLine("Snapshot saved at " + path);
    }

    private static async Task SaveAsync(Invocation run, Session session, EtcdClient client, string path)
    {
        // Without --command-timeout only the first answer is waited for with a limit: a big file takes its time.
        StatusResponse status = await session.WithinTimeoutAsync(
            c => client.Maintenance.StatusAsync(client.Endpoints[0], c)).ConfigureAwait(false);
        using CancellationTokenSource timeout = run.Flags["command-timeout"].Changed
            ? session.Timeout()
            : CancellationTokenSource.CreateLinkedTokenSource(run.Terminal.Interrupted);
        string part = path + ".part";
        string compressed = path + ".part.zst";
        bool compress = run.On("compress");
        FileStream file = Create(part);
        try
        {
            Log(run, "created temporary db file", "path", part);
            long size;
            await using (file.ConfigureAwait(false))
            {
                Log(run, "fetching snapshot", "endpoint", client.Endpoints[0]);
                size = await FetchAsync(run.Terminal, client, file, status.DbSize, timeout.Token).ConfigureAwait(false);
                if (size % 512 != SHA256.HashSizeInBytes)
                {
                    throw new IOException($"sha256 checksum not found [bytes: {size}]");
                }

                await file.FlushAsync(timeout.Token).ConfigureAwait(false);
                if (!compress)
                {
                    Sync(file);
                }
            }

            Log(run, "fetched snapshot", "size", Humanize.Bytes((ulong)size));
            if (compress)
            {
                Log(run, "compressed snapshot", "size", Humanize.Bytes((ulong)Compress(part, compressed)));
            }

            File.Move(compress ? compressed : part, path, overwrite: true);
            Log(run, "saved", "path", path);
        }
        finally
        {
            File.Delete(part);
            File.Delete(compressed);
        }
    }

    private static async Task<long> FetchAsync(
        Terminal terminal, EtcdClient client, FileStream file, long sizeExpected, CancellationToken cancellation)
    {
        Task<long> fetching = client.Maintenance.SnapshotAsync(file, cancellation);
        using var line = new ProgressLine(terminal.Screen);
        line.Show($"about {Humanize.Bytes((ulong)sizeExpected)} to fetch");
        while (line.IsShown && await Task.WhenAny(fetching, Task.Delay(ProgressLine.Every, cancellation))
            .ConfigureAwait(false) != fetching)
        {
            line.Show($"{Humanize.Bytes((ulong)file.Length)} of about {Humanize.Bytes((ulong)sizeExpected)} fetched");
        }

        return await fetching.ConfigureAwait(false);
    }

    private static long Compress(string source, string target)
    {
        using FileStream plain = File.OpenRead(source);
        using FileStream file = Create(target);
        long size = Zstd.Compress(plain, file);
        file.Flush();
        Sync(file);
        return size;
    }

    private static FileStream Create(string part)
    {
        var options = new FileStreamOptions { Mode = FileMode.Create, Access = FileAccess.Write };
        if (!OperatingSystem.IsWindows())
        {
            options.UnixCreateMode = UnixFileMode.UserRead | UnixFileMode.UserWrite;
        }

        try
        {
            return new FileStream(part, options);
        }
        catch (Exception e) when (e is DirectoryNotFoundException or FileNotFoundException)
        {
            throw new IOException($"could not open {part} (open {part}: no such file or directory)");
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new IOException($"could not open {part} ({e.Message})");
        }
    }

    // A snapshot is there for the day the disks fail: it is on the disk before we say so. The managed flush does not
    // report a failed fsync, so the call is made directly.
    private static void Sync(FileStream file)
    {
        if (FileSync(file.SafeFileHandle) != 0)
        {
            throw new IOException($"fsync {file.Name}: error {Marshal.GetLastPInvokeError()}");
        }
    }

    [DllImport("libc", EntryPoint = "fsync", SetLastError = true)]
    private static extern int FileSync(SafeFileHandle file);

    private static void Log(Invocation run, string message, string name, string value) => run.Terminal.ErrorLine(
        $"{{\"level\":\"info\",\"ts\":\"{Variables.Now()}\",\"msg\":\"{message}\","
        + $"\"{name}\":\"{System.Text.Json.JsonEncodedText.Encode(value)}\"}}");
}

/// <summary>etcdutl, the tool for files, beside this one or on the path.</summary>
internal static class Etcdutl
{
    public static async Task RunAsync(Terminal terminal, IReadOnlyList<string> arguments)
    {
        string beside = Path.Combine(AppContext.BaseDirectory, "etcdutl");
        string program = File.Exists(beside) ? beside : "etcdutl";
        int code;
        try
        {
            code = await Programs.RunAsync(terminal, [program, .. arguments], new Dictionary<string, string>())
                .ConfigureAwait(false);
        }
        catch (System.ComponentModel.Win32Exception)
        {
            throw new ExitException(ExitCode.Error, "etcdutl was not found beside etcdctl or on the PATH");
        }

        if (code != 0)
        {
            throw new ExitException(code, "");
        }
    }
}
