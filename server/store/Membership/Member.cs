using System.Globalization;
using System.Text;
using System.Text.Json;
using Perf.Store.V2;

namespace Perf.Store.Membership;

/// <summary>A member of the cluster. Immutable; the lists are not to be changed.</summary>
public sealed record Member
{
    public required ulong Id { get; init; }

    public IReadOnlyList<string> PeerUrls { get; init; } = [];

    public bool IsLearner { get; init; }

    /// <summary>Empty until the member has started for the first time.</summary>
    public string Name { get; init; } = "";

    public IReadOnlyList<string> ClientUrls { get; init; } = [];

    /// <summary>True once the member has told its name.</summary>
    public bool IsStarted => Name.Length > 0;

    /// <inheritdoc/>
    public bool Equals(Member? other) =>
        other is not null
        && Id == other.Id
        && IsLearner == other.IsLearner
        && Name == other.Name
        && PeerUrls.SequenceEqual(other.PeerUrls)
        && ClientUrls.SequenceEqual(other.ClientUrls);

    /// <inheritdoc/>
    public override int GetHashCode() => Id.GetHashCode();

    /// <summary>The record in bucket <c>members</c> and in the context of bootstrap entries.</summary>
    public string ToJson() => ToJson(isPromote: null);

    /// <summary>The context of a conf change made at run time: the member, and whether this promotes it.</summary>
    public string ToConfChangeContext(bool isPromote) => ToJson(isPromote);

    /// <summary>Reads <see cref="ToJson()"/> or a conf change's context. Throws <see cref="InvalidDataException"/>.</summary>
    public static Member Parse(ReadOnlySpan<byte> json, out bool isPromote)
    {
        using var document = GoJson.Parse(json);
        var source = document.RootElement;
        isPromote = GoJson.Bool(source, "isPromote");
        return new Member
        {
            Id = GoJson.UInt64(source, "id"),
            PeerUrls = GoJson.Strings(source, "peerURLs"),
            IsLearner = GoJson.Bool(source, "isLearner"),
            Name = GoJson.String(source, "name"),
            ClientUrls = GoJson.Strings(source, "clientURLs"),
        };
    }

    /// <summary>The v2 value <c>raftAttributes</c>.</summary>
    public string RaftAttributesJson()
    {
        var text = new StringBuilder("{");
        AppendRaftAttributes(text);
        return text.Append('}').ToString();
    }

    /// <summary>The v2 value <c>attributes</c>.</summary>
    public string AttributesJson()
    {
        var text = new StringBuilder("{");
        AppendAttributes(text, first: true);
        return text.Append('}').ToString();
    }

    internal Member WithRaftAttributes(string json)
    {
        using var document = GoJson.Parse(Encoding.UTF8.GetBytes(json));
        return this with
        {
            PeerUrls = GoJson.Strings(document.RootElement, "peerURLs"),
            IsLearner = GoJson.Bool(document.RootElement, "isLearner"),
        };
    }

    internal Member WithAttributes(string json)
    {
        using var document = GoJson.Parse(Encoding.UTF8.GetBytes(json));
        return WithAttributes(document.RootElement);
    }

    private Member WithAttributes(JsonElement source) => this with
    {
        Name = GoJson.String(source, "name"),
        ClientUrls = GoJson.Strings(source, "clientURLs"),
    };

    private string ToJson(bool? isPromote)
    {
        var text = new StringBuilder("{\"id\":").Append(Id.ToString(CultureInfo.InvariantCulture)).Append(',');
        AppendRaftAttributes(text);
        AppendAttributes(text, first: false);
        if (isPromote is not null)
        {
            text.Append(",\"isPromote\":").Append(isPromote.Value ? "true" : "false");
        }

        return text.Append('}').ToString();
    }

    private void AppendRaftAttributes(StringBuilder text)
    {
        text.Append("\"peerURLs\":");
        GoJson.AppendStrings(text, PeerUrls);
        if (IsLearner)
        {
            text.Append(",\"isLearner\":true");
        }
    }

    private void AppendAttributes(StringBuilder text, bool first)
    {
        if (Name.Length > 0)
        {
            text.Append(first ? "" : ",").Append("\"name\":");
            GoJson.AppendString(text, Name);
            first = false;
        }

        if (ClientUrls.Count > 0)
        {
            text.Append(first ? "" : ",").Append("\"clientURLs\":");
            GoJson.AppendStrings(text, ClientUrls);
        }
    }
}
