using System.Buffers;
using System.Buffers.Binary;
using Perf.Node.Peers;
using Perf.Raft;
using Xunit;

namespace Perf.Node.Tests.Peers;

public sealed class StreamCodecTests
{
    [Fact]
    public void A_msgappv2_conversation_is_byte_for_byte_what_the_format_says()
    {
        var target = new ArrayBufferWriter<byte>();
        var encoder = new MsgAppV2Encoder(alwaysSnapshot: false);
        encoder.WriteLinkHeartbeat(target);
        encoder.Write(PeerSamples.App(5, 5, 10, 9, PeerSamples.Entry(5, 11, 2)), target);
        encoder.Write(PeerSamples.App(5, 5, 11, 10, PeerSamples.Entry(5, 12, 1), PeerSamples.Entry(5, 13, 0)), target);
        encoder.Write(PeerSamples.App(5, 5, 13, 13), target);
        encoder.Write(PeerSamples.App(5, 5, 12, 13), target);

        // Computed by hand: type, big-endian numbers, protobuf with every scalar written.
        const string Entry11 = "08001005180B22020B0B";
        const string Entry12 = "08001005180C22010C";
        const string Entry13 = "08001005180D2200";
        Assert.Equal(
            "00"
            + "02" + "000000000000001E" + "080310021801200528" + "05300A3A0A" + Entry11 + "4009" + "50005800"
            + "01" + "0000000000000002" + "0000000000000009" + Entry12 + "0000000000000008" + Entry13 + "000000000000000A"
            + "01" + "0000000000000000" + "000000000000000D"
            + "02" + "0000000000000012" + "080310021801200528" + "05300C" + "400D" + "50005800",
            Convert.ToHexString(target.WrittenSpan));
    }

    [Fact]
    public void The_message_stream_is_byte_for_byte_what_the_format_says()
    {
        var target = new ArrayBufferWriter<byte>();
        var encoder = new MessageStreamEncoder(alwaysSnapshot: true);
        encoder.WriteLinkHeartbeat(target);
        Assert.Equal(
            "000000000000001E" + "0808100018002000280030004000" + "4A0A12080A022800" + "10001800" + "50005800",
            Convert.ToHexString(target.WrittenSpan));
        Assert.Equal(["beat"], PeerSamples.Decode(new MessageStreamDecoder(), target.WrittenSpan.ToArray(), 7));
    }

    [Fact]
    public void Random_conversations_read_back_the_same_however_the_bytes_are_cut()
    {
        for (int seed = 0; seed < 60; seed++)
        {
            var random = new Random(seed);
            bool alwaysSnapshot = seed % 2 == 0;
            var appTarget = new ArrayBufferWriter<byte>();
            var messageTarget = new ArrayBufferWriter<byte>();
            var appEncoder = new MsgAppV2Encoder(alwaysSnapshot);
            var messageEncoder = new MessageStreamEncoder(alwaysSnapshot);
            var apps = new List<string>();
            var messages = new List<string>();
            ulong term = 1;
            ulong index = 0;
            for (int i = 0; i < 40; i++)
            {
                if (random.Next(10) == 0)
                {
                    appEncoder.WriteLinkHeartbeat(appTarget);
                    messageEncoder.WriteLinkHeartbeat(messageTarget);
                    apps.Add("beat");
                    messages.Add("beat");
                }

                if (random.Next(8) == 0)
                {
                    term++;
                }

                if (random.Next(8) == 0)
                {
                    index = (ulong)random.Next(0, (int)index + 1);
                }

                Entry[] entries = new Entry[random.Next(4)];
                for (int e = 0; e < entries.Length; e++)
                {
                    entries[e] = PeerSamples.Entry(term, index + (ulong)e + 1, random.Next(200));
                }

                ulong logTerm = index == 0 ? 0 : random.Next(5) == 0 ? term - 1 : term;
                Message app = PeerSamples.App(term, logTerm, index, (ulong)random.Next(100), entries);
                index += (ulong)entries.Length;
                appEncoder.Write(app, appTarget);
                apps.Add(PeerSamples.Describe(app));
                messageEncoder.Write(app, messageTarget);
                messages.Add(PeerSamples.Describe(app));

                var other = new Message
                {
                    Type = random.Next(2) == 0 ? MessageType.AppResp : MessageType.HeartbeatResp,
                    From = 2,
                    To = 1,
                    Term = term,
                    Index = index,
                    Reject = random.Next(2) == 0,
                    RejectHint = (ulong)random.Next(10),
                    Context = MessageContext.FromUInt64((ulong)random.Next()),
                };
                messageEncoder.Write(other, messageTarget);
                messages.Add(PeerSamples.Describe(other));
            }

            foreach (int piece in new[] { 1, 13, 1000, int.MaxValue })
            {
                Assert.Equal(apps, PeerSamples.Decode(new MsgAppV2Decoder(2, 1), appTarget.WrittenSpan.ToArray(), piece));
                Assert.Equal(messages, PeerSamples.Decode(new MessageStreamDecoder(), messageTarget.WrittenSpan.ToArray(), piece));
            }
        }
    }

