using System.Globalization;
using Etcdserverpb;
using Google.Protobuf;
using Mvccpb;
using Perf.Grpc;
using Perf.Rpc.InProcess;
using Perf.Store.V2;

namespace Perf.Rpc.Http.V2;

/// <summary>
/// The v2 API over v3 keys below a prefix (--experimental-enable-v2v3), laid out as etcd lays them out:
///
///   PREFIX/DDD/k/PATH     a file; DDD is the number of slashes in PATH, three digits, so that a directory's children
///   PREFIX/DDD/k/PATH/    a directory       are one range
///   PREFIX/act            what the last change was called, so that a watch can tell
///
/// A v2 index is the revision less one. Times to live are not to be had here.
/// </summary>
internal sealed class V2OverV3(LocalClient client, string prefix) : IV2Server
{
    private const string TxnPath = "/etcdserverpb.KV/Txn";
    private const string RangePath = "/etcdserverpb.KV/Range";

    /// <summary>A removal goes as deep as one transaction can.</summary>
    private const int DepthMax = 63;

    private const int AttemptsMax = 100;

    private string ActionKey => prefix + "/act";

    public string StoreStatistics() => "";

    public async Task<V2Result> DoAsync(V2Request request)
    {
        try
        {
            return await (request switch
            {
                { Method: "GET" or "HEAD" } => GetAsync(request.Path, request.Recursive),
                _ when request.Expiration != 0 || request.Refresh == true => Task.FromResult<V2Result>(
                    new V2Error(V2ErrorCode.RaftInternal, "TTLs are unsupported", 0)),
                _ when IsRoot(request.Path) => Task.FromResult<V2Result>(
                    new V2Error(V2ErrorCode.RootReadOnly, request.Path, 0)),
                { Method: "POST" } => CreateAsync(request, unique: true),
                { Method: "PUT", PrevExist: false } => CreateAsync(request, unique: false),
                { Method: "PUT" } when request.PrevIndex > 0 || request.PrevValue.Length > 0 => SwapAsync(request),
                { Method: "PUT", PrevExist: true } => UpdateAsync(request),
                { Method: "PUT" } => SetAsync(request),
                _ when request.PrevIndex > 0 || request.PrevValue.Length > 0 => CompareAndDeleteAsync(request),
                _ => DeleteAsync(request),
            }).ConfigureAwait(false);
        }
        catch (RpcException e)
        {
            return new V2Error(V2ErrorCode.RaftInternal, e.Message, 0);
        }
    }

    public Task<(IV2Watch? Watch, V2Error? Error)> WatchAsync(V2Request request, CancellationToken cancelled)
    {
        LocalWatch watch = client.Watch(
            new WatchCreateRequest
            {
                Key = Bytes(prefix + "/"),
                RangeEnd = Bytes(prefix + "0"),
                StartRevision = request.Since == 0 ? 0 : (long)request.Since + 1,
                PrevKv = true,
            },
            cancelled);
        return CreatedAsync();

        async Task<(IV2Watch?, V2Error?)> CreatedAsync()
        {
            RangeResponse now = await RangeAsync(ActionKey, "", 0).ConfigureAwait(false);
            return (new KeysWatch(this, watch, request, Index(now.Header.Revision)), null);
        }
    }

    private static bool IsRoot(string path) => path is "" or "/" or "/0" or "/1";

    private static ulong Index(long revision) => revision == 0 ? 0 : (ulong)(revision - 1);

    private static ByteString Bytes(string text) => ByteString.CopyFromUtf8(text);

    private static string Parent(string path)
    {
        int at = path.LastIndexOf('/');
        return at <= 0 ? "/" : path[..at];
    }

    private string Key(string path, int deeper = 0)
    {
        string clean = V2Path.Clean(path);
        int depth = clean.Count(c => c == '/') + deeper;
        return string.Create(CultureInfo.InvariantCulture, $"{prefix}/{depth:D3}/k/{clean}");
    }

    private V2NodeView View(KeyValue source, int deletedAt = 0)
    {
        string key = source.Key.ToStringUtf8();
        bool isDirectory = key.EndsWith('/');
        return new V2NodeView
        {
            Key = V2Path.Clean(key[(prefix.Length + "/000/k/".Length)..]),
            IsDirectory = isDirectory,
            Value = isDirectory || deletedAt != 0 ? null : source.Value.ToStringUtf8(),
            CreatedIndex = Index(source.CreateRevision),
            ModifiedIndex = Index(source.ModRevision),
        };
    }

    private static V2Error Refusal(V2ErrorCode code, string path, long revision) => new(code, path, Index(revision));

