using System.Buffers;
using Perf.Engine.IO;
using Perf.Engine.Wal;
using Perf.Raft;
using Perf.Store.Commands;
using Perf.Store.V2;

namespace Perf.Etcdutl.Files;

/// <summary>Whether users have kept anything by the v2 interface, which later versions do not carry on.</summary>
internal sealed record V2Content(bool InStore, bool InLog)
{
    public static V2Content Read(IDisk disk, string dataDir, string walDirOption)
    {
        string walDir = walDirOption.Length > 0 ? walDirOption : Paths.Wal(dataDir);
        if (!WalLog.Exists(disk, walDir))
        {
            return new V2Content(false, false);
        }

        Snapshot? snapshot = NewestSnapshot.Find(disk, Paths.Snap(dataDir), WalLog.ValidSnapshots(disk, walDir));
        bool inStore = false;
        if (snapshot is not null)
        {
            var store = new V2Store(TimeProvider.System);
            store.Load(snapshot.Data.Span);
            inStore = store.HasUserContent;
        }

        var entries = new Entries();
        SnapshotMetadata start = snapshot?.Metadata ?? SnapshotMetadata.None;
        LogReading.Read(
            disk, walDir, Paths.WalMark(dataDir), new WalSnapshot(start.Index, start.Term, default), entries);
        return new V2Content(inStore, entries.HasUserContent);
    }

    /// <summary>The members tell of themselves and of the cluster's version by v2 requests too.</summary>
    private static bool IsOfTheCluster(V2Request request) =>
        request.Method == "PUT"
        && (request.Path == "/0/version"
            || (request.Path.StartsWith("/0/members/", StringComparison.Ordinal)
                && request.Path.EndsWith("/attributes", StringComparison.Ordinal)));

    private sealed class Entries : IWalVisitor
    {
        public bool HasUserContent { get; private set; }

        public void OnEntry(ulong index, ulong term, ReadOnlySpan<byte> encodedEntry)
        {
            if (EntryCodec.TryRead(encodedEntry.ToArray(), null, out Entry entry) != OperationStatus.Done
                || entry.Type != EntryType.Normal || entry.Data.Length == 0)
            {
                return;
            }

            ReadOnlySpan<byte> data = entry.Data.Span;
            if (!V2Request.IsBare(data))
            {
                if (!InternalRequestView.TryParse(data, out InternalRequestView request) || request.Field != InternalField.V2)
                {
                    return;
                }

                data = request.Body;
            }

            HasUserContent |= !V2Request.TryDecode(data, out V2Request? v2) || !IsOfTheCluster(v2);
        }

        public void OnTruncate(ulong index)
        {
        }

        public void OnHardState(ulong term, ulong vote, ulong commit)
        {
        }

        public void OnSnapshot(ulong index, ulong term, ReadOnlySpan<byte> confState)
        {
        }
    }
}
