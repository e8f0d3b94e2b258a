using Perf.Engine.IO;
using Perf.Engine.Wal;
using Perf.Raft;
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

        (Snapshot? snapshot, LogEntries entries, _) = LogReading.FromNewestSnapshot(disk, dataDir, walDir);
        bool inStore = false;
        if (snapshot is not null)
        {
            var store = new V2Store(TimeProvider.System);
            store.Load(snapshot.Data.Span);
            inStore = store.HasUserContent;
        }

        return new V2Content(inStore, entries.All.Any(e => LogRequest.Of(e) is { V2: not null, IsOfTheCluster: false }));
    }
}
