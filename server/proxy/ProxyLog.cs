namespace Perf.Proxy;

/// <summary>Where a proxy says what it does; the process that runs it has the log.</summary>
public delegate void ProxyLog(bool isWarning, string message, params (string Key, object? Value)[] fields);
