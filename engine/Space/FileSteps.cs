namespace Perf.Engine.Space;

/// <summary>Lengths a data file takes, as bbolt's: doubling from 32 KiB to 16 MiB, then multiples of 16 MiB.</summary>
internal static class FileSteps
{
    private const long Least = 32 << 10;
    private const long Step = 16 << 20;

    public static long Round(long bytes)
    {
        if (bytes > Step)
        {
            return (bytes + Step - 1) / Step * Step;
        }

        long length = Least;
        while (length < bytes)
        {
            length *= 2;
        }

        return length;
    }
}
