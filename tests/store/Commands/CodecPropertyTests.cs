using Etcdserverpb;
using FsCheck;
using FsCheck.Fluent;
using Google.Protobuf;
using Google.Protobuf.Reflection;
using Mvccpb;
using Perf.Store.Commands;
using Perf.Testing;
using Xunit;

namespace Perf.Store.Tests.Commands;

/// <summary>
/// What is read in place and written by hand is what the generated messages read and write, for any message: also for one
/// that comes as two, which protobuf takes for one whose later fields count.
/// </summary>
public sealed class CodecPropertyTests
{
    private const int Cases = 300;

    private delegate bool Reader<T>(ReadOnlySpan<byte> bytes, T expected);

    [Fact]
    public void Puts() => ReadsAs<PutRequest>((bytes, put) => PutView.TryParse(bytes, out PutView view)
        && view.Key.SequenceEqual(put.Key.Span) && view.Value.SequenceEqual(put.Value.Span) && view.Lease == put.Lease
        && view.PrevKv == put.PrevKv && view.IgnoreValue == put.IgnoreValue && view.IgnoreLease == put.IgnoreLease);

    [Fact]
    public void Ranges() => ReadsAs<RangeRequest>((bytes, range) => RangeView.TryParse(bytes, out RangeView view)
        && view.Key.SequenceEqual(range.Key.Span) && view.RangeEnd.SequenceEqual(range.RangeEnd.Span)
        && view.Limit == range.Limit && view.Revision == range.Revision
        && (int)view.SortOrder == (int)range.SortOrder && (int)view.SortTarget == (int)range.SortTarget
        && view.Serializable == range.Serializable && view.KeysOnly == range.KeysOnly && view.CountOnly == range.CountOnly
        && view.MinModRevision == range.MinModRevision && view.MaxModRevision == range.MaxModRevision
        && view.MinCreateRevision == range.MinCreateRevision && view.MaxCreateRevision == range.MaxCreateRevision);

    [Fact]
    public void Deletes() => ReadsAs<DeleteRangeRequest>((bytes, delete) => DeleteRangeView.TryParse(bytes, out DeleteRangeView view)
        && view.Key.SequenceEqual(delete.Key.Span) && view.RangeEnd.SequenceEqual(delete.RangeEnd.Span)
        && view.PrevKv == delete.PrevKv);

    [Fact]
    public void Compactions() => ReadsAs<CompactionRequest>((bytes, compaction) =>
        CompactionView.TryParse(bytes, out CompactionView view)
        && view == new CompactionView(compaction.Revision, compaction.Physical));

    [Fact]
    public void Leases()
    {
        ReadsAs<LeaseGrantRequest>((bytes, grant) =>
            LeaseGrantView.TryParse(bytes, out LeaseGrantView view) && view == new LeaseGrantView(grant.TTL, grant.ID));
        ReadsAs<LeaseRevokeRequest>((bytes, revoke) =>
            LeaseRevokeView.TryParse(bytes, out LeaseRevokeView view) && view == new LeaseRevokeView(revoke.ID));
        ReadsAs<LeaseTimeToLiveRequest>((bytes, ask) =>
            LeaseTimeToLiveView.TryParse(bytes, out LeaseTimeToLiveView view) && view == new LeaseTimeToLiveView(ask.ID, ask.Keys));
    }

    [Fact]
    public void Compares() => ReadsAs<Compare>((bytes, compare) => CompareView.TryParse(bytes, out CompareView view)
        && view.Key.SequenceEqual(compare.Key.Span) && view.RangeEnd.SequenceEqual(compare.RangeEnd.Span)
        && (int)view.Result == (int)compare.Result && (int)view.Target == (int)compare.Target
        && view.Value.SequenceEqual(compare.Value.Span)
        && view.Number == compare.Target switch
        {
            Compare.Types.CompareTarget.Version => compare.Version,
            Compare.Types.CompareTarget.Create => compare.CreateRevision,
            Compare.Types.CompareTarget.Mod => compare.ModRevision,
            Compare.Types.CompareTarget.Lease => compare.Lease,
            _ => 0,
        });

    [Fact]
    public void Txns() => ReadsAs<TxnRequest>(IsSame);

