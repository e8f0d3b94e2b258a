using System.Reflection;
using System.Reflection.Emit;
using System.Text.RegularExpressions;
using Perf.Bench.StartupProfile;

// From the list of what etcdctl compiled while it ran to a profile that has the publisher compile it ahead:
//
//   DOTNET_JitStdOutFile=list.txt DOTNET_JitDisasmSummary=1 etcdctl put key value
//   dotnet run --project bench/startup/profile -- list.txt server/etcdctl/Properties/startup.mibc
//
// Only methods of the framework are taken: the profile is made anew when the framework's version changes, not when ours
// does. A method that is no longer there is passed over by the compiler.
//
// A profile (.mibc) is an assembly whose code is never run. Its global method AssemblyDictionary names groups of
// assemblies, and for each a method that lists what belongs to them: ldtoken METHOD, pop, and so on.
if (args.Length != 2)
{
    Console.Error.WriteLine("usage: profile LIST TARGET");
    return 2;
}

var assembly = new PersistedAssemblyBuilder(new AssemblyName("startup"), typeof(object).Assembly);
ModuleBuilder module = assembly.DefineDynamicModule("startup");
var groups = new SortedDictionary<string, (MethodBuilder Method, ILGenerator Code)>(StringComparer.Ordinal);
int taken = 0;
foreach (string line in File.ReadLines(args[0]))
{
    Match compiled = Compiled().Match(line);
    if (!compiled.Success)
    {
        continue;
    }

    try
    {
        (MethodInfo method, string group) = new JitName(compiled.Groups[1].Value).Resolve();
        if (!groups.TryGetValue(group, out (MethodBuilder Method, ILGenerator Code) listed))
        {
            MethodBuilder builder = Define($"Group{groups.Count}");
            groups[group] = listed = (builder, builder.GetILGenerator());
        }

        listed.Code.Emit(OpCodes.Ldtoken, method);
        listed.Code.Emit(OpCodes.Pop);
        taken++;
    }
    catch (Exception e) when (e is FormatException or ArgumentException)
    {
        Console.Error.WriteLine($"left out: {compiled.Groups[1].Value}: {e.Message}");
    }
}

ILGenerator dictionary = Define("AssemblyDictionary").GetILGenerator();
foreach ((string name, (MethodBuilder method, ILGenerator code)) in groups)
{
    code.Emit(OpCodes.Ret);
    dictionary.Emit(OpCodes.Ldstr, name);
    dictionary.Emit(OpCodes.Ldtoken, method);
    dictionary.Emit(OpCodes.Pop);
}

dictionary.Emit(OpCodes.Ret);
module.CreateGlobalFunctions();
assembly.Save(args[1]);
Console.WriteLine($"{taken} methods");
return 0;

MethodBuilder Define(string name) => module.DefineGlobalMethod(
    name, MethodAttributes.Public | MethodAttributes.Static, typeof(void), Type.EmptyTypes);

internal static partial class Program
{
    [GeneratedRegex(@"^\s*\d+: JIT compiled (.*) \[[^\]]*, IL size")]
    private static partial Regex Compiled();
}
