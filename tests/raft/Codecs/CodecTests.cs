using System.Buffers;
using Google.Protobuf;

namespace Perf.Raft.Tests.Codecs;

/// <summary>Our span codecs against the generated messages, byte for byte, and against rubbish.</summary>
public sealed class CodecTests
{
    private static readonly MessageType[] Types = Enum.GetValues<MessageType>();

    [Fact]
    public void Heartbeat_has_the_bytes_that_etcd_writes()
    {
        var message = new Message
        {
            Type = MessageType.Heartbeat,
            To = 2,
            From = 1,
            Term = 5,
            Commit = 300,
            Context = MessageContext.FromUInt64(7),
        };

        const string Expected =
            "08081002180120052800300040AC02" + "4A0A12080A02280010001800" + "50005800" + "62080000000000000007";
        Assert.Equal(Expected, Convert.ToHexString(Encode(message)));
        Assert.Equal(Expected.Replace("4A0A12080A02280010001800", "", StringComparison.Ordinal),
            Convert.ToHexString(Encode(message, alwaysSnapshot: false)));
    }

    [Fact]
    public void Empty_entry_of_a_new_leader_has_no_data_field()
    {
        Entry entry = EntryCodec.Write(new byte[40], EntryType.Normal, 3, 200, [], hasData: false, null);

        Assert.Equal("0800100318C801", Convert.ToHexString(entry.Encoded.Span));
        Assert.False(entry.HasData);
    }

    [Fact]
    public void Proposal_is_completed_in_its_headroom()
    {
        byte[] buffer = new byte[EntryCodec.HeadroomBytes + 3];
        "abc"u8.CopyTo(buffer.AsSpan(EntryCodec.HeadroomBytes));

        Entry entry = EntryCodec.Complete(
            buffer, EntryCodec.HeadroomBytes, EntryType.Normal, ulong.MaxValue, ulong.MaxValue, null);

        Assert.Equal("abc"u8.ToArray(), entry.Data.ToArray());
        Assert.Equal(Theirs(entry).ToByteArray(), entry.Encoded.ToArray());
    }

    [Fact]
    public void Messages_are_equal_to_the_generated_ones_byte_for_byte_and_read_back()
    {
        var random = new Random(1);
        for (int i = 0; i < 3_000; i++)
        {
            Message message = AnyMessage(random);
            byte[] ours = Encode(message);
            Assert.Equal(Theirs(message).ToByteArray(), ours);

            var writer = new ArrayBufferWriter<byte>();
            MessageCodec.Write(message, writer);
            Assert.Equal(ours, writer.WrittenSpan.ToArray());

            var entries = new EntryBuffer();
            Assert.Equal(OperationStatus.Done, MessageCodec.TryRead(ours, null, entries, out Message read));
            Assert.Equal(ours, Encode(read));
            Assert.Equal(message.Context, read.Context);

            byte[] short36 = Encode(message, alwaysSnapshot: false);
            Assert.Equal(OperationStatus.Done, MessageCodec.TryRead(short36, null, new EntryBuffer(), out read));
            Assert.Equal(ours, Encode(read));
        }
    }

    [Fact]
    public void States_and_changes_are_equal_to_the_generated_ones_byte_for_byte()
    {
        var random = new Random(2);
        for (int i = 0; i < 1_000; i++)
        {
            var hard = new HardState(Any(random), Any(random), Any(random));
            byte[] bytes = new byte[HardStateCodec.Bytes(hard)];
            Assert.Equal(bytes.Length, HardStateCodec.Write(hard, bytes));
            Assert.Equal(
                new Raftpb.HardState { Term = hard.Term, Vote = hard.Vote, Commit = hard.Commit }.ToByteArray(), bytes);
            Assert.Equal(OperationStatus.Done, HardStateCodec.TryRead(bytes, out HardState hardRead));
            Assert.Equal(hard, hardRead);

            var change = new ConfChange(
                Any(random), (ConfChangeType)random.Next(4), Any(random), AnyBytes(random, random.Next(2) * 9));
            bytes = new byte[ConfChangeCodec.Bytes(change)];
            Assert.Equal(bytes.Length, ConfChangeCodec.Write(change, bytes));
            var theirs = new Raftpb.ConfChange
            {
                Id = change.Id,
                Type = (Raftpb.ConfChangeType)change.Type,
                NodeId = change.NodeId,
            };
            if (change.Context.Length > 0)
            {
                theirs.Context = ByteString.CopyFrom(change.Context.Span);
            }

            Assert.Equal(theirs.ToByteArray(), bytes);
            Assert.Equal(OperationStatus.Done, ConfChangeCodec.TryRead(bytes, out ConfChange changeRead));
            Assert.Equal((change.Id, change.Type, change.NodeId), (changeRead.Id, changeRead.Type, changeRead.NodeId));
            Assert.Equal(change.Context.ToArray(), changeRead.Context.ToArray());

            ConfState state = AnyConfState(random);
            bytes = new byte[ConfStateCodec.Bytes(state)];
            Assert.Equal(bytes.Length, ConfStateCodec.Write(state, bytes));
            Assert.Equal(Theirs(state).ToByteArray(), bytes);
            Assert.Equal(OperationStatus.Done, ConfStateCodec.TryRead(bytes, out ConfState stateRead));
            Assert.True(state.SameAs(stateRead));
        }
    }

