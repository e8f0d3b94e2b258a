using System.Buffers;
using Perf.Node.Peers;
using Perf.Raft;

namespace Perf.Fuzz.Targets;

/// <summary>raftpb.Entry: what is read is inside the input, and written again it reads the same.</summary>
internal sealed class EntryTarget() : FuzzTarget("entry")
{
    public override IEnumerable<byte[]> Seeds() =>
        [RaftSeeds.Entry(1, 1, "data"), RaftSeeds.Entry(ulong.MaxValue, 1UL << 40, ""), RaftSeeds.Entry(3, 9, null)];

    public override byte[] Change(Mutator mutator, IReadOnlyList<byte[]> corpus) => mutator.Fields(corpus);

    public override void Run(ReadOnlySpan<byte> input)
    {
        if (EntryCodec.TryRead(input.ToArray(), null, out Entry entry) != OperationStatus.Done)
        {
            return;
        }

        Enter();
        int length = entry.HasData ? entry.Data.Length : -1;
        byte[] again = new byte[EntryCodec.Bytes(entry.Term, entry.Index, length)];
        EntryCodec.Write(again, entry.Type, entry.Term, entry.Index, entry.Data.Span, entry.HasData, null);
        Require(EntryCodec.TryRead(again, null, out Entry second) == OperationStatus.Done, "refused what it wrote");
        ulong index = IsPlanted ? (uint)second.Index : second.Index;
        RequireEqual((entry.Term, entry.Index, entry.Type, entry.HasData), (second.Term, index, second.Type, second.HasData), "entry");
        RequireSame(entry.Data.Span, second.Data.Span, "data");
    }
}

/// <summary>raftpb.Message, both dialects.</summary>
internal sealed class MessageTarget() : FuzzTarget("message")
{
    /// <summary>Types known or unknown that one byte of varint holds.</summary>
    private const int TypeMax = 0x7f;

    public override IEnumerable<byte[]> Seeds() => [RaftSeeds.Message(0), RaftSeeds.Message(2), RaftSeeds.Message(3)[..20]];

    public override byte[] Change(Mutator mutator, IReadOnlyList<byte[]> corpus) => mutator.Fields(corpus);

    public override void Run(ReadOnlySpan<byte> input)
    {
        var entries = new EntryBuffer();
        if (MessageCodec.TryRead(input.ToArray(), null, entries, out Message message) != OperationStatus.Done)
        {
            return;
        }

        Enter();
        if ((byte)message.Type > TypeMax)
        {
            // Read and then refused by the core: it is never written.
            return;
        }

        foreach (bool alwaysSnapshot in (bool[])[true, false])
        {
            byte[] again = new byte[MessageCodec.Bytes(message, alwaysSnapshot)];
            RequireEqual(again.Length, MessageCodec.Write(message, again, alwaysSnapshot), "bytes");
            var secondEntries = new EntryBuffer();
            Require(
                MessageCodec.TryRead(again, null, secondEntries, out Message second) == OperationStatus.Done,
                "refused what it wrote");
            byte[] third = new byte[MessageCodec.Bytes(second, alwaysSnapshot)];
            MessageCodec.Write(second, third, alwaysSnapshot);
            RequireSame(again, third, "written twice");
            RequireEqual(message.Entries.Length, second.Entries.Length + (IsPlanted && second.Reject ? 1 : 0), "entries");
        }
    }
}

/// <summary>HardState, ConfState, ConfChange and Snapshot: written again they read the same.</summary>
internal sealed class SmallCodecTarget() : FuzzTarget("raftsmall")
{
    public override IEnumerable<byte[]> Seeds()
    {
        byte[] hard = new byte[HardStateCodec.BytesMax];
        yield return hard[..HardStateCodec.Write(new HardState(3, 1UL << 63, 400), hard)];
        var conf = new ConfState([1, 2, ulong.MaxValue], [7]);
        byte[] state = new byte[ConfStateCodec.Bytes(conf)];
        ConfStateCodec.Write(conf, state);
        yield return state;
        var snapshot = new Snapshot(new SnapshotMetadata(8, 2, conf), "{\"Root\":null}"u8.ToArray());
        byte[] whole = new byte[SnapshotCodec.Bytes(snapshot)];
        SnapshotCodec.Write(snapshot, whole);
        yield return whole;
    }

    public override byte[] Change(Mutator mutator, IReadOnlyList<byte[]> corpus) => mutator.Fields(corpus);

