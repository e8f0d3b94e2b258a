namespace Perf.Store.Commands;

/// <summary>mvccpb.KeyValue read in place. Good as long as the bytes it was made from.</summary>
public readonly ref struct KeyValueView
{
    private KeyValueView(
        ReadOnlySpan<byte> key, long create, long mod, long version, ReadOnlySpan<byte> value, long lease)
    {
        Key = key;
        CreateRevision = create;
        ModRevision = mod;
        Version = version;
        Value = value;
        Lease = lease;
    }

    public ReadOnlySpan<byte> Key { get; }

    public long CreateRevision { get; }

    public long ModRevision { get; }

    public long Version { get; }

    public ReadOnlySpan<byte> Value { get; }

    public long Lease { get; }

    /// <summary>False when the bytes are not a KeyValue.</summary>
    public static bool TryParse(ReadOnlySpan<byte> bytes, out KeyValueView view)
    {
        ReadOnlySpan<byte> key = default;
        ReadOnlySpan<byte> value = default;
        long create = 0;
        long mod = 0;
        long version = 0;
        long lease = 0;
        var reader = new ProtoReader(bytes);
        while (reader.Next())
        {
            switch (reader.Field)
            {
                case KeyValueCodec.KeyField:
                    key = reader.Bytes;
                    break;
                case KeyValueCodec.CreateField:
                    create = reader.Int64;
                    break;
                case KeyValueCodec.ModField:
                    mod = reader.Int64;
                    break;
                case KeyValueCodec.VersionField:
                    version = reader.Int64;
                    break;
                case KeyValueCodec.ValueField:
                    value = reader.Bytes;
                    break;
                case KeyValueCodec.LeaseField:
                    lease = reader.Int64;
                    break;
            }
        }
        view = new KeyValueView(key, create, mod, version, value, lease);
        return !reader.Failed;
    }
}

/// <summary>
/// The one canonical form of mvccpb.KeyValue: ascending fields, zero and empty left out, minimal varints. These are
/// the bytes on disk, in answers and in watch events, and HashKV covers them (FORMATS A.4).
/// </summary>
public static class KeyValueCodec
{
    internal const int KeyField = 1;
    internal const int CreateField = 2;
    internal const int ModField = 3;
    internal const int VersionField = 4;
    internal const int ValueField = 5;
    internal const int LeaseField = 6;

    /// <summary>Bytes that <see cref="Write"/> needs.</summary>
    public static int Bytes(int keyBytes, long create, long mod, long version, int valueBytes, long lease) =>
        ProtoSize.Bytes(KeyField, keyBytes)
        + ProtoSize.Int64(CreateField, create)
        + ProtoSize.Int64(ModField, mod)
        + ProtoSize.Int64(VersionField, version)
        + ProtoSize.Bytes(ValueField, valueBytes)
        + ProtoSize.Int64(LeaseField, lease);

    /// <summary>Writes the message; returns its bytes.</summary>
    public static int Write(
        Span<byte> target,
        ReadOnlySpan<byte> key,
        long create,
        long mod,
        long version,
        ReadOnlySpan<byte> value,
        long lease)
    {
        var writer = new ProtoWriter(target);
        writer.Bytes(KeyField, key);
        writer.Int64(CreateField, create);
        writer.Int64(ModField, mod);
        writer.Int64(VersionField, version);
        writer.Bytes(ValueField, value);
        writer.Int64(LeaseField, lease);
        return writer.Position;
    }
}