    private Task<RangeResponse> RangeAsync(string from, string end, long revision) => client.CallAsync<RangeResponse>(
        RangePath,
        new RangeRequest { Key = Bytes(from), RangeEnd = Bytes(end), Revision = revision },
        CancellationToken.None);

    private Task<TxnResponse> TxnAsync(TxnRequest request) =>
        client.CallAsync<TxnResponse>(TxnPath, request, CancellationToken.None);

    private static RequestOp Get(string key) => new() { RequestRange = new RangeRequest { Key = Bytes(key) } };

    private static RequestOp Put(string key, string value, bool previous = false) => new()
    {
        RequestPut = new PutRequest { Key = Bytes(key), Value = Bytes(value), PrevKv = previous },
    };

    private static RequestOp Remove(string key, string end = "") => new()
    {
        RequestDeleteRange = new DeleteRangeRequest { Key = Bytes(key), RangeEnd = Bytes(end), PrevKv = end.Length == 0 },
    };

    private static Compare HasVersion(string key, Compare.Types.CompareResult result, string end = "") => new()
    {
        Key = Bytes(key),
        RangeEnd = Bytes(end),
        Target = Compare.Types.CompareTarget.Version,
        Result = result,
        Version = 0,
    };

    private static Compare IsUnchanged(string key, long revision) => new()
    {
        Key = Bytes(key),
        Target = Compare.Types.CompareTarget.Mod,
        Result = Compare.Types.CompareResult.Equal,
        ModRevision = revision,
    };

    /// <summary>What ends the range of all keys that begin so: paths are text, their last byte is never 0xff.</summary>
    private static string After(string start) => start[..^1] + (char)(start[^1] + 1);

    private async Task<V2Result> GetAsync(string path, bool recursive)
    {
        string key = Key(path);
        TxnResponse found = await TxnAsync(new TxnRequest { Success = { Get(key + "/"), Get(key) } }).ConfigureAwait(false);
        KeyValue? directory = found.Responses[0].ResponseRange.Kvs.FirstOrDefault();
        KeyValue? file = found.Responses[1].ResponseRange.Kvs.FirstOrDefault();
        long revision = found.Header.Revision;
        if (directory is null && file is not null)
        {
            return new V2Event { Action = V2Action.Get, Node = View(file), EtcdIndex = Index(revision) };
        }

        if (directory is null && !IsRoot(path))
        {
            return Refusal(V2ErrorCode.KeyNotFound, path, revision);
        }

        var node = new V2NodeView
        {
            Key = path,
            IsDirectory = true,
            CreatedIndex = directory is null ? 0 : Index(directory.CreateRevision),
            ModifiedIndex = directory is null ? 0 : Index(directory.ModRevision),
            Nodes = await ChildrenAsync(path, recursive, revision).ConfigureAwait(false),
        };
        return new V2Event { Action = V2Action.Get, Node = node, EtcdIndex = Index(revision) };
    }

    private async Task<List<V2NodeView>> ChildrenAsync(string path, bool recursive, long revision)
    {
        List<V2NodeView> top = await LevelAsync(path, 1, revision).ConfigureAwait(false);
        if (!recursive)
        {
            return top;
        }

        var known = top.ToDictionary(n => n.Key, StringComparer.Ordinal);
        List<V2NodeView> level = top;
        for (int depth = 2; level.Count > 0; depth++)
        {
            level = await LevelAsync(path, depth, revision).ConfigureAwait(false);
            foreach (IGrouping<string, V2NodeView> family in level.GroupBy(n => Parent(n.Key), StringComparer.Ordinal))
            {
                if (known.TryGetValue(family.Key, out V2NodeView? parent))
                {
                    parent.Nodes = [.. family];
                }
            }

            foreach (V2NodeView node in level)
            {
                known[node.Key] = node;
            }
        }

        return top;
    }

    private async Task<List<V2NodeView>> LevelAsync(string path, int deeper, long revision)
    {
        string clean = V2Path.Clean(path);
        string start = Key(path, deeper) + (clean == "/" ? "" : "/");
        RangeResponse found = await RangeAsync(start, After(start), revision).ConfigureAwait(false);
        return [.. found.Kvs.Select(kv => View(kv)).Where(n => !IsHidden(n.Key, clean))];
    }

    private static bool IsHidden(string key, string below) =>
        key[below.Length..].Contains("/_", StringComparison.Ordinal);

