using Perf.Fuzz.Targets;

namespace Perf.Fuzz;

/// <summary>Every target, made anew.</summary>
internal static class AllTargets
{
    public static IEnumerable<FuzzTarget> New() =>
    [
        new PutTarget(), new RangeTarget(), new DeleteRangeTarget(), new TxnTarget(), new InternalRequestTarget(),
        new EntryTarget(), new MessageTarget(), new SmallCodecTarget(), new MsgAppTarget(),
        new WalTarget(), new DataFileTarget(), new SnapTarget(),
        new V2JsonTarget(), new V2RequestTarget(), new KeyRangeTarget(),
        new GatewayTarget(), new JwtTarget(), new TxnInputTarget(),
        new FlagsTarget(), new YamlTarget(), new DurationTarget(), new GrpcTextTarget(),
        new Http2Target(), new HpackTarget(),
    ];
}