    [Fact]
    public void Packed_voters_are_read_as_well()
    {
        Assert.Equal(OperationStatus.Done, ConfStateCodec.TryRead([0x0a, 0x03, 0x03, 0x01, 0x02, 0x10, 0x09], out ConfState state));

        Assert.Equal([1, 2, 3], state.Voters.ToArray());
        Assert.Equal([9], state.Learners.ToArray());
    }

    [Theory]
    [InlineData("18052800")] // voters_outgoing
    [InlineData("20052800")] // learners_next
    [InlineData("08012801")] // auto_leave
    [InlineData("080108012800")] // a voter twice
    [InlineData("080110012800")] // voter and learner
    [InlineData("08002800")] // nobody
    public void Joint_or_impossible_configurations_are_refused(string hex) =>
        Assert.Equal(OperationStatus.InvalidData, ConfStateCodec.TryRead(Convert.FromHexString(hex), out _));

    [Theory]
    [InlineData("0AFFFFFFFFFFFFFFFFFF01")] // type as bytes of absurd length
    [InlineData("08FFFFFFFFFFFFFFFFFF02")] // more than 64 bits
    [InlineData("0880")] // cut off
    [InlineData("3A05080010")] // an entry longer than the message
    [InlineData("3A020805")] // an entry of unknown type
    [InlineData("1203")] // to, as bytes
    [InlineData("0B0C")] // a group
    [InlineData("0001")] // field 0
    [InlineData("6219" + "00000000000000000000000000000000000000000000000000")] // a context of 25 bytes
    [InlineData("080F")] // ReadIndex without a context
    public void Malformed_messages_are_refused(string hex) =>
        Assert.Equal(
            OperationStatus.InvalidData,
            MessageCodec.TryRead(Convert.FromHexString(hex), null, new EntryBuffer(), out _));

    [Fact]
    public void Unknown_fields_are_passed_over()
    {
        byte[] known = Encode(new Message { Type = MessageType.TimeoutNow, To = 1, From = 2, Term = 3 });
        byte[] source = [.. known, 0x68, 0x05, 0x72, 0x01, 0xff, 0x7d, 1, 2, 3, 4, 0x79, 1, 2, 3, 4, 5, 6, 7, 8];

        Assert.Equal(OperationStatus.Done, MessageCodec.TryRead(source, null, new EntryBuffer(), out Message read));
        Assert.Equal(known, Encode(read));
    }

    [Fact]
    public void Cut_or_flipped_messages_never_throw()
    {
        var random = new Random(3);
        for (int i = 0; i < 300; i++)
        {
            byte[] bytes = Encode(AnyMessage(random));
            for (int length = 0; length < Math.Min(bytes.Length, 200); length++)
            {
                MessageCodec.TryRead(bytes.AsMemory(0, length), null, new EntryBuffer(), out _);
            }

            for (int j = 0; j < 50; j++)
            {
                byte[] flipped = [.. bytes];
                flipped[random.Next(flipped.Length)] ^= (byte)(1 << random.Next(8));
                MessageCodec.TryRead(flipped, null, new EntryBuffer(), out _);
                EntryCodec.TryRead(flipped, null, out _);
                ConfChangeCodec.TryRead(flipped, out _);
                SnapshotCodec.TryRead(flipped, out _);
                ConfStateCodec.TryRead(flipped, out _);
                HardStateCodec.TryRead(flipped, out _);
            }
        }
    }

    private static byte[] Encode(in Message message, bool alwaysSnapshot = true)
    {
        byte[] bytes = new byte[MessageCodec.Bytes(message, alwaysSnapshot)];
        Assert.Equal(bytes.Length, MessageCodec.Write(message, bytes, alwaysSnapshot));
        return bytes;
    }

