using System.Diagnostics;
using System.Diagnostics.CodeAnalysis;
using System.Runtime.CompilerServices;

namespace Perf.Engine;

/// <summary>The design, written where it must hold. A failed check is our own bug, never somebody's bad input.</summary>
public static class Check
{
    /// <summary>Cheap, and on in every build.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void That(
        [DoesNotReturnIf(false)] bool condition,
        [CallerArgumentExpression(nameof(condition))] string text = "",
        [CallerFilePath] string file = "",
        [CallerLineNumber] int line = 0)
    {
        if (!condition)
        {
            Fail(text, file, line);
        }
    }

    /// <summary>May walk a page or a tree; compiled in for debug builds (tests, fuzzing) only.</summary>
    [Conditional("DEBUG")]
    public static void Deep(
        [DoesNotReturnIf(false)] bool condition,
        [CallerArgumentExpression(nameof(condition))] string text = "",
        [CallerFilePath] string file = "",
        [CallerLineNumber] int line = 0)
    {
        if (!condition)
        {
            Fail(text, file, line);
        }
    }

    [DoesNotReturn]
    [MethodImpl(MethodImplOptions.NoInlining)]
    private static void Fail(string text, string file, int line) =>
        throw new InvariantException($"{Path.GetFileName(file)}:{line}: expected {text}");
}
