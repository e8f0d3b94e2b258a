using Google.Protobuf.Reflection;

namespace Perf.Rpc.Reflection;

/// <summary>Which file describes what, imports included.</summary>
internal sealed class DescribedNames
{
    public DescribedNames(IEnumerable<FileDescriptor> files)
    {
        foreach (FileDescriptor file in files)
        {
            Add(file);
        }
    }

    /// <summary>By file name.</summary>
    public Dictionary<string, FileDescriptor> Files { get; } = new(StringComparer.Ordinal);

    /// <summary>By full name: services, methods, messages, fields, enumerations.</summary>
    public Dictionary<string, FileDescriptor> Symbols { get; } = new(StringComparer.Ordinal);

    private void Add(FileDescriptor file)
    {
        if (!Files.TryAdd(file.Name, file))
        {
            return;
        }

        foreach (ServiceDescriptor service in file.Services)
        {
            Symbols[service.FullName] = file;
            foreach (MethodDescriptor method in service.Methods)
            {
                Symbols[method.FullName] = file;
            }
        }

        foreach (EnumDescriptor values in file.EnumTypes)
        {
            Symbols[values.FullName] = file;
        }

        foreach (MessageDescriptor message in file.MessageTypes)
        {
            Add(message, file);
        }

        foreach (FileDescriptor imported in file.Dependencies)
        {
            Add(imported);
        }
    }

    private void Add(MessageDescriptor message, FileDescriptor file)
    {
        Symbols[message.FullName] = file;
        foreach (FieldDescriptor field in message.Fields.InDeclarationOrder())
        {
            Symbols[field.FullName] = file;
        }

        foreach (EnumDescriptor values in message.EnumTypes)
        {
            Symbols[values.FullName] = file;
        }

        foreach (MessageDescriptor inner in message.NestedTypes)
        {
            Add(inner, file);
        }
    }
}
