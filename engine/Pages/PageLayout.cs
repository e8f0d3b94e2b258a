using System.Buffers.Binary;

namespace Perf.Engine.Pages;

// A page extent: 1 + overflow pages, only the first has a header. Little-endian throughout (FORMATS A.2).
//
//   offset  bytes  field
//        0      8  page id      its own number
//        8      2  flags        1 branch, 2 leaf, 4 meta, 16 freelist
//       10      2  count        elements
//       12      4  overflow     further pages of this extent
//       16  16 x n element table, then keys and values in element order
//
//   leaf element                     branch element
//        0      4  flags (1 bucket)      0      4  pos
//        4      4  pos                   4      4  key bytes
//        8      4  key bytes             8      8  child page id
//       12      4  value bytes
//
// pos counts from the start of the element to its key; a value follows its key.
// The end of an extent we wrote (C.4; bbolt never looks there):
//
//   branch only:  4 x n  the children's checksums (0: child without trailer)
//   last 16    :  8  magic xor page id
//                 4  CRC-32C of everything before, followed by the txid field
//                 4  low half of the txid that wrote the extent
internal static class PageLayout
{
    public const int HeaderBytes = 16;
    public const int IdAt = 0;
    public const int FlagsAt = 8;
    public const int CountAt = 10;
    public const int OverflowAt = 12;
    public const int ElementBytes = 16;

    public const ushort BranchFlag = 0x01;
    public const ushort LeafFlag = 0x02;
    public const ushort MetaFlag = 0x04;
    public const ushort FreelistFlag = 0x10;

    public const uint BucketElement = 1;

    public const int TrailerBytes = 16;
    public const int ChildChecksumBytes = sizeof(uint);
    public const ulong LeafTrailerMagic = 0x3146_4145_4C46_5250; // "PRFLEAF1"
    public const ulong BranchTrailerMagic = 0x3148_4352_4246_5250; // "PRFBRCH1"

    public const int KeyBytesMax = 32768;
    public const int CountMax = 0xFFFE;
    public const int PageBytesMin = 1024;
    public const int PageBytesMax = 65536;

    /// <summary>Metas are pages 0 and 1.</summary>
    public const long FirstDataPage = 2;

    /// <summary>Levels of a tree. With two children a branch this is a million leaves; real trees have five.</summary>
    public const int DepthMax = 20;

    /// <summary>An inline bucket's value, or a bucket header: root page id, sequence.</summary>
    public const int BucketHeaderBytes = 16;

    /// <summary>
    /// The checksum of a bucket's root page, which we put behind the header of a bucket that is not inline. etcd reads
    /// past it, and writes the header alone when it changes the bucket: then there is none, 0.
    /// </summary>
    public static uint RootChecksum(ReadOnlySpan<byte> bucket)
    {
#if MUTANTS
        if (Mutant.Is("28-bucket-root-unchecked"))
        {
            return 0;
        }
#endif
        return bucket.Length == BucketHeaderBytes + ChildChecksumBytes
            ? BinaryPrimitives.ReadUInt32LittleEndian(bucket[BucketHeaderBytes..])
            : 0;
    }
}
