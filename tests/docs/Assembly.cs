using System.Runtime.Versioning;
using Xunit;

[assembly: SupportedOSPlatform("linux")]

// Each test has servers of its own on the same few ports, and a machine to itself for their sake.
[assembly: CollectionBehavior(DisableTestParallelization = true)]
