using System.Reflection;

namespace Perf.Bench.StartupProfile;

/// <summary>A method as the JIT writes it: <c>Name.Space.Outer`1+Inner`1[Argument,Argument]:Method[Argument](Parameter)</c>.</summary>
internal sealed class JitName(string text)
{
    private const BindingFlags All = BindingFlags.Public | BindingFlags.NonPublic
        | BindingFlags.Instance | BindingFlags.Static | BindingFlags.DeclaredOnly;

    private static readonly Assembly[] Framework =
    [
        typeof(object).Assembly,
        typeof(System.Collections.Generic.SortedSet<>).Assembly,
        typeof(System.Net.Http.HttpClient).Assembly,
        typeof(System.Net.IPAddress).Assembly,
        typeof(System.Net.Sockets.Socket).Assembly,
        typeof(System.Net.Security.SslStream).Assembly,
        typeof(System.Threading.Channels.Channel).Assembly,
    ];

    private readonly HashSet<string> _assemblies = new(StringComparer.Ordinal);
    private int _at;

    /// <summary>The method, and the assemblies that it and its type arguments come from, its own first.</summary>
    public (MethodInfo Method, string Group) Resolve()
    {
        Type type = ReadType();
        int end = text.IndexOfAny(['[', '('], _at);
        string name = text[(_at + 1)..end];
        _at = end;
        Type[] arguments = text[_at] == '[' ? ReadArguments() : [];
        int parameters = CountParameters(text[(_at + 1)..text.LastIndexOf(')')]);
        MethodInfo method = Array.Find(
            type.GetMethods(All),
            m => m.Name == name
                && m.GetParameters().Length == parameters
                && (m.IsGenericMethod ? m.GetGenericArguments().Length : 0) == arguments.Length)
            ?? throw new FormatException("no such method");
        return (arguments.Length > 0 ? method.MakeGenericMethod(arguments) : method, string.Join(';', _assemblies) + ";");
    }

    private Type ReadType()
    {
        int start = _at;
        for (int angles = 0; _at < text.Length; _at++)
        {
            char c = text[_at];
            angles += c == '<' ? 1 : c == '>' ? -1 : 0;
            if (angles == 0 && c is '[' or ']' or ',' or ':' or '(')
            {
                break;
            }
        }

        string name = text[start.._at];
        Type type = Named(name);
        _assemblies.Add(type.Assembly.GetName().Name!);
        return _at < text.Length && text[_at] == '[' ? type.MakeGenericType(ReadArguments()) : type;
    }

    private Type[] ReadArguments()
    {
        var all = new List<Type>();
        do
        {
            _at++;
            all.Add(ReadType());
        }
        while (text[_at] == ',');

        _at++;
        return all.ToArray();
    }

    private static Type Named(string name) => name switch
    {
        // Code for one reference type serves all.
        "System.__Canon" => typeof(object),
        "bool" => typeof(bool),
        "byte" => typeof(byte),
        "char" => typeof(char),
        "int" => typeof(int),
        "long" => typeof(long),
        "short" => typeof(short),
        "ushort" => typeof(ushort),
        _ => Framework.Select(a => a.GetType(name)).FirstOrDefault(t => t is not null)
            ?? throw new FormatException($"{name} is none of the framework's types"),
    };

    private static int CountParameters(string list)
    {
        int depth = 0;
        int commas = 0;
        foreach (char c in list)
        {
            depth += c == '[' ? 1 : c == ']' ? -1 : 0;
            commas += c == ',' && depth == 0 ? 1 : 0;
        }

        return list.Length == 0 ? 0 : commas + 1;
    }
}
