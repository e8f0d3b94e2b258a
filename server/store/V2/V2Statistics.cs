using System.Globalization;
using System.Text;

namespace Perf.Store.V2;

/// <summary>How often each operation was done on this member and how often it was refused. Guarded by the store's lock.</summary>
internal sealed class V2Statistics
{
    /// <summary>In the order and under the names of the v2 API.</summary>
    private static readonly (V2Action Action, string Name)[] Rows =
    [
        (V2Action.Get, "gets"), (V2Action.Set, "sets"), (V2Action.Delete, "delete"), (V2Action.Update, "update"),
        (V2Action.Create, "create"), (V2Action.CompareAndSwap, "compareAndSwap"),
        (V2Action.CompareAndDelete, "compareAndDelete"),
    ];

    private readonly ulong[] _done = new ulong[(int)V2Action.Expire + 1];
    private readonly ulong[] _refused = new ulong[(int)V2Action.Expire + 1];

    public void Count(V2Action action, bool isRefused) => (isRefused ? _refused : _done)[(int)action]++;

    public string ToJson(int watchers)
    {
        var text = new StringBuilder("{");
        foreach ((V2Action action, string name) in Rows)
        {
            Append(name + "Success", _done[(int)action]);
            Append(name + "Fail", _refused[(int)action]);
        }

        Append("expireCount", _done[(int)V2Action.Expire]);
        Append("watchers", (ulong)watchers);
        text[^1] = '}';
        return text.ToString();

        void Append(string name, ulong value) =>
            text.Append('"').Append(name).Append("\":").Append(value.ToString(CultureInfo.InvariantCulture)).Append(',');
    }
}