    /// <summary>
    /// Reads keys, decides, and writes if none of them has changed meanwhile; else begins again.
    /// </summary>
    private async Task<V2Result> DecideAsync(
        IReadOnlyList<string> keys,
        Func<Dictionary<string, KeyValue>, long, (V2Error? Refusal, List<RequestOp> Writes)> decide,
        Func<TxnResponse, V2Event> done)
    {
        for (int attempt = 0; attempt < AttemptsMax; attempt++)
        {
            var read = new TxnRequest();
            read.Success.AddRange(keys.Select(Get));
            TxnResponse found = await TxnAsync(read).ConfigureAwait(false);
            var present = new Dictionary<string, KeyValue>(StringComparer.Ordinal);
            for (int i = 0; i < keys.Count; i++)
            {
                if (found.Responses[i].ResponseRange.Kvs is [var kv])
                {
                    present[keys[i]] = kv;
                }
            }

            (V2Error? refusal, List<RequestOp> writes) = decide(present, found.Header.Revision);
            if (refusal is not null)
            {
                return refusal;
            }

            var write = new TxnRequest();
            write.Compare.AddRange(keys.Select(key => IsUnchanged(key, present.GetValueOrDefault(key)?.ModRevision ?? 0)));
            write.Success.AddRange(writes);
            TxnResponse written = await TxnAsync(write).ConfigureAwait(false);
            if (written.Succeeded)
            {
                return done(written);
            }
        }

        return new V2Error(V2ErrorCode.RaftInternal, "too many writers of the same keys", 0);
    }

    /// <summary>The directories above a path, nearest first, without the roots.</summary>
    private static List<string> Above(string path)
    {
        var above = new List<string>();
        for (string at = Parent(path); !IsRoot(at); at = Parent(at))
        {
            above.Add(at);
        }

        return above;
    }

    private (V2Error? Refusal, List<RequestOp> Writes) MakeParents(
        string path, Dictionary<string, KeyValue> present, long revision)
    {
        var writes = new List<RequestOp>();
        foreach (string parent in Above(path))
        {
            string key = Key(parent);
            if (present.ContainsKey(key))
            {
                return (Refusal(V2ErrorCode.NotDir, parent, revision), writes);
            }

            if (!present.ContainsKey(key + "/"))
            {
                writes.Add(Put(key + "/", ""));
            }
        }

        return (null, writes);
    }

    private List<string> KeysOf(string path) =>
        [.. Above(path).Append(path).Select(p => Key(p)).SelectMany(key => (string[])[key, key + "/"])];

    private V2Event Written(V2Action action, string path, bool directory, string value, TxnResponse written)
    {
        KeyValue? previous = written.Responses.Select(r => r.ResponsePut?.PrevKv).FirstOrDefault(kv => kv is not null);
        ulong index = Index(written.Header.Revision);
        return new V2Event
        {
            Action = action,
            Node = new V2NodeView
            {
                Key = path,
                IsDirectory = directory,
                Value = directory ? null : value,
                ModifiedIndex = index,
                CreatedIndex = previous is null ? index : Index(previous.CreateRevision),
            },
            PrevNode = previous is null ? null : View(previous),
            EtcdIndex = index,
        };
    }

    private Task<V2Result> SetAsync(V2Request request)
    {
        string key = Key(request.Path);
        return DecideAsync(
            KeysOf(request.Path),
            (present, revision) =>
            {
                (V2Error? refusal, List<RequestOp> writes) = MakeParents(request.Path, present, revision);
                if (refusal is null && present.ContainsKey(key + "/"))
                {
                    refusal = Refusal(V2ErrorCode.NotFile, request.Path, revision);
                }

                if (refusal is null && request.Directory && present.ContainsKey(key))
                {
                    refusal = Refusal(V2ErrorCode.NotDir, request.Path, revision);
                }

                writes.Add(Put(request.Directory ? key + "/" : key, request.Directory ? "" : request.Value, previous: true));
                writes.Add(Put(ActionKey, "set"));
                return (refusal, writes);
            },
            written => Written(V2Action.Set, request.Path, request.Directory, request.Value, written));
    }

    private Task<V2Result> UpdateAsync(V2Request request)
    {
        string key = Key(request.Path);
        return DecideAsync(
            [key, key + "/"],
            (present, revision) => (
                present.ContainsKey(key + "/") ? Refusal(V2ErrorCode.NotFile, request.Path, revision)
                : present.ContainsKey(key) ? null
                : Refusal(V2ErrorCode.KeyNotFound, request.Path, revision),
                [Put(key, request.Value, previous: true), Put(ActionKey, "update")]),
            written => Written(V2Action.Update, request.Path, directory: false, request.Value, written));
    }

