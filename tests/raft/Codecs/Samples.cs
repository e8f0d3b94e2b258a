using FsCheck;
using FsCheck.Fluent;
using Perf.Testing;

namespace Perf.Raft.Tests.Codecs;

/// <summary>Any messages, as plain values that can be printed and made smaller.</summary>
internal static class Samples
{
    private static readonly MessageType[] Types = Enum.GetValues<MessageType>();

    public static Gen<MemberSample> Members { get; } =
        from ids in Gen.Choose(1, 1000).ArrayOf(5)
        from count in Gen.Choose(0, 5)
        from voters in Gen.Choose(0, 5)
        from shift in Gen.Choose(0, 53)
        select new MemberSample([.. ids.Take(count).Distinct().Select(id => (ulong)id << shift)], voters);

    public static Gen<MessageSample> Messages { get; } =
        from type in Gen.Elements(Types)
        from numbers in Properties.Numbers.ArrayOf(7)
        from reject in Gen.Elements(false, true)
        from context in Gen.Choose(0, 255).Select(b => (byte)b).ArrayOf(MessageContext.BytesMax)
        from contextBytes in Gen.Frequency((2, Gen.Constant(0)), (3, Gen.Choose(1, MessageContext.BytesMax)))
        from entries in Entries.ArrayOf()
        from members in Members
        from data in Properties.Bytes
        select new MessageSample(type, numbers, reject, context[..contextBytes], entries, members, data);

    private static Gen<EntrySample> Entries { get; } =
        from type in Gen.Choose(0, 2)
        from numbers in Properties.Numbers.ArrayOf(2)
        from hasData in Gen.Choose(0, 3)
        from data in Properties.Bytes
        select new EntrySample(type, numbers[0], numbers[1], hasData > 0 ? data : null);

    public static IEnumerable<MessageSample> Smaller(MessageSample sample) =>
    [
        .. Properties.Smaller(sample.Entries, Smaller).Select(less => sample with { Entries = less }),
        .. Properties.Smaller(sample.Context).Select(less => sample with { Context = less }),
        .. Properties.Smaller(sample.Data).Select(less => sample with { Data = less }),
        .. SmallerNumbers(sample.Numbers).Select(less => sample with { Numbers = less }),
        .. SmallerMembers(sample.Members).Select(less => sample with { Members = less }),
    ];

    public static IEnumerable<ulong[]> SmallerNumbers(ulong[] numbers)
    {
        for (int i = 0; i < numbers.Length; i++)
        {
            foreach (ulong smaller in Properties.Smaller(numbers[i]))
            {
                ulong[] copy = [.. numbers];
                copy[i] = smaller;
                yield return copy;
            }
        }
    }

    public static IEnumerable<MemberSample> SmallerMembers(MemberSample sample) =>
        Properties.Smaller(sample.Ids).Select(less => sample with { Ids = less });

    private static IEnumerable<EntrySample> Smaller(EntrySample sample) =>
    [
        .. Properties.Smaller(sample.Data ?? []).Select(less => sample with { Data = less }),
        .. Properties.Smaller(sample.Term).Select(less => sample with { Term = less }),
        .. Properties.Smaller(sample.Index).Select(less => sample with { Index = less }),
    ];
}

internal sealed record EntrySample(int Type, ulong Term, ulong Index, byte[]? Data)
{
    public Entry ToEntry() => EntryCodec.Write(
        new byte[(Data?.Length ?? 0) + EntryCodec.HeadroomBytes], (EntryType)Type, Term, Index, Data, Data is not null, null);

    public override string ToString() => $"{Type} {Term}/{Index} {(Data is null ? "none" : Convert.ToHexString(Data))}";
}

internal sealed record MemberSample(ulong[] Ids, int Voters)
{
    public ConfState ToConfState()
    {
        int voters = Math.Min(Voters, Ids.Length);
        return new ConfState(Ids.AsSpan(0, voters), Ids.AsSpan(voters));
    }

    public override string ToString() => $"{Voters} of {string.Join(' ', Ids)}";
}

internal sealed record MessageSample(
    MessageType Type, ulong[] Numbers, bool Reject, byte[] Context, EntrySample[] Entries, MemberSample Members, byte[] Data)
{
    public Message ToMessage()
    {
        var message = new Message
        {
            Type = Type,
            To = Numbers[0],
            From = Numbers[1],
            Term = Numbers[2],
            LogTerm = Numbers[3],
            Index = Numbers[4],
            Commit = Numbers[5],
            RejectHint = Numbers[6],
            Reject = Reject,
        };

        // A read without a context is none.
        byte[] context = Context.Length == 0 && Type is MessageType.ReadIndex or MessageType.ReadIndexResp ? [1] : Context;
        if (context.Length > 0)
        {
            message.Context = MessageContext.From(context);
        }

        if (Type is MessageType.App or MessageType.Prop)
        {
            var entries = new EntryBuffer();
            foreach (EntrySample entry in Entries)
            {
                entries.Add(entry.ToEntry());
            }

            message.Entries = entries.Memory;
        }

        if (Type == MessageType.Snap)
        {
            message.Snapshot = new Snapshot(new SnapshotMetadata(Numbers[0], Numbers[1], Members.ToConfState()), Data);
        }

        return message;
    }

    public override string ToString() =>
        $"{Type} [{string.Join(' ', Numbers)}] reject {Reject} context {Convert.ToHexString(Context)}"
        + $" entries [{string.Join("; ", (object[])Entries)}] members {Members} data {Convert.ToHexString(Data)}";
}