    [Fact]
    public void Key_values_are_read_and_written()
    {
        ReadsAs<KeyValue>((bytes, kv) => KeyValueView.TryParse(bytes, out KeyValueView view)
            && view.Key.SequenceEqual(kv.Key.Span) && view.Value.SequenceEqual(kv.Value.Span)
            && view.CreateRevision == kv.CreateRevision && view.ModRevision == kv.ModRevision
            && view.Version == kv.Version && view.Lease == kv.Lease);
        Properties.Hold(Any<KeyValue>(), Smaller, Cases, kv =>
        {
            byte[] target = new byte[KeyValueCodec.Bytes(
                kv.Key.Length, kv.CreateRevision, kv.ModRevision, kv.Version, kv.Value.Length, kv.Lease)];
            Assert.Equal(target.Length, KeyValueCodec.Write(
                target, kv.Key.Span, kv.CreateRevision, kv.ModRevision, kv.Version, kv.Value.Span, kv.Lease));
            Assert.Equal(kv.ToByteArray(), target);
        });
    }

    [Fact]
    public void What_goes_into_the_log_is_written_as_a_request_of_etcd_and_read_back() => Properties.Hold(
        from header in Any<RequestHeader>()
        from put in Any<PutRequest>()
        select new InternalRaftRequest { Header = header, Put = put },
        Smaller,
        Cases,
        request =>
        {
            RequestHeader header = request.Header ?? new RequestHeader();
            byte[] user = header.Username is { } name ? System.Text.Encoding.UTF8.GetBytes(name) : [];
            byte[] body = (request.Put ?? new PutRequest()).ToByteArray();
            byte[] bytes = new byte[
                InternalRequestCodec.PrefixBytes(header.ID, user, header.AuthRevision, InternalField.Put, body.Length) + body.Length];
            int prefix = InternalRequestCodec.WritePrefix(
                bytes, header.ID, user, header.AuthRevision, InternalField.Put, body.Length);
            Assert.Equal(bytes.Length - body.Length, prefix);
            body.CopyTo(bytes, prefix);

            var expected = new InternalRaftRequest { Header = header, Put = request.Put ?? new PutRequest() };
            Assert.Equal(expected, InternalRaftRequest.Parser.ParseFrom(bytes));
            Assert.True(InternalRequestView.TryParse(expected.ToByteArray(), out InternalRequestView view));
            Assert.Equal((header.ID, header.AuthRevision, InternalField.Put), (view.Id, view.AuthRevision, view.Field));
            Assert.Equal(user, view.Username.ToArray());
            Assert.Equal(body, view.Body.ToArray());
        });

    private static bool IsSame(ReadOnlySpan<byte> bytes, TxnRequest txn)
    {
        if (!TxnView.TryParse(bytes, out TxnView view)
            || (view.CompareCount, view.SuccessCount, view.FailureCount) != (txn.Compare.Count, txn.Success.Count, txn.Failure.Count))
        {
            return false;
        }

        int i = 0;
        foreach (ReadOnlySpan<byte> compare in view.Compares)
        {
            if (!Compare.Parser.ParseFrom(compare).Equals(txn.Compare[i++]))
            {
                return false;
            }
        }

        return IsSame(view.Branch(true), txn.Success) && IsSame(view.Branch(false), txn.Failure);
    }

    private static bool IsSame(TxnPartEnumerator parts, IList<RequestOp> ops)
    {
        int i = 0;
        foreach (ReadOnlySpan<byte> part in parts)
        {
            RequestOp op = ops[i++];
            IMessage? body = op.RequestCase switch
            {
                RequestOp.RequestOneofCase.RequestRange => op.RequestRange,
                RequestOp.RequestOneofCase.RequestPut => op.RequestPut,
                RequestOp.RequestOneofCase.RequestDeleteRange => op.RequestDeleteRange,
                RequestOp.RequestOneofCase.RequestTxn => op.RequestTxn,
                _ => null,
            };
            if (!RequestOpView.TryParse(part, out RequestOpView view) || (int)view.Kind != (int)op.RequestCase
                || !view.Body.SequenceEqual(body?.ToByteArray())
                || (op.RequestCase == RequestOp.RequestOneofCase.RequestTxn && !IsSame(view.Body, op.RequestTxn)))
            {
                return false;
            }
        }

        return true;
    }