    private async Task<V2Result> CreateAsync(V2Request request, bool unique)
    {
        string path = request.Path;
        if (unique)
        {
            RangeResponse now = await RangeAsync(ActionKey, "", 0).ConfigureAwait(false);
            path += "/" + now.Header.Revision.ToString("D20", CultureInfo.InvariantCulture);
        }

        string key = Key(path);
        return await DecideAsync(
            KeysOf(path),
            (present, revision) =>
            {
                (V2Error? refusal, List<RequestOp> writes) = MakeParents(path, present, revision);
                if (present.ContainsKey(key) || present.ContainsKey(key + "/"))
                {
                    refusal = Refusal(V2ErrorCode.NodeExist, path, revision);
                }

                writes.Add(Put(request.Directory ? key + "/" : key, request.Directory ? "" : request.Value));
                writes.Add(Put(ActionKey, "create"));
                return (refusal, writes);
            },
            written => Written(V2Action.Create, path, request.Directory, request.Value, written)).ConfigureAwait(false);
    }

    /// <summary>What a comparison asks, and what explains its failure.</summary>
    private TxnRequest Comparing(V2Request request, params RequestOp[] writes)
    {
        string key = Key(request.Path);
        var txn = new TxnRequest
        {
            Compare = { HasVersion(key, Compare.Types.CompareResult.Greater) },
            Failure = { Get(key), Get(key + "/") },
        };
        txn.Success.AddRange(writes);
        if (request.PrevIndex != 0)
        {
            txn.Compare.Add(IsUnchanged(key, (long)request.PrevIndex + 1));
        }

        if (request.PrevValue.Length > 0)
        {
            txn.Compare.Add(new Compare
            {
                Key = Bytes(key),
                Target = Compare.Types.CompareTarget.Value,
                Result = Compare.Types.CompareResult.Equal,
                Value = Bytes(request.PrevValue),
            });
        }

        return txn;
    }

    private static V2Error Explain(V2Request request, TxnResponse refused)
    {
        long revision = refused.Header.Revision;
        if (refused.Responses[1].ResponseRange.Kvs.Count > 0)
        {
            return Refusal(V2ErrorCode.NotFile, request.Path, revision);
        }

        if (refused.Responses[0].ResponseRange.Kvs is not [var kv])
        {
            return Refusal(V2ErrorCode.KeyNotFound, request.Path, revision);
        }

        bool indexMatches = request.PrevIndex == 0 || Index(kv.ModRevision) == request.PrevIndex;
        bool valueMatches = request.PrevValue.Length == 0 || kv.Value.ToStringUtf8() == request.PrevValue;
        var causes = new List<string>();
        if (!valueMatches)
        {
            causes.Add($"[{request.PrevValue} != {kv.Value.ToStringUtf8()}]");
        }

        if (!indexMatches)
        {
            causes.Add($"[{request.PrevIndex} != {Index(kv.ModRevision)}]");
        }

        return Refusal(V2ErrorCode.TestFailed, string.Join(' ', causes), revision);
    }

    private async Task<V2Result> SwapAsync(V2Request request)
    {
        TxnResponse answer = await TxnAsync(Comparing(
            request, Put(Key(request.Path), request.Value, previous: true), Put(ActionKey, "compareAndSwap"))).ConfigureAwait(false);
        return answer.Succeeded
            ? Written(V2Action.CompareAndSwap, request.Path, directory: false, request.Value, answer)
            : Explain(request, answer);
    }

    private async Task<V2Result> CompareAndDeleteAsync(V2Request request)
    {
        TxnResponse answer = await TxnAsync(Comparing(
            request, Remove(Key(request.Path)), Put(ActionKey, "compareAndDelete"))).ConfigureAwait(false);
        return answer.Succeeded ? Removed(V2Action.CompareAndDelete, request.Path, answer) : Explain(request, answer);
    }

    private V2Event Removed(V2Action action, string path, TxnResponse answer)
    {
        KeyValue previous = answer.Responses[0].ResponseDeleteRange.PrevKvs[0];
        V2NodeView before = View(previous);
        return new V2Event
        {
            Action = action,
            Node = new V2NodeView
            {
                Key = path,
                IsDirectory = before.IsDirectory,
                CreatedIndex = before.CreatedIndex,
                ModifiedIndex = Index(answer.Header.Revision),
            },
            PrevNode = before,
            EtcdIndex = Index(answer.Header.Revision),
        };
    }