    public override void Run(ReadOnlySpan<byte> input)
    {
        byte[] bytes = input.ToArray();
        bool isEntered = false;
        if (HardStateCodec.TryRead(bytes, out HardState hard) == OperationStatus.Done)
        {
            byte[] again = new byte[HardStateCodec.BytesMax];
            int length = HardStateCodec.Write(hard, again);
            HardStateCodec.TryRead(again.AsSpan(0, length), out HardState second);
            isEntered = true;
            RequireEqual(hard, IsPlanted ? second with { Vote = (uint)second.Vote } : second, "hard state");
        }

        if (ConfStateCodec.TryRead(bytes, out ConfState conf) == OperationStatus.Done)
        {
            isEntered = true;
            byte[] again = new byte[ConfStateCodec.Bytes(conf)];
            RequireEqual(again.Length, ConfStateCodec.Write(conf, again), "bytes of a conf state");
            Require(ConfStateCodec.TryRead(again, out _) == OperationStatus.Done, "refused its own conf state");
        }

        if (SnapshotCodec.TryRead(bytes, out Snapshot? snapshot) == OperationStatus.Done)
        {
            byte[] again = new byte[SnapshotCodec.Bytes(snapshot!)];
            RequireEqual(again.Length, SnapshotCodec.Write(snapshot!, again), "bytes of a snapshot");
            Require(SnapshotCodec.TryRead(again, out Snapshot? second) == OperationStatus.Done, "refused its own snapshot");
            RequireEqual(snapshot!.Metadata.Index, second!.Metadata.Index, "index");
        }

        if (ConfChangeCodec.TryRead(bytes, out Perf.Raft.ConfChange change) == OperationStatus.Done)
        {
            byte[] again = new byte[ConfChangeCodec.Bytes(change)];
            ConfChangeCodec.Write(change, again);
            Require(ConfChangeCodec.TryRead(again, out _) == OperationStatus.Done, "refused its own conf change");
        }

        Store.Membership.ConfChange.TryDecode(bytes, out _);
        if (isEntered)
        {
            Enter();
        }
    }
}

/// <summary>A msgappv2 stream: frames lie inside the input, and where reads cut them makes no difference.</summary>
internal sealed class MsgAppTarget() : FuzzTarget("msgapp")
{
    public override IEnumerable<byte[]> Seeds()
    {
        var target = new ArrayBufferWriter<byte>();
        var encoder = new MsgAppV2Encoder();
        encoder.WriteLinkHeartbeat(target);
        encoder.Write(RaftSeeds.App(5, 0, 2), target);
        encoder.Write(RaftSeeds.App(5, 2, 3), target);
        encoder.WriteLinkHeartbeat(target);
        encoder.Write(RaftSeeds.App(6, 5, 0), target);
        yield return target.WrittenSpan.ToArray();
    }

    public override void Run(ReadOnlySpan<byte> input)
    {
        byte[] bytes = input.ToArray();
        string frames = Frames(bytes, bytes.Length);
        if (frames.Length > 0 && frames != "invalid")
        {
            Enter();
        }

        RequireEqual(frames, Frames(bytes, 1), "frames by the byte");
    }

    /// <summary>What the decoder makes of the stream when so many bytes more are there at each turn.</summary>
    private string Frames(byte[] bytes, int step)
    {
        var decoder = new MsgAppV2Decoder(1, 2, 1 << 20);
        var frames = new System.Text.StringBuilder();
        int at = 0;
        int known = 0;
        while (at < bytes.Length)
        {
            known = Math.Min(bytes.Length, Math.Max(known, at) + step);
            OperationStatus status;
            do
            {
                var entries = new EntryBuffer();
                status = decoder.Read(bytes.AsMemory(at, known - at), null, entries, out PeerFrame frame, out Message message, out int length);
                if (status != OperationStatus.Done)
                {
                    break;
                }

                Require(length > 0 && length <= known - at, $"a frame of {length} bytes of {known - at}");
                ulong commit = IsPlanted && step == 1 ? (ushort)message.Commit : message.Commit;
                frames.Append($"{frame} {message.Term} {message.Index} {message.Entries.Length} {commit};");
                at += length;
            }
            while (at < known);

            if (status == OperationStatus.InvalidData)
            {
                return frames.Append("invalid").ToString();
            }

            if (known == bytes.Length)
            {
                break;
            }
        }

        return frames.ToString();
    }
}

/// <summary>Good raft bytes.</summary>
internal static class RaftSeeds
{
    public static byte[] Entry(ulong term, ulong index, string? data)
    {
        byte[] content = System.Text.Encoding.ASCII.GetBytes(data ?? "");
        byte[] target = new byte[EntryCodec.Bytes(term, index, data is null ? -1 : content.Length)];
        EntryCodec.Write(target, EntryType.Normal, term, index, content, data is not null, null);
        return target;
    }

    public static Message App(ulong term, ulong previous, int count)
    {
        var entries = new EntryBuffer();
        for (int i = 1; i <= count; i++)
        {
            EntryCodec.TryRead(Entry(term, previous + (ulong)i, "entry" + i), null, out Entry entry);
            entries.Add(entry);
        }

        return new Message
        {
            Type = MessageType.App,
            To = 1,
            From = 2,
            Term = term,
            LogTerm = term,
            Index = previous,
            Commit = previous,
            Entries = entries.Memory,
        };
    }

    public static byte[] Message(int entries)
    {
        Message message = App(4, 7, entries);
        byte[] target = new byte[MessageCodec.Bytes(message)];
        MessageCodec.Write(message, target);
        return target;
    }
}
