using System.Buffers;
using FsCheck.Fluent;
using Google.Protobuf;
using Perf.Testing;

namespace Perf.Raft.Tests.Codecs;

/// <summary>Our span codecs against the generated messages, byte for byte, and against rubbish.</summary>
public sealed class CodecTests
{
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
    public void Messages_are_equal_to_the_generated_ones_byte_for_byte_and_read_back() => Properties.Hold(
        Samples.Messages, Samples.Smaller, cases: 500, sizeMax: 60, check: sample =>
        {
            Message message = sample.ToMessage();
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
        });

    [Fact]
    public void Hard_states_are_equal_to_the_generated_ones_byte_for_byte() => Properties.Hold(
        Properties.Numbers.ArrayOf(3), Samples.SmallerNumbers, cases: 500, check: numbers =>
        {
            var hard = new HardState(numbers[0], numbers[1], numbers[2]);
            byte[] bytes = new byte[HardStateCodec.Bytes(hard)];
            Assert.Equal(bytes.Length, HardStateCodec.Write(hard, bytes));
            Assert.Equal(
                new Raftpb.HardState { Term = hard.Term, Vote = hard.Vote, Commit = hard.Commit }.ToByteArray(), bytes);
            Assert.Equal(OperationStatus.Done, HardStateCodec.TryRead(bytes, out HardState hardRead));
            Assert.Equal(hard, hardRead);
        });

    [Fact]
    public void Changes_are_equal_to_the_generated_ones_byte_for_byte() => Properties.Hold(
        from numbers in Properties.Numbers.ArrayOf(2)
        from type in Gen.Choose(0, 3)
        from context in Properties.Bytes
        select (Numbers: numbers, Type: type, Context: context),
        sample =>
        [
            .. Properties.Smaller(sample.Context).Select(less => sample with { Context = less }),
            .. Samples.SmallerNumbers(sample.Numbers).Select(less => sample with { Numbers = less }),
        ],
        cases: 500,
        check: sample =>
        {
            var change = new ConfChange(sample.Numbers[0], (ConfChangeType)sample.Type, sample.Numbers[1], sample.Context);
            byte[] bytes = new byte[ConfChangeCodec.Bytes(change)];
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
            Assert.Equal(OperationStatus.Done, ConfChangeCodec.TryRead(bytes, out ConfChange read));
            Assert.Equal((change.Id, change.Type, change.NodeId), (read.Id, read.Type, read.NodeId));
            Assert.Equal(change.Context.ToArray(), read.Context.ToArray());
        });

    [Fact]
    public void Configurations_are_equal_to_the_generated_ones_byte_for_byte() => Properties.Hold(
        Samples.Members, Samples.SmallerMembers, cases: 500, check: sample =>
        {
            ConfState state = sample.ToConfState();
            byte[] bytes = new byte[ConfStateCodec.Bytes(state)];
            Assert.Equal(bytes.Length, ConfStateCodec.Write(state, bytes));
            Assert.Equal(Theirs(state).ToByteArray(), bytes);
            Assert.Equal(OperationStatus.Done, ConfStateCodec.TryRead(bytes, out ConfState read));
            Assert.True(state.SameAs(read));
        });

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
    public void Cut_or_flipped_messages_never_throw() => Properties.Hold(
        from sample in Samples.Messages
        from flips in Gen.Choose(0, int.MaxValue - 1).ArrayOf(50)
        select (Sample: sample, Flips: flips),
        input =>
        [
            .. Properties.Smaller(input.Flips).Select(less => input with { Flips = less }),
            .. Samples.Smaller(input.Sample).Select(less => input with { Sample = less }),
        ],
        cases: 150,
        sizeMax: 60,
        check: input =>
        {
            byte[] bytes = Encode(input.Sample.ToMessage());
            for (int length = 0; length < Math.Min(bytes.Length, 200); length++)
            {
                MessageCodec.TryRead(bytes.AsMemory(0, length), null, new EntryBuffer(), out _);
            }

            foreach (int flip in input.Flips)
            {
                byte[] flipped = [.. bytes];
                flipped[flip / 8 % flipped.Length] ^= (byte)(1 << (flip % 8));
                MessageCodec.TryRead(flipped, null, new EntryBuffer(), out _);
                EntryCodec.TryRead(flipped, null, out _);
                ConfChangeCodec.TryRead(flipped, out _);
                SnapshotCodec.TryRead(flipped, out _);
                ConfStateCodec.TryRead(flipped, out _);
                HardStateCodec.TryRead(flipped, out _);
            }
        });

    private static byte[] Encode(in Message message, bool alwaysSnapshot = true)
    {
        byte[] bytes = new byte[MessageCodec.Bytes(message, alwaysSnapshot)];
        Assert.Equal(bytes.Length, MessageCodec.Write(message, bytes, alwaysSnapshot));
        return bytes;
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
}