    private async Task<V2Result> DeleteAsync(V2Request request)
    {
        string path = request.Path;
        string key = Key(path);
        var txn = new TxnRequest { Failure = { Get(key), Get(key + "/") } };
        string children = Key(path, 1) + "/";
        if (request.Recursive)
        {
            txn.Compare.Add(HasVersion(key + "/", Compare.Types.CompareResult.Greater));
            txn.Success.Add(Remove(key + "/"));
            for (int depth = 1; depth < DepthMax; depth++)
            {
                string level = Key(path, depth) + "/";
                txn.Success.Add(Remove(level, After(level)));
            }
        }
        else if (request.Directory)
        {
            txn.Compare.Add(HasVersion(key + "/", Compare.Types.CompareResult.Greater));
            txn.Compare.Add(HasVersion(children, Compare.Types.CompareResult.Equal, After(children)));
            txn.Success.Add(Remove(key + "/"));
        }
        else
        {
            txn.Compare.Add(HasVersion(key, Compare.Types.CompareResult.Greater));
            txn.Success.Add(Remove(key));
        }

        txn.Success.Add(Put(ActionKey, "delete"));
        TxnResponse answer = await TxnAsync(txn).ConfigureAwait(false);
        if (answer.Succeeded)
        {
            return Removed(V2Action.Delete, path, answer);
        }

        bool isFile = answer.Responses[0].ResponseRange.Kvs.Count > 0;
        bool isDirectory = answer.Responses[1].ResponseRange.Kvs.Count > 0;
        if (isFile)
        {
            // As the v2 tree does, a file goes whatever was said of directories.
            return await DeleteAsync(request with { Directory = false, Recursive = false }).ConfigureAwait(false);
        }

        return Refusal(
            !isDirectory ? V2ErrorCode.KeyNotFound : request.Directory ? V2ErrorCode.DirNotEmpty : V2ErrorCode.NotFile,
            path,
            answer.Header.Revision);
    }

    /// <summary>Changes of the keys as v2 events: one for each revision, of what it was about.</summary>
    private sealed class KeysWatch(V2OverV3 owner, LocalWatch watch, V2Request request, ulong startIndex) : IV2Watch
    {
        private readonly Queue<V2Event> _waiting = new();

        public ulong StartIndex => startIndex;

        public async ValueTask<V2Event?> NextAsync(CancellationToken cancelled)
        {
            try
            {
                while (_waiting.Count == 0)
                {
                    WatchResponse answer = await watch.NextAsync(cancelled).ConfigureAwait(false);
                    foreach (IGrouping<long, Event> change in answer.Events.GroupBy(e => e.Kv.ModRevision))
                    {
                        Add(change);
                    }
                }
            }
            catch (RpcException)
            {
                return null;
            }

            return _waiting.Dequeue();
        }

        public ValueTask DisposeAsync() => watch.DisposeAsync();

        private void Add(IGrouping<long, Event> change)
        {
            string? action = null;
            Event? subject = null;
            foreach (Event one in change)
            {
                if (one.Kv.Key.ToStringUtf8() == owner.ActionKey)
                {
                    action = one.Kv.Value.ToStringUtf8();
                }
                else if (subject is null || IsBetter(one, subject))
                {
                    subject = one;
                }
            }

            if (subject is null || !Enum.TryParse(action, ignoreCase: true, out V2Action parsed))
            {
                return;
            }

            bool isDeletion = subject.Type == Event.Types.EventType.Delete;
            V2NodeView node = owner.View(subject.Kv, isDeletion ? 1 : 0);
            if (!Concerns(node.Key))
            {
                return;
            }

            V2NodeView? before = subject.PrevKv is null ? null : owner.View(subject.PrevKv);
            _waiting.Enqueue(new V2Event
            {
                Action = parsed,
                Node = isDeletion && before is not null
                    ? new V2NodeView
                    {
                        Key = node.Key,
                        IsDirectory = node.IsDirectory,
                        CreatedIndex = before.CreatedIndex,
                        ModifiedIndex = node.ModifiedIndex,
                    }
                    : node,
                PrevNode = before,
                EtcdIndex = Index(change.Key),
            });
        }

        /// <summary>What is put last on a way of new directories, or the directory that everything below goes with.</summary>
        private static bool IsBetter(Event one, Event other) => one.Type == Event.Types.EventType.Delete
            ? one.Kv.Key.Length < other.Kv.Key.Length
            : one.Kv.Key.Length > other.Kv.Key.Length;

        private bool Concerns(string key) => key == request.Path
            || (request.Recursive
                && key.StartsWith(request.Path.TrimEnd('/') + "/", StringComparison.Ordinal)
                && !V2Path.IsHidden(request.Path, key));
    }
}