    [Fact]
    public void Any_changed_byte_is_read_or_refused_but_never_thrown_over()
    {
        var appTarget = new ArrayBufferWriter<byte>();
        var encoder = new MsgAppV2Encoder();
        encoder.Write(PeerSamples.App(5, 5, 10, 9, PeerSamples.Entry(5, 11, 20)), appTarget);
        encoder.Write(PeerSamples.App(5, 5, 11, 9, PeerSamples.Entry(5, 12, 20), PeerSamples.Entry(5, 13, 20)), appTarget);
        encoder.WriteLinkHeartbeat(appTarget);
        var messageTarget = new ArrayBufferWriter<byte>();
        new MessageStreamEncoder().Write(PeerSamples.App(5, 5, 10, 9, PeerSamples.Entry(5, 11, 20)), messageTarget);
        foreach ((byte[] bytes, Func<IPeerDecoder> decoder) in new (byte[], Func<IPeerDecoder>)[]
        {
            (appTarget.WrittenSpan.ToArray(), () => new MsgAppV2Decoder(2, 1)),
            (messageTarget.WrittenSpan.ToArray(), () => new MessageStreamDecoder()),
        })
        {
            for (int at = 0; at < bytes.Length; at++)
            {
                for (int value = 0; value < 256; value++)
                {
                    byte[] changed = (byte[])bytes.Clone();
                    changed[at] = (byte)value;
                    Read(decoder(), changed);
                }
            }

            var random = new Random(3);
            for (int i = 0; i < 20_000; i++)
            {
                byte[] noise = new byte[random.Next(60)];
                random.NextBytes(noise);
                if (noise.Length > 0)
                {
                    noise[0] %= 4;
                }

                Read(decoder(), noise);
            }
        }

        static void Read(IPeerDecoder decoder, ReadOnlyMemory<byte> bytes)
        {
            var entries = new EntryBuffer();
            while (decoder.Read(bytes, null, entries, out _, out _, out int used) == OperationStatus.Done)
            {
                bytes = bytes[used..];
            }
        }
    }

    [Fact]
    public void Lengths_at_the_limit_are_taken_and_beyond_it_refused_before_their_bytes_come()
    {
        const int Limit = 1000;
        byte[] head = new byte[9];
        foreach ((ulong length, OperationStatus expected) in new[]
        {
            (Limit - 9UL, OperationStatus.NeedMoreData),
            (Limit - 8UL, OperationStatus.InvalidData),
            (ulong.MaxValue, OperationStatus.InvalidData),
            (1UL << 63, OperationStatus.InvalidData),
        })
        {
            head[0] = 2;
            BinaryPrimitives.WriteUInt64BigEndian(head.AsSpan(1), length);
            Assert.Equal(
                expected, new MsgAppV2Decoder(2, 1, Limit).Read(head, null, new EntryBuffer(), out _, out _, out _));
            Assert.Equal(
                length == Limit - 8 ? OperationStatus.NeedMoreData : expected,
                new MessageStreamDecoder(Limit).Read(head.AsMemory(1), null, new EntryBuffer(), out _, out _, out _));
        }

        // A count of entries that could not fit.
        head[0] = 1;
        BinaryPrimitives.WriteUInt64BigEndian(head.AsSpan(1), Limit / 8);
        Assert.Equal(
            OperationStatus.InvalidData,
            new MsgAppV2Decoder(2, 1, Limit).Read(head, null, new EntryBuffer(), out _, out _, out _));

        // Entries that add up to too much.
        byte[] entries = new byte[9 + 8 + 600 + 8];
        entries[0] = 1;
        BinaryPrimitives.WriteUInt64BigEndian(entries.AsSpan(1), 2);
        BinaryPrimitives.WriteUInt64BigEndian(entries.AsSpan(9), 600);
        BinaryPrimitives.WriteUInt64BigEndian(entries.AsSpan(9 + 8 + 600), 600);
        Assert.Equal(
            OperationStatus.InvalidData,
            new MsgAppV2Decoder(2, 1, Limit).Read(entries, null, new EntryBuffer(), out _, out _, out _));
    }

