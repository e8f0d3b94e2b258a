using System.Buffers;
using Perf.Store.Apply;
using Perf.Store.Backend;
using Perf.Store.Commands;

namespace Perf.Store.Maintenance;

/// <summary>Kinds of alarms; the numbers are etcd's.</summary>
public enum AlarmKind
{
    /// <summary>In a request: all kinds.</summary>
    None = 0,
    NoSpace = 1,
    Corrupt = 2,
}

/// <summary>What an AlarmRequest asks for.</summary>
public enum AlarmAction
{
    Get = 0,
    Activate = 1,
    Deactivate = 2,
}

/// <summary>An alarm raised for a member.</summary>
public readonly record struct AlarmMember(ulong MemberId, AlarmKind Kind)
{
    private const int MemberIdField = 1;
    private const int KindField = 2;

    /// <summary>The record's key in bucket alarm; its value is empty.</summary>
    internal byte[] Encode()
    {
        byte[] target = new byte[16];
        var writer = new ProtoWriter(target);
        writer.UInt64(MemberIdField, MemberId);
        writer.Int64(KindField, (long)Kind);
        return target[..writer.Position];
    }

    internal static bool TryDecode(ReadOnlySpan<byte> source, out AlarmMember member)
    {
        ulong id = 0;
        int kind = 0;
        var reader = new ProtoReader(source);
        while (reader.Next())
        {
            switch (reader.Field)
            {
                case MemberIdField:
                    id = reader.UInt64;
                    break;
                case KindField:
                    kind = reader.Int32;
                    break;
            }
        }

        member = new AlarmMember(id, (AlarmKind)kind);
        return !reader.Failed;
    }
}

/// <summary>etcdserverpb.AlarmRequest.</summary>
public readonly record struct AlarmRequest(AlarmAction Action, ulong MemberId, AlarmKind Kind)
{
    /// <summary>False when the bytes are not the message.</summary>
    public static bool TryParse(ReadOnlySpan<byte> source, out AlarmRequest request)
    {
        int action = 0;
        ulong id = 0;
        int kind = 0;
        var reader = new ProtoReader(source);
        while (reader.Next())
        {
            switch (reader.Field)
            {
                case 1:
                    action = reader.Int32;
                    break;
                case 2:
                    id = reader.UInt64;
                    break;
                case 3:
                    kind = reader.Int32;
                    break;
            }
        }

        request = new AlarmRequest((AlarmAction)action, id, (AlarmKind)kind);
        return !reader.Failed;
    }

    /// <summary>The request as the body of an entry.</summary>
    public byte[] Encode()
    {
        byte[] target = new byte[24];
        var writer = new ProtoWriter(target);
        writer.Int64(1, (long)Action);
        writer.UInt64(2, MemberId);
        writer.Int64(3, (long)Kind);
        return target[..writer.Position];
    }
}

/// <summary>
/// The alarms of all members, replicated and kept in bucket alarm. Changed by the apply thread, read by any. While
/// one of a kind is raised anywhere, every member refuses what that kind forbids.
/// </summary>
public sealed class AlarmStore
{
    private readonly IStateBuckets _buckets;
    private volatile AlarmMember[] _active = [];

    /// <summary>Call <see cref="Restore"/> before anything else.</summary>
    public AlarmStore(IStateBuckets buckets)
    {
        _buckets = buckets;
    }

    /// <summary>All alarms, by kind, then by member.</summary>
    public IReadOnlyList<AlarmMember> Active => _active;

    /// <summary>Some member is out of space: nothing may grow.</summary>
    public bool IsNoSpace { get; private set; }

    /// <summary>Some member's data is in doubt: nothing may change.</summary>
    public bool IsCorrupt { get; private set; }

    /// <summary>Reads the alarms from their bucket.</summary>
    public void Restore()
    {
        var alarms = new List<AlarmMember>();
        foreach (var (key, _) in _buckets.List(Buckets.Alarm))
        {
            alarms.Add(AlarmMember.TryDecode(key, out var alarm)
                ? alarm
                : throw new InvalidDataException($"bucket alarm: key {Convert.ToHexString(key)} is no alarm"));
        }

        Replace(alarms);
    }

    /// <summary>
    /// Applies a request and writes the AlarmResponse: of a GET all alarms asked for, else the one concerned, if any.
    /// Activating what is active and deactivating what is not are no errors.
    /// </summary>
    public StoreError Apply(in AlarmRequest request, in ResponseHeader header, IBufferWriter<byte>? response, out bool changed)
    {
        changed = false;
        var alarm = new AlarmMember(request.MemberId, request.Kind);
        ReadOnlySpan<AlarmMember> told = [];
        switch (request.Action)
        {
            case AlarmAction.Get:
                var kind = request.Kind;
                told = Array.FindAll(_active, active => kind == AlarmKind.None || active.Kind == kind);
                break;

            case AlarmAction.Activate when request.Kind is AlarmKind.NoSpace or AlarmKind.Corrupt:
                told = new[] { alarm };
                if (!_active.Contains(alarm))
                {
                    changed = true;
                    _buckets.Put(Buckets.Alarm, alarm.Encode(), default);
                    Replace([.. _active, alarm]);
                }

                break;

            case AlarmAction.Activate when request.Kind != AlarmKind.None:
                return StoreError.UnknownRequest;

            case AlarmAction.Deactivate when _active.Contains(alarm):
                told = new[] { alarm };
                changed = true;
                _buckets.Delete(Buckets.Alarm, alarm.Encode());
                Replace(_active.Where(active => active != alarm));
                break;
        }

        if (response is not null)
        {
            Write(header, told, response);
        }

        return StoreError.None;
    }

    /// <summary>Writes an AlarmResponse.</summary>
    public static void Write(in ResponseHeader header, ReadOnlySpan<AlarmMember> alarms, IBufferWriter<byte> response)
    {
        int bytes = header.FieldBytes;
        foreach (var alarm in alarms)
        {
            bytes += ProtoSize.Message(2, alarm.Encode().Length);
        }

        var writer = new ProtoWriter(response.GetSpan(bytes));
        header.WriteField(ref writer);
        foreach (var alarm in alarms)
        {
            writer.Message(2, alarm.Encode());
        }

        response.Advance(writer.Position);
    }

    private void Replace(IEnumerable<AlarmMember> alarms)
    {
        AlarmMember[] active = [.. alarms.OrderBy(alarm => alarm.Kind).ThenBy(alarm => alarm.MemberId)];
        IsNoSpace = active.Any(alarm => alarm.Kind == AlarmKind.NoSpace);
        IsCorrupt = active.Any(alarm => alarm.Kind == AlarmKind.Corrupt);
        _active = active;
    }
}
