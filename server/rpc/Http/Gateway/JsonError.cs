namespace Perf.Rpc.Http.Gateway;

/// <summary>A request body that is not what it should be; the text is Go's where clients may know it.</summary>
internal sealed class JsonError(string message) : Exception(message);
