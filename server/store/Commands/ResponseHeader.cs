namespace Perf.Store.Commands;

/// <summary>etcdserverpb.ResponseHeader: who answers, from which revision and term.</summary>
public readonly record struct ResponseHeader(ulong ClusterId, ulong MemberId, long Revision, ulong RaftTerm)
{
    private const int ClusterIdField = 1;
    private const int MemberIdField = 2;
    private const int RevisionField = 3;
    private const int RaftTermField = 4;

    /// <summary>Bytes of the message, without the head it gets as a field.</summary>
    public int Bytes =>
        ProtoSize.UInt64(ClusterIdField, ClusterId)
        + ProtoSize.UInt64(MemberIdField, MemberId)
        + ProtoSize.Int64(RevisionField, Revision)
        + ProtoSize.UInt64(RaftTermField, RaftTerm);

    /// <summary>Bytes as field 1 of a response; the field is there even when it says nothing.</summary>
    public int FieldBytes => ProtoSize.Message(1, Bytes);

    /// <summary>Writes the header as field 1 of a response.</summary>
    public void WriteField(ref ProtoWriter writer)
    {
        writer.MessageHead(1, Bytes);
        writer.UInt64(ClusterIdField, ClusterId);
        writer.UInt64(MemberIdField, MemberId);
        writer.Int64(RevisionField, Revision);
        writer.UInt64(RaftTermField, RaftTerm);
    }

    /// <inheritdoc cref="WriteField(ref ProtoWriter)"/>
    public void WriteField(ProtoBuffer target)
    {
        int bytes = FieldBytes;
        var writer = new ProtoWriter(target.GetSpan(bytes));
        WriteField(ref writer);
        target.Advance(writer.Position);
    }
}
