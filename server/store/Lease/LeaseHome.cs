namespace Perf.Store.Lease;

/// <summary>Sees one record of the lease bucket.</summary>
public delegate void LeaseRecordVisitor(ReadOnlySpan<byte> record);

/// <summary>Where lease records are kept: bucket <c>lease</c>, in the same commit as everything else (FORMATS A.3).</summary>
public interface ILeaseRecords
{
    /// <summary>Stores or replaces the record of a lease. Apply thread.</summary>
    void Put(long id, ReadOnlySpan<byte> record);

    /// <summary>Removes the record of a lease. Apply thread.</summary>
    void Delete(long id);

    /// <summary>Shows every record, in the order of the bucket.</summary>
    void ForEach(LeaseRecordVisitor visitor);
}

/// <summary>What revocation asks of the key-value store.</summary>
public interface ILeasedKeys
{
    /// <summary>
    /// Deletes the keys, in the order given, in one transaction: one revision when at least one exists, none
    /// otherwise. Apply thread.
    /// </summary>
    void DeleteKeys(ReadOnlySpan<byte[]> keys);
}
