using System.Diagnostics;
using Microsoft.AspNetCore.Connections;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Hosting.Server;
using Microsoft.AspNetCore.Server.Kestrel.Core;
using Microsoft.AspNetCore.Server.Kestrel.Transport.Sockets;
using Microsoft.Extensions.Configuration;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Abstractions;

namespace Perf.Grpc;

/// <summary>
/// Kestrel and its socket transport, put together by their own registrations. Made by hand, through their public constructors, they
/// fall back to the shared array pool for every buffer, which misses when one thread rents and another returns: 2.5 KB of garbage a
/// call. With the registrations they share a pool of pinned blocks.
/// </summary>
internal sealed class KestrelParts : IDisposable
{
    private readonly ServiceProvider _services;

    public KestrelParts(
        IConnectionListenerFactory gate, Action<KestrelServerOptions> kestrel, Action<SocketTransportOptions> sockets)
    {
        var services = new ServiceCollection();
        services.AddSingleton<ILoggerFactory>(NullLoggerFactory.Instance);
        services.AddSingleton(typeof(ILogger<>), typeof(NullLogger<>));
        services.AddMetrics();
        services.AddSingleton<DiagnosticSource>(new DiagnosticListener("Perf.Grpc"));
        new Registrations(services).UseKestrelCore();
        services.Configure(kestrel);
        services.Configure(sockets);

        // The last factory is the one Kestrel binds with.
        services.AddSingleton(gate);
        _services = services.BuildServiceProvider();
        Server = _services.GetRequiredService<IServer>();
        Sockets = _services.GetServices<IConnectionListenerFactory>().First(factory => factory is SocketTransportFactory);
    }

    public IServer Server { get; }

    public IConnectionListenerFactory Sockets { get; }

    public void Dispose() => _services.Dispose();

#pragma warning disable ASPDEPR008 // IWebHost is going, but the registrations still extend its builder.
    /// <summary>A host builder of which only the registrations are wanted.</summary>
    private sealed class Registrations(IServiceCollection services) : IWebHostBuilder
    {
        public IWebHost Build() => throw new NotSupportedException();

        public IWebHostBuilder ConfigureAppConfiguration(Action<WebHostBuilderContext, IConfigurationBuilder> configureDelegate) =>
            this;

        public IWebHostBuilder ConfigureServices(Action<IServiceCollection> configureServices)
        {
            configureServices(services);
            return this;
        }

        public IWebHostBuilder ConfigureServices(Action<WebHostBuilderContext, IServiceCollection> configureServices)
        {
            configureServices(new WebHostBuilderContext(), services);
            return this;
        }

        public string? GetSetting(string key) => null;

        public IWebHostBuilder UseSetting(string key, string? value) => this;
    }
#pragma warning restore ASPDEPR008
}