    private static void ReadsAs<T>(Reader<T> reader)
        where T : IMessage<T>, new() => Properties.Hold(
        from first in Any<T>()
        from second in Gen.Frequency((2, Gen.Constant(new T())), (1, Any<T>()))
        select new Pair<T>(first, second),
        pair =>
        [
            .. Smaller(pair.First).Select(first => pair with { First = first }),
            .. Smaller(pair.Second).Select(second => pair with { Second = second }),
        ],
        Cases,
        pair =>
        {
            byte[] bytes = [.. pair.First.ToByteArray(), .. pair.Second.ToByteArray()];
            var expected = new T();
            expected.MergeFrom(bytes);
            Assert.True(reader(bytes, expected), $"{Convert.ToHexString(bytes)} is {expected}");
        });

    private static Gen<T> Any<T>()
        where T : IMessage<T>, new() =>
        Gen.Choose(0, int.MaxValue - 1).Select(seed =>
        {
            var message = new T();
            Fill(message, new Random(seed), depth: 0);
            return message;
        });

    private static void Fill(IMessage message, Random random, int depth)
    {
        foreach (FieldDescriptor field in message.Descriptor.Fields.InDeclarationOrder())
        {
            if (random.Next(3) == 0 || (field.FieldType == FieldType.Message && depth > 2))
            {
                continue;
            }

            if (field.IsRepeated)
            {
                var list = (System.Collections.IList)field.Accessor.GetValue(message);
                for (int i = random.Next(3); i > 0; i--)
                {
                    list.Add(Value(field, random, depth));
                }
            }
            else
            {
                field.Accessor.SetValue(message, Value(field, random, depth));
            }
        }
    }

    private static object Value(FieldDescriptor field, Random random, int depth)
    {
        switch (field.FieldType)
        {
            case FieldType.Bool:
                return random.Next(2) == 0;
            case FieldType.Int64:
                return (long)Number(random);
            case FieldType.UInt64:
                return Number(random);
            case FieldType.Int32:
                return (int)Number(random);
            case FieldType.Enum:
                return random.Next(field.EnumType.Values.Count);
            case FieldType.String:
                return new string('u', random.Next(20)) + "\u00e4\u4e16";
            case FieldType.Bytes:
                byte[] bytes = new byte[random.Next(4) == 0 ? random.Next(300) : random.Next(4)];
                random.NextBytes(bytes);
                return ByteString.CopyFrom(bytes);
            case FieldType.Message:
                IMessage inner = field.MessageType.Parser.ParseFrom([]);
                Fill(inner, random, depth + 1);
                return inner;
            default:
                throw new NotSupportedException($"{field.FieldType}");
        }
    }

    private static ulong Number(Random random) => random.Next(4) switch
    {
        0 => (ulong)random.Next(300),
        1 => (1UL << random.Next(64)) - 1,
        2 => 1UL << random.Next(64),
        _ => ulong.MaxValue - (ulong)random.Next(3),
    };

    /// <summary>The message without one of its fields, or with one item of a list less.</summary>
    private static IEnumerable<T> Smaller<T>(T message)
        where T : IMessage<T>
    {
        foreach (FieldDescriptor field in message.Descriptor.Fields.InDeclarationOrder())
        {
            object value = field.Accessor.GetValue(message);
            if (field.IsRepeated)
            {
                for (int i = 0; i < ((System.Collections.IList)value).Count; i++)
                {
                    T less = message.Clone();
                    ((System.Collections.IList)field.Accessor.GetValue(less)).RemoveAt(i);
                    yield return less;
                }
            }
            else if (value is not null && !value.Equals(Nothing(field)))
            {
                T less = message.Clone();
                field.Accessor.Clear(less);
                yield return less;
            }
        }
    }

    private static object? Nothing(FieldDescriptor field) =>
        field.Accessor.GetValue(field.ContainingType.Parser.ParseFrom([]));

    private sealed record Pair<T>(T First, T Second);
}
