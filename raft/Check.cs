using System.Diagnostics;
using System.Diagnostics.CodeAnalysis;
using System.Runtime.CompilerServices;

namespace Perf.Raft;

/// <summary>We are wrong: an invariant of the machine does not hold. Never thrown for what a peer sent.</summary>
public sealed class RaftInvariantException(string message) : Exception(message);

/// <summary>The design, written where it must hold. Stays on in Release.</summary>
internal static class Check
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void That(
        [DoesNotReturnIf(false)] bool condition,
        [CallerArgumentExpression(nameof(condition))] string? expression = null)
    {
        if (!condition)
        {
            Fail(expression);
        }
    }

    [DoesNotReturn]
    [StackTraceHidden]
    private static void Fail(string? expression) => throw new RaftInvariantException($"does not hold: {expression}");
}
