using Xunit;

// Three at a time: on two processors two would leave one idle, since members wait for disks, clocks and each other.
[assembly: CollectionBehavior(MaxParallelThreads = 3)]
