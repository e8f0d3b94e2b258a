using Perf.Store.Commands;

namespace Perf.Store.Watch;

// An event, encoded once as the field of WatchResponse that it will be for everybody:
//
//   5A <length>                field 11, events
//      [08 01]                 Event.type, only for DELETE
//      12 <length> KeyValue    Event.kv
//     [1A <length> KeyValue]   Event.prev_kv, second variant

/// <summary>The bytes of one event.</summary>
internal static class EventCodec
{
    private const int EventsField = 11;
    private const int TypeField = 1;
    private const int KvField = 2;
    private const int PrevKvField = 3;
    private const int DeleteType = 1;
    private const int ModRevisionField = 3;

    /// <summary>Bytes between the start of a KeyValue and its key.</summary>
    public static int KeyAt(int keyBytes) => ProtoSize.Message(1, keyBytes) - keyBytes;

    /// <summary>Bytes of the event inside its field.</summary>
    public static int BodyBytes(bool isDelete, int keyValueBytes) =>
        (isDelete ? 2 : 0) + ProtoSize.Message(KvField, keyValueBytes);

    /// <summary>Bytes of the whole field.</summary>
    public static int FieldBytes(int bodyBytes) => ProtoSize.Message(EventsField, bodyBytes);

    /// <summary>Bytes of a delete's KeyValue: what is stored, and the revision.</summary>
    public static int DeletedKeyValueBytes(int storedBytes, long revision) =>
        storedBytes + ProtoSize.Int64(ModRevisionField, revision);

    /// <summary>Bytes of the body when prev_kv is added.</summary>
    public static int BodyBytesWithPrevious(int bodyBytes, int previousBytes) =>
        bodyBytes + ProtoSize.Message(PrevKvField, previousBytes);

    public static void Write(Span<byte> target, bool isDelete, ReadOnlySpan<byte> keyValue)
    {
        var writer = new ProtoWriter(target);
        writer.MessageHead(EventsField, BodyBytes(isDelete, keyValue.Length));
        writer.UInt64(TypeField, isDelete ? DeleteType : 0UL);
        writer.Message(KvField, keyValue);
    }

    /// <summary>Writes a delete from its stored record, which lacks the revision.</summary>
    public static void WriteDelete(Span<byte> target, ReadOnlySpan<byte> stored, long revision)
    {
        int keyValueBytes = DeletedKeyValueBytes(stored.Length, revision);
        var writer = new ProtoWriter(target);
        writer.MessageHead(EventsField, BodyBytes(isDelete: true, keyValueBytes));
        writer.UInt64(TypeField, DeleteType);
        writer.MessageHead(KvField, keyValueBytes);
        writer.Raw(stored);
        writer.Int64(ModRevisionField, revision);
    }

    /// <summary>Writes the second variant from the body of the first.</summary>
    public static void WriteWithPrevious(Span<byte> target, ReadOnlySpan<byte> body, ReadOnlySpan<byte> previous)
    {
        var writer = new ProtoWriter(target);
        writer.MessageHead(EventsField, BodyBytesWithPrevious(body.Length, previous.Length));
        writer.Raw(body);
        writer.Message(PrevKvField, previous);
    }
}
