namespace Perf.Store.Commands;

/// <summary>Compare.CompareResult.</summary>
public enum CompareResult
{
    Equal = 0,
    Greater = 1,
    Less = 2,
    NotEqual = 3,
}

/// <summary>Compare.CompareTarget.</summary>
public enum CompareTarget
{
    Version = 0,
    Create = 1,
    Mod = 2,
    Value = 3,
    Lease = 4,
}

/// <summary>etcdserverpb.Compare read in place.</summary>
public readonly ref struct CompareView
{
    private const int VersionField = 4;
    private const int CreateField = 5;
    private const int ModField = 6;
    private const int ValueField = 7;
    private const int LeaseField = 8;

    private readonly int _unionField;
    private readonly long _number;
    private readonly ReadOnlySpan<byte> _value;

    private CompareView(int unionField, long number, ReadOnlySpan<byte> value)
    {
        _unionField = unionField;
        _number = number;
        _value = value;
    }

    public CompareResult Result { get; private init; }

    public CompareTarget Target { get; private init; }

    public ReadOnlySpan<byte> Key { get; private init; }

    public ReadOnlySpan<byte> RangeEnd { get; private init; }

    /// <summary>The value to compare with; empty when the union holds something else (TXN-03).</summary>
    public ReadOnlySpan<byte> Value => _unionField == ValueField ? _value : default;

    /// <summary>The number to compare with; zero when the union holds something else than the target.</summary>
    public long Number => _unionField == UnionFieldOf(Target) ? _number : 0;

    /// <summary>False when the bytes are not the message.</summary>
    public static bool TryParse(ReadOnlySpan<byte> bytes, out CompareView view)
    {
        int result = 0;
        int target = 0;
        ReadOnlySpan<byte> key = default;
        ReadOnlySpan<byte> end = default;
        ReadOnlySpan<byte> value = default;
        int unionField = 0;
        long number = 0;
        var reader = new ProtoReader(bytes);
        while (reader.Next())
        {
            switch (reader.Field)
            {
                case 1:
                    result = reader.Int32;
                    break;
                case 2:
                    target = reader.Int32;
                    break;
                case 3:
                    key = reader.Bytes;
                    break;
                case VersionField:
                case CreateField:
                case ModField:
                case LeaseField:
                    unionField = reader.Field;
                    number = reader.Int64;
                    break;
                case ValueField:
                    unionField = ValueField;
                    number = 0;
                    value = reader.Bytes;
                    break;
                case 64:
                    end = reader.Bytes;
                    break;
            }
        }
        view = new CompareView(unionField, number, value)
        {
            Result = (CompareResult)result,
            Target = (CompareTarget)target,
            Key = key,
            RangeEnd = end,
        };
        return !reader.Failed;
    }

    private static int UnionFieldOf(CompareTarget target) => target switch
    {
        CompareTarget.Version => VersionField,
        CompareTarget.Create => CreateField,
        CompareTarget.Mod => ModField,
        CompareTarget.Value => ValueField,
        CompareTarget.Lease => LeaseField,
        _ => -1,
    };
}

/// <summary>Which member of RequestOp's union is set.</summary>
public enum RequestOpKind
{
    None = 0,
    Range = 1,
    Put = 2,
    DeleteRange = 3,
    Txn = 4,
}

/// <summary>etcdserverpb.RequestOp read in place.</summary>
public readonly ref struct RequestOpView
{
    private RequestOpView(RequestOpKind kind, ReadOnlySpan<byte> body)
    {
        Kind = kind;
        Body = body;
    }

    public RequestOpKind Kind { get; }

    /// <summary>Bytes of the request inside.</summary>
    public ReadOnlySpan<byte> Body { get; }

    /// <summary>False when the bytes are not the message.</summary>
    public static bool TryParse(ReadOnlySpan<byte> bytes, out RequestOpView view)
    {
        var kind = RequestOpKind.None;
        ReadOnlySpan<byte> body = default;
        var reader = new ProtoReader(bytes);
        while (reader.Next())
        {
            if (reader.Field is >= (int)RequestOpKind.Range and <= (int)RequestOpKind.Txn)
            {
                kind = (RequestOpKind)reader.Field;
                body = reader.Bytes;
            }
        }
        view = new RequestOpView(kind, body);
        return !reader.Failed;
    }
}

/// <summary>
/// etcdserverpb.TxnRequest read in place. <see cref="TryParse"/> checks this level only: the parts are parsed one by
/// one as they are enumerated, and <see cref="RequestValidator"/> has walked all of them at the door.
/// </summary>
public readonly ref struct TxnView
{
    private const int CompareField = 1;
    private const int SuccessField = 2;
    private const int FailureField = 3;

    private readonly ReadOnlySpan<byte> _bytes;

    private TxnView(ReadOnlySpan<byte> bytes, int compares, int successes, int failures)
    {
        _bytes = bytes;
        CompareCount = compares;
        SuccessCount = successes;
        FailureCount = failures;
    }

    public int CompareCount { get; }

    public int SuccessCount { get; }

    public int FailureCount { get; }

    /// <summary>Bytes of each Compare, in order.</summary>
    public TxnPartEnumerator Compares => new(_bytes, CompareField);

    /// <summary>Bytes of each RequestOp of the branch, in order.</summary>
    public TxnPartEnumerator Branch(bool success) => new(_bytes, success ? SuccessField : FailureField);

    /// <summary>False when the bytes are not the message.</summary>
    public static bool TryParse(ReadOnlySpan<byte> bytes, out TxnView view)
    {
        int compares = 0;
        int successes = 0;
        int failures = 0;
        bool sound = true;
        var reader = new ProtoReader(bytes);
        while (reader.Next())
        {
            switch (reader.Field)
            {
                case CompareField:
                    compares++;
                    sound &= reader.IsBytes;
                    break;
                case SuccessField:
                    successes++;
                    sound &= reader.IsBytes;
                    break;
                case FailureField:
                    failures++;
                    sound &= reader.IsBytes;
                    break;
            }
        }
        view = new TxnView(bytes, compares, successes, failures);
        return sound && !reader.Failed;
    }
}

/// <summary>Bytes of one kind of part of a txn, in order. Use with foreach.</summary>
public ref struct TxnPartEnumerator
{
    private readonly int _field;
    private ProtoReader _reader;

    internal TxnPartEnumerator(ReadOnlySpan<byte> txn, int field)
    {
        _reader = new ProtoReader(txn);
        _field = field;
        Current = default;
    }

    public ReadOnlySpan<byte> Current { get; private set; }

    public readonly TxnPartEnumerator GetEnumerator() => this;

    public bool MoveNext()
    {
        while (_reader.Next())
        {
            if (_reader.Field == _field)
            {
                Current = _reader.Bytes;
                return true;
            }
        }
        return false;
    }
}