    private static Message AnyMessage(Random random)
    {
        MessageType type = Types[random.Next(Types.Length)];
        var message = new Message
        {
            Type = type,
            To = Any(random),
            From = Any(random),
            Term = Any(random),
            LogTerm = Any(random),
            Index = Any(random),
            Commit = Any(random),
            Reject = random.Next(2) == 0,
            RejectHint = Any(random),
        };
        if (type is MessageType.ReadIndex or MessageType.ReadIndexResp || random.Next(3) == 0)
        {
            message.Context = MessageContext.From(AnyBytes(random, random.Next(1, MessageContext.BytesMax + 1)));
        }

        if (type is MessageType.App or MessageType.Prop)
        {
            var entries = new EntryBuffer();
            for (int i = random.Next(4); i > 0; i--)
            {
                bool hasData = random.Next(4) != 0;
                byte[] data = hasData ? AnyBytes(random, random.Next(3) * 100) : [];
                byte[] target = new byte[data.Length + EntryCodec.HeadroomBytes];
                entries.Add(EntryCodec.Write(
                    target, (EntryType)random.Next(3), Any(random), Any(random), data, hasData, null));
            }

            message.Entries = entries.Memory;
        }

        if (type == MessageType.Snap)
        {
            message.Snapshot = new Snapshot(
                new SnapshotMetadata(Any(random), Any(random), AnyConfState(random)), AnyBytes(random, random.Next(2) * 50));
        }

        return message;
    }

    private static Raftpb.Message Theirs(in Message message)
    {
        var theirs = new Raftpb.Message
        {
            Type = (Raftpb.MessageType)message.Type,
            To = message.To,
            From = message.From,
            Term = message.Term,
            LogTerm = message.LogTerm,
            Index = message.Index,
            Commit = message.Commit,
            Reject = message.Reject,
            RejectHint = message.RejectHint,
            Snapshot = Theirs(message.Snapshot ?? new Snapshot(SnapshotMetadata.None, default)),
        };
        foreach (ref readonly Entry entry in message.Entries.Span)
        {
            theirs.Entries.Add(Theirs(entry));
        }

        ByteString context = ByteString.CopyFrom(message.Context.AsSpan());
        if (message.Type is MessageType.ReadIndex or MessageType.ReadIndexResp)
        {
            theirs.Entries.Add(new Raftpb.Entry { Type = 0, Term = 0, Index = 0, Data = context });
        }
        else if (context.Length > 0)
        {
            theirs.Context = context;
        }

        return theirs;
    }

    private static Raftpb.Entry Theirs(in Entry entry)
    {
        var theirs = new Raftpb.Entry { Type = (Raftpb.EntryType)entry.Type, Term = entry.Term, Index = entry.Index };
        if (entry.HasData)
        {
            theirs.Data = ByteString.CopyFrom(entry.Data.Span);
        }

        return theirs;
    }

    private static Raftpb.Snapshot Theirs(Snapshot snapshot)
    {
        var theirs = new Raftpb.Snapshot
        {
            Metadata = new Raftpb.SnapshotMetadata
            {
                Index = snapshot.Metadata.Index,
                Term = snapshot.Metadata.Term,
                ConfState = Theirs(snapshot.Metadata.ConfState),
            },
        };
        if (snapshot.Data.Length > 0)
        {
            theirs.Data = ByteString.CopyFrom(snapshot.Data.Span);
        }

        return theirs;
    }

    private static Raftpb.ConfState Theirs(ConfState state)
    {
        var theirs = new Raftpb.ConfState { AutoLeave = false };
        theirs.Voters.AddRange(state.Voters.ToArray());
        theirs.Learners.AddRange(state.Learners.ToArray());
        return theirs;
    }

    private static ConfState AnyConfState(Random random)
    {
        ulong[] ids = [.. Enumerable.Range(0, random.Next(6)).Select(i => (ulong)random.NextInt64(1, long.MaxValue)).Distinct()];
        int voters = random.Next(ids.Length + 1);
        return new ConfState(ids.AsSpan(0, voters), ids.AsSpan(voters));
    }

    // Small, large and the edges of varints.
    private static ulong Any(Random random) => random.Next(4) switch
    {
        0 => 0,
        1 => (ulong)random.Next(300),
        2 => (1UL << random.Next(64)) - (ulong)random.Next(2),
        _ => (ulong)random.NextInt64() * 2,
    };

    private static byte[] AnyBytes(Random random, int length)
    {
        byte[] bytes = new byte[length];
        random.NextBytes(bytes);
        return bytes;
    }
}
