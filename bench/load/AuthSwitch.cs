using System.Net.Http.Json;
using System.Text;
using System.Text.Json;

namespace Perf.Bench.Load;

/// <summary>Turns the auth of a server on and off; users root and bench, the latter with a role of a hundred ranges.</summary>
internal sealed class AuthSwitch(BenchServer server)
{
    private string? _root;
    private string? _bench;

    public async Task SetUpAsync()
    {
        await MustAsync("/v3/auth/user/add", new { name = "root", password = "pw" });
        await MustAsync("/v3/auth/user/grant", new { user = "root", role = "root" });
        await MustAsync("/v3/auth/user/add", new { name = "bench", password = "pw" });
        await MustAsync("/v3/auth/role/add", new { name = "bench" });
        for (int i = 0; i < 100; i++)
        {
            await GrantAsync($"range/{i:d3}/", $"range/{i:d3}0");
        }

        await GrantAsync("foo", "fop");
        await MustAsync("/v3/auth/user/grant", new { user = "bench", role = "bench" });
    }

    /// <summary>Auth is on; comes in as bench.</summary>
    public async Task<Door> OnAsync()
    {
        if (_root is null)
        {
            await MustAsync("/v3/auth/enable", new { });
            _root = await TokenAsync("root");
            _bench = await TokenAsync("bench");
        }

        return new Door(_bench);
    }

    /// <summary>Auth is off; comes in as nobody. The tokens are gone with it.</summary>
    public async Task<Door> OffAsync()
    {
        if (_root is not null)
        {
            await MustAsync("/v3/auth/disable", new { });
            _root = null;
        }

        return new Door();
    }

    private Task GrantAsync(string from, string to) => MustAsync("/v3/auth/role/grant", new
    {
        name = "bench",
        perm = new { permType = "READWRITE", key = Base64(from), range_end = Base64(to) },
    });

    private async Task<string> TokenAsync(string name) =>
        (await MustAsync("/v3/auth/authenticate", new { name, password = "pw" })).GetProperty("token").GetString()!;

    private async Task<JsonElement> MustAsync(string path, object body)
    {
        using var http = new HttpClient { BaseAddress = new Uri($"http://127.0.0.1:{server.Port}") };
        if (_root is not null)
        {
            http.DefaultRequestHeaders.TryAddWithoutValidation("Authorization", _root);
        }

        using HttpResponseMessage response = await http.PostAsJsonAsync(path, body);
        response.EnsureSuccessStatusCode();
        return await response.Content.ReadFromJsonAsync<JsonElement>();
    }

    private static string Base64(string text) => Convert.ToBase64String(Encoding.UTF8.GetBytes(text));
}