    [Fact]
    public void Entries_that_could_not_go_into_the_log_as_they_are_are_refused()
    {
        Entry good = PeerSamples.Entry(5, 11, 2);
        Assert.Equal(OperationStatus.Done, Send(good));
        Assert.Equal(OperationStatus.InvalidData, Send(PeerSamples.Entry(5, 12, 2)));
        Assert.Equal(OperationStatus.InvalidData, Send(PeerSamples.Entry(6, 11, 2)));
        Assert.Equal(OperationStatus.InvalidData, Send(PeerSamples.Entry(0, 11, 2)));

        // The same entry in another encoding: an unknown field, another order, a padded number, joint consensus.
        Assert.Equal(OperationStatus.InvalidData, Send(Raw("08001005180B22020B0B2800")));
        Assert.Equal(OperationStatus.InvalidData, Send(Raw("10050800180B22020B0B")));
        Assert.Equal(OperationStatus.InvalidData, Send(Raw("0800108500180B22020B0B")));
        Assert.Equal(OperationStatus.InvalidData, Send(Raw("08021005180B22020B0B")));
        Assert.Equal(OperationStatus.InvalidData, Send(Raw("08011005180B")));

        static Entry Raw(string hex)
        {
            EntryCodec.TryRead(Convert.FromHexString(hex), null, out Entry entry);
            return entry;
        }

        static OperationStatus Send(Entry entry)
        {
            var target = new ArrayBufferWriter<byte>();
            new MsgAppV2Encoder().Write(PeerSamples.App(5, 5, 10, 9, entry), target);
            return new MsgAppV2Decoder(2, 1).Read(
                target.WrittenMemory, null, new EntryBuffer(), out _, out _, out _);
        }
    }

    [Fact]
    public async Task A_stream_reader_gives_every_message_and_keeps_retained_bytes()
    {
        var target = new ArrayBufferWriter<byte>();
        var encoder = new MsgAppV2Encoder();
        var random = new Random(5);
        var expected = new List<string>();
        ulong index = 0;
        for (int i = 0; i < 300; i++)
        {
            Message app = PeerSamples.App(
                1, index == 0 ? 0UL : 1, index, index, PeerSamples.Entry(1, ++index, i % 50 == 7 ? 700_000 : random.Next(9000)));
            encoder.Write(app, target);
            encoder.WriteLinkHeartbeat(target);
            expected.Add(PeerSamples.Describe(app));
        }

        using var reader = new PeerStreamReader(
            new DribbleStream(target.WrittenSpan.ToArray(), random), new MsgAppV2Decoder(2, 1), new EntryBuffer());
        var kept = new List<(Entry Entry, IEntryLease Lease, string Bytes)>();
        int count = 0;
        while (await reader.ReadAsync(CancellationToken.None))
        {
            Assert.Equal(expected[count], PeerSamples.Describe(reader.Message));
            if (count % 17 == 0)
            {
                reader.Lease!.Retain();
                Entry entry = reader.Message.Entries.Span[0];
                kept.Add((entry, reader.Lease, Convert.ToHexString(entry.Encoded.Span)));
            }

            count++;
        }

        Assert.Equal(expected.Count, count);
        reader.Dispose();
        foreach ((Entry entry, IEntryLease lease, string bytes) in kept)
        {
            Assert.Equal(bytes, Convert.ToHexString(entry.Encoded.Span));
            lease.Release();
        }
    }

    [Fact]
    public async Task A_stream_that_ends_within_a_frame_or_lies_is_an_error()
    {
        var target = new ArrayBufferWriter<byte>();
        new MsgAppV2Encoder().Write(PeerSamples.App(1, 0, 0, 0, PeerSamples.Entry(1, 1, 50)), target);
        byte[] bytes = target.WrittenSpan.ToArray();
        for (int cut = 1; cut < bytes.Length; cut++)
        {
            using var half = new PeerStreamReader(
                new MemoryStream(bytes[..cut]), new MsgAppV2Decoder(2, 1), new EntryBuffer());
            await Assert.ThrowsAsync<EndOfStreamException>(async () => await half.ReadAsync(CancellationToken.None));
        }

        using var lie = new PeerStreamReader(
            new MemoryStream([9, 9, 9]), new MsgAppV2Decoder(2, 1), new EntryBuffer());
        await Assert.ThrowsAsync<InvalidDataException>(async () => await lie.ReadAsync(CancellationToken.None));
    }

