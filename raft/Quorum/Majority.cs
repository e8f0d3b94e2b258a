namespace Perf.Raft;

/// <summary>How a vote stands.</summary>
internal enum VoteResult
{
    Pending,
    Won,
    Lost,
}

/// <summary>More than half of the voters.</summary>
internal static class Majority
{
    public static int Of(int voters) => (voters / 2) + 1;

    /// <summary>
    /// The highest index that a majority has reached; sorts <paramref name="matches"/>. 0 without voters: nobody
    /// commits anything in an empty configuration.
    /// </summary>
    public static ulong Reached(Span<ulong> matches)
    {
        if (matches.IsEmpty)
        {
            return 0;
        }

        // Insertion sort: a handful of voters, and it does not allocate.
        for (int i = 1; i < matches.Length; i++)
        {
            ulong value = matches[i];
            int j = i - 1;
            while (j >= 0 && matches[j] > value)
            {
                matches[j + 1] = matches[j];
                j--;
            }

            matches[j + 1] = value;
        }

        return matches[matches.Length - Of(matches.Length)];
    }

    public static VoteResult Tally(int voters, int granted, int rejected)
    {
        int needed = Of(voters);
        if (voters > 0 && granted >= needed)
        {
            return VoteResult.Won;
        }

        return voters - rejected < needed ? VoteResult.Lost : VoteResult.Pending;
    }
}
