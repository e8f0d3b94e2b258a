using Perf.Client;
using Perf.Etcdctl.CommandLine;
using Perf.Etcdctl.Text;

namespace Perf.Etcdctl.Printing;

/// <summary>Tables, for the answers that are lists of members or endpoints.</summary>
internal sealed class TablePrinter : Printer
{
    public TablePrinter(Terminal terminal)
        : base(terminal)
    {
    }

    public override string Name => "table";

    public override bool Supports(Answer answer) =>
        answer is Answer.MemberList or Answer.EndpointHealth or Answer.EndpointStatus or Answer.EndpointHash;

    public override void MemberList(MembersResponse r) =>
        Terminal.Write(Table.Render(Rows.MemberHeader, Rows.Members(r)));

    public override void Health(IReadOnlyList<EndpointHealth> all) =>
        Terminal.Write(Table.Render(Rows.HealthHeader, Rows.Health(all)));

    public override void Status(IReadOnlyList<EndpointStatus> all) =>
        Terminal.Write(Table.Render(Rows.StatusHeader, Rows.Status(all)));

    public override void Hash(IReadOnlyList<EndpointHash> all) =>
        Terminal.Write(Table.Render(Rows.HashHeader, Rows.Hashes(all)));
}
