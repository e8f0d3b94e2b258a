using Perf.Store.Commands;

namespace Perf.Store.Auth;

/// <summary>
/// The requests of the auth service read in place. They have so little in common that they are all the same: up to
/// four fields, each a name, a key or a message.
/// </summary>
internal readonly ref struct AuthFields
{
    public ReadOnlySpan<byte> First { get; private init; }

    public ReadOnlySpan<byte> Second { get; private init; }

    public ReadOnlySpan<byte> Third { get; private init; }

    public ReadOnlySpan<byte> Fourth { get; private init; }

    /// <summary>True when field 2 is there at all, empty or not.</summary>
    public bool HasSecond { get; private init; }

    /// <summary>False when the bytes are not such a message.</summary>
    public static bool TryParse(ReadOnlySpan<byte> source, out AuthFields fields)
    {
        ReadOnlySpan<byte> first = default;
        ReadOnlySpan<byte> second = default;
        ReadOnlySpan<byte> third = default;
        ReadOnlySpan<byte> fourth = default;
        bool hasSecond = false;
        var reader = new ProtoReader(source);
        while (reader.Next())
        {
            switch (reader.Field)
            {
                case 1:
                    first = reader.Bytes;
                    break;
                case 2:
                    second = reader.Bytes;
                    hasSecond = true;
                    break;
                case 3:
                    third = reader.Bytes;
                    break;
                case 4:
                    fourth = reader.Bytes;
                    break;
            }
        }

        fields = new AuthFields { First = first, Second = second, Third = third, Fourth = fourth, HasSecond = hasSecond };
        return !reader.Failed;
    }
}
