namespace Perf.Node.Config;

/// <summary>A configuration that cannot be started; the text is for the operator, worded as etcd words it.</summary>
public sealed class ConfigException(string message) : Exception(message);