    [Fact]
    public async Task A_snapshot_post_reads_back_message_and_database()
    {
        byte[] database = new byte[700_001];
        new Random(1).NextBytes(database);
        var message = new Message
        {
            Type = MessageType.Snap,
            To = 2,
            From = 1,
            Term = 3,
            Snapshot = new Snapshot(
                new SnapshotMetadata(1234, 3, new ConfState([1, 2], [3])), "{\"Root\":null}"u8.ToArray()),
        };
        var body = new MemoryStream();
        long sent = await SnapshotPost.WriteAsync(
            message,
            (buffer, offset) =>
            {
                int count = (int)Math.Min(buffer.Length, database.Length - offset);
                database.AsSpan((int)offset, count).CopyTo(buffer.Span);
                return count;
            },
            body,
            true,
            CancellationToken.None);
        Assert.Equal(database.Length, sent);

        body.Position = 0;
        Message read = await SnapshotPost.ReadMessageAsync(body, CancellationToken.None);
        Assert.Equal(1234UL, read.Snapshot!.Metadata.Index);
        Assert.Equal("{\"Root\":null}"u8.ToArray(), read.Snapshot.Data.ToArray());
        Assert.Equal(database, body.ToArray()[(int)body.Position..]);

        byte[] whole = body.ToArray();
        int messageBytes = whole.Length - database.Length;
        for (int cut = 0; cut < messageBytes; cut++)
        {
            await Assert.ThrowsAsync<EndOfStreamException>(
                () => SnapshotPost.ReadMessageAsync(new MemoryStream(whole[..cut]), CancellationToken.None));
        }

        await Assert.ThrowsAsync<InvalidDataException>(
            () => SnapshotPost.ReadMessageAsync(new MemoryStream(whole), CancellationToken.None, messageBytes - 9));
        var other = new ArrayBufferWriter<byte>();
        new MessageStreamEncoder().Write(PeerSamples.App(1, 0, 0, 0), other);
        await Assert.ThrowsAsync<InvalidDataException>(
            () => SnapshotPost.ReadMessageAsync(new MemoryStream(other.WrittenSpan.ToArray()), CancellationToken.None));
    }

    [Fact]
    public void After_warming_up_the_stream_codecs_allocate_nothing()
    {
        var target = new ArrayBufferWriter<byte>(1 << 16);
        var encoder = new MsgAppV2Encoder();
        var decoder = new MsgAppV2Decoder(2, 1);
        var entries = new EntryBuffer();
        Entry[][] samples = Enumerable.Range(0, 2000).Select(i => new[] { PeerSamples.Entry(1, (ulong)i + 1, 100) }).ToArray();
        Run(0, 1000);
        long before = GC.GetAllocatedBytesForCurrentThread();
        Run(1000, 2000);
        Assert.Equal(before, GC.GetAllocatedBytesForCurrentThread());

        void Run(int from, int to)
        {
            for (int i = from; i < to; i++)
            {
                var app = new Message
                {
                    Type = MessageType.App,
                    From = 1,
                    To = 2,
                    Term = 1,
                    LogTerm = i == 0 ? 0UL : 1,
                    Index = (ulong)i,
                    Entries = samples[i],
                };
                target.ResetWrittenCount();
                encoder.Write(app, target);
                entries.Clear();
                OperationStatus status = decoder.Read(target.WrittenMemory, null, entries, out _, out _, out int bytes);
                if (status != OperationStatus.Done || bytes != target.WrittenCount)
                {
                    throw new InvalidOperationException("a frame did not read back");
                }
            }
        }
    }

    /// <summary>Gives a few bytes at a time.</summary>
    private sealed class DribbleStream(byte[] bytes, Random random) : MemoryStream(bytes)
    {
        public override ValueTask<int> ReadAsync(Memory<byte> buffer, CancellationToken cancellationToken = default)
        {
            return base.ReadAsync(buffer[..Math.Min(buffer.Length, random.Next(1, 20_000))], cancellationToken);
        }
    }
}
