using System.Globalization;
using Perf.Fuzz;

// smoke  --seconds N [--seed S] [target ...]   every target in turn; exit 1 with the input when one fails
// canary --seconds N                           the same with a bug planted in each: exit 1 when each was found, as it must be
// replay target file                           one input again
string mode = args.Length > 0 ? args[0] : "";
int seconds = int.Parse(Option("--seconds") ?? "10", CultureInfo.InvariantCulture);
int seed = int.Parse(Option("--seed") ?? "1", CultureInfo.InvariantCulture);
var named = new HashSet<string>(args.Skip(1));
List<FuzzTarget> all = [.. AllTargets.New()];
List<FuzzTarget> chosen = all.FindAll(t => named.Contains(t.Name));
chosen = chosen.Count == 0 ? all : chosen;
switch (mode)
{
    case "smoke":
        return Campaign.Smoke(chosen, TimeSpan.FromSeconds(seconds), seed, Console.Out) ? 0 : 1;
    case "canary":
        return Campaign.Canary(chosen, TimeSpan.FromSeconds(seconds), seed, Console.Out) ? 1 : 0;
    case "replay" when args.Length == 3:
        all.Single(t => t.Name == args[1]).Run(File.ReadAllBytes(args[2]));
        Console.WriteLine("held");
        return 0;
    default:
        Console.Error.WriteLine("smoke|canary [--seconds N] [--seed S] [target ...]  |  replay target file");
        return 2;
}

string? Option(string name)
{
    int at = Array.IndexOf(args, name);
    return at >= 0 && at + 1 < args.Length ? args[at + 1] : null;
}
