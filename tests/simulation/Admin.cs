using System.Text;
using Perf.Store;
using Perf.Store.Commands;

namespace Perf.Simulation;

/// <summary>Changes users, roles and permissions, and switches auth on and off. What it comes to is in the log.</summary>
internal sealed class Admin(Simulation world, Dice dice)
{
    private readonly ProtoBuffer _body = new();
    private int _step;

    public void Start()
    {
        if (world.Plan.AuthEvery > 0)
        {
            world.Time.After(dice.Between(0, world.Plan.AuthEvery), Turn);
        }
    }

    private void Turn()
    {
        if (!world.IsFaulty)
        {
            return;
        }

        world.Time.After(dice.Between(50 * VirtualTime.Millisecond, 2 * world.Plan.AuthEvery), Turn);
        if (world.AnyHost(dice).Member is not { } member)
        {
            return;
        }

        // The first ones make what is needed, several times in case one is lost.
        switch (_step++ % 40)
        {
            case 0:
                Ask(member, InternalField.AuthUserAdd, "root", "", isUser: true);
                break;
            case 1:
                Ask(member, InternalField.AuthRoleAdd, "root", "");
                break;
            case 2:
                Ask(member, InternalField.AuthUserGrantRole, "root", "root");
                break;
            case 3 or 4:
                Ask(member, InternalField.AuthUserAdd, $"u{_step % 2}", "", isUser: true);
                break;
            case 5 or 6 or 7:
                Ask(member, InternalField.AuthRoleAdd, $"r{_step % 3}", "");
                break;
            default:
                Some(member);
                break;
        }
    }

    private void Some(SimMember member)
    {
        string user = $"u{dice.Below(2)}";
        string role = $"r{dice.Below(3)}";
        switch (dice.Below(12))
        {
            case < 3:
                world.Count(Fault.AuthSwitched);
                Ask(member, InternalField.AuthEnable, "", "");
                break;
            case 3:
                world.Count(Fault.AuthSwitched);
                Ask(member, InternalField.AuthDisable, "", "");
                break;
            case < 7:
                Ask(member, InternalField.AuthUserGrantRole, user, role);
                break;
            case 7:
                Ask(member, InternalField.AuthUserRevokeRole, user, role);
                break;
            case 8:
                Ask(member, InternalField.AuthRoleDelete, role, "");
                break;
            case 9:
                Ask(member, InternalField.AuthRoleAdd, role, "");
                break;
            default:
                Grant(member, role);
                break;
        }
    }

    private void Grant(SimMember member, string role)
    {
        // One range for each first key: the product keeps etcd's rule for several.
        int first = dice.Below(4);
        (string from, string end) = first switch
        {
            0 => ("k", "l"),
            1 => ("k05", ""),
            2 => ("x", "\0"),
            _ => ("k00", "k12"),
        };
        _body.Clear();
        _body.Bytes(1, Encoding.UTF8.GetBytes(role));
        int permission = _body.BeginMessage(2);
        _body.Int64(1, dice.Below(3));
        _body.Bytes(2, Encoding.UTF8.GetBytes(from));
        _body.Bytes(3, Encoding.UTF8.GetBytes(end));
        _body.EndMessage(permission);
        Send(member, InternalField.AuthRoleGrantPermission, $"grant {role} {from}..{end}");
    }

    private void Ask(SimMember member, int field, string first, string second, bool isUser = false)
    {
        _body.Clear();
        _body.Bytes(1, Encoding.UTF8.GetBytes(first));
        _body.Bytes(2, Encoding.UTF8.GetBytes(second));
        if (isUser)
        {
            int options = _body.BeginMessage(3);
            _body.Bool(1, true);
            _body.EndMessage(options);
        }

        Send(member, field, $"auth {field} {first} {second}");
    }

    private void Send(SimMember member, int field, string text)
    {
        world.Chronicle.Line($"admin m{member.Number} {text}");
        member.Propose(field, _body.WrittenMemory, member.Identity(dice.Percent(10) ? "u0" : "root"), request =>
        {
            world.Chronicle.Line($"admin m{member.Number} {text}: {request.Error}");
            if (request.Error == StoreError.None)
            {
                world.Count(Fault.RoleChanged);
            }

            world.CheckAnswer(request, $"auth {text}", null);
        });
    }
}
