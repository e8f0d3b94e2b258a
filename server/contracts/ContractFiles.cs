using Google.Protobuf;
using Google.Protobuf.Reflection;

namespace Perf.Contracts;

/// <summary>
/// The .proto files of this room as descriptors that only describe. Those inside the generated classes compile an
/// accessor for each field of each message at the first touch: megabytes, and a tenth of a second.
/// </summary>
public static class ContractFiles
{
    /// <summary>Reads the descriptors anew, imports before what imports them.</summary>
    public static IReadOnlyList<FileDescriptor> Load()
    {
        using Stream set = typeof(ContractFiles).Assembly.GetManifestResourceStream("contracts.protoset")!;
        using var input = new CodedInputStream(set);

        // A FileDescriptorSet: files in field 1, and nothing else.
        var files = new List<ByteString>();
        while (input.ReadTag() != 0)
        {
            files.Add(input.ReadBytes());
        }

        return FileDescriptor.BuildFromByteStrings(files);
    }
}
