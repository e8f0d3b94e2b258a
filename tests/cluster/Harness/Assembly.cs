using System.Runtime.Versioning;
using Xunit;

[assembly: SupportedOSPlatform("linux")]

// One test at a time, with servers of its own on the same few ports; and beside it one of each named collection, whose
// ports are others (SingleMembers and MixedClusterTests here). All wait for much of their time. No limit of threads: with one, xunit gives the
// tests a few threads for everything, and who waits on one would keep others from it.
[assembly: CollectionBehavior(CollectionBehavior.CollectionPerAssembly, MaxParallelThreads = -1)]
