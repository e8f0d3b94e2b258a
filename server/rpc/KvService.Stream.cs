using System.Buffers;
using Etcdserverpb;
using Google.Protobuf;
using Perf.Grpc;
using Perf.Store;
using Perf.Store.Auth;
using Perf.Store.Commands;

namespace Perf.Rpc;

/// <summary>KV.RangeStream: one range in pieces, all of them as of one revision (SURFACE RNG-13).</summary>
internal sealed partial class KvService
{
    /// <summary>Keys of the first piece; later ones are made larger or smaller until they come near the request limit.</summary>
    private const long FirstPieceKeys = 10;

    private const int RangeResponseField = 1;
    private const int KvsField = 2;
    private const int MoreField = 3;
    private const int CountField = 4;

    /// <summary>How many keys the next piece asks for, after one of so many keys had so many bytes.</summary>
    internal static long NextPieceKeys(long keys, int bytes, int wantedBytes) =>
        bytes < wantedBytes / 2 ? keys * 2
        : bytes > wantedBytes * 2L ? Math.Max(1, keys / 2)
        : keys;

    private async ValueTask RangeStream(ServerCall call)
    {
        RangeRequest request = Messages.Parse(RangeRequest.Parser, call);
        StoreError error = RequestValidator.ValidateRange(request.ToByteArray());
        if (error == StoreError.None && Unsupported(request) is { } what)
        {
            call.Fail(StatusCode.Unimplemented, "RangeStream does not support " + what);
            return;
        }

        if (error == StoreError.None)
        {
            error = admission.Admit(call, learnerServes: request.Serializable);
        }

        if (error == StoreError.None && !request.Serializable)
        {
            error = await node.LinearizableAsync().ConfigureAwait(false);
        }

        ulong authRevision = admission.AuthRevision;
        if (error == StoreError.None)
        {
            error = MayRead(call, request);
        }

        if (error == StoreError.None)
        {
            error = await SendPiecesAsync(call, request, authRevision).ConfigureAwait(false);
        }

        if (error != StoreError.None)
        {
            StatusMapping.Fail(call, error);
        }
    }

    private static string? Unsupported(RangeRequest request)
    {
        bool isInOrder = request.SortOrder == RangeRequest.Types.SortOrder.None
            || (request.SortTarget == RangeRequest.Types.SortTarget.Key
                && request.SortOrder == RangeRequest.Types.SortOrder.Ascend);
        return !isInOrder ? "custom sort orders"
            : (request.MinModRevision | request.MaxModRevision | request.MinCreateRevision | request.MaxCreateRevision) != 0
                ? "revision filters"
            : null;
    }

    private StoreError MayRead(ServerCall call, RangeRequest request)
    {
        StoreError error = admission.Subject(call, out AuthSubject subject);
        return error == StoreError.None && !subject.MayDoEverything
            ? RequestAuthorizer.CheckRange(subject, request.ToByteArray())
            : error;
    }

    private async ValueTask<StoreError> SendPiecesAsync(ServerCall call, RangeRequest request, ulong authRevision)
    {
        long wanted = request.Limit > 0 ? request.Limit : long.MaxValue;
        long sent = 0;
        long headerRevision = 0;

        // Pieces come in key order whatever the target is: without an order there is nothing to sort by.
        request.SortTarget = RangeRequest.Types.SortTarget.Key;
        request.Limit = Math.Min(FirstPieceKeys, wanted);
        while (true)
        {
            var held = new HeldResponse();
            StoreError error = Read(request, held, counts: request.CountOnly);
            if (error != StoreError.None)
            {
                return error;
            }

            Piece piece = Piece.Of(held.Written);
            if (headerRevision == 0)
            {
                headerRevision = piece.Revision;
                request.Revision = request.Revision > 0 ? request.Revision : headerRevision;
            }

            sent += piece.Keys;
            bool isLast = !piece.More || sent == wanted;
            long count = request.CountOnly ? piece.Count : sent;
            ByteString next = ByteString.CopyFrom([.. piece.LastKey(held.Written), 0]);
            if (isLast && piece.More)
            {
                (error, long rest) = CountFrom(request, next);
                if (error != StoreError.None)
                {
                    return error;
                }

                count += rest;
            }

            if (admission.AuthRevision != authRevision)
            {
                return StoreError.AuthOldRevision;
            }

            WritePiece(call, piece.Kvs(held.Written), isLast, piece.More, count, headerRevision);
            if (isLast)
            {
                return StoreError.None;
            }

            await call.FlushAsync().ConfigureAwait(false);
            request.Key = next;
            request.Limit = Math.Min(
                NextPieceKeys(request.Limit, held.Written.Length, node.Config.MaxRequestBytes), wanted - sent);
        }
    }

    private StoreError Read(RangeRequest request, HeldResponse held, bool counts)
    {
        RangeView.TryParse(request.ToByteArray(), out RangeView range);
        return node.State.Machine.Kv.Range(range, node.Header(), held, counts);
    }

    private (StoreError Error, long Count) CountFrom(RangeRequest request, ByteString key)
    {
        var held = new HeldResponse();
        StoreError error = Read(
            new RangeRequest { Key = key, RangeEnd = request.RangeEnd, Revision = request.Revision, CountOnly = true },
            held,
            counts: true);
        return (error, error == StoreError.None ? Piece.Of(held.Written).Count : 0);
    }

    private void WritePiece(
        ServerCall call, ReadOnlySpan<byte> kvs, bool isLast, bool more, long count, long revision)
    {
        Store.Commands.ResponseHeader header = node.Header() with { Revision = revision };
        int bytes = kvs.Length
            + (isLast ? header.FieldBytes + ProtoSize.Bool(MoreField, more) + ProtoSize.Int64(CountField, count) : 0);
        int whole = ProtoSize.Message(RangeResponseField, bytes);
        IBufferWriter<byte> target = call.StartMessage(whole);
        var writer = new ProtoWriter(target.GetSpan(whole));
        writer.MessageHead(RangeResponseField, bytes);
        if (isLast)
        {
            header.WriteField(ref writer);
        }

        writer.Raw(kvs);
        if (isLast)
        {
            writer.Bool(MoreField, more);
            writer.Int64(CountField, count);
        }

        target.Advance(writer.Position);
    }

    /// <summary>What the store wrote for a piece, by position: the keys are sent as they stand.</summary>
    private readonly record struct Piece(
        long Revision, int Keys, bool More, long Count, int KvsAt, int KvsBytes, int LastAt, int LastBytes)
    {
        public static Piece Of(ReadOnlySpan<byte> response)
        {
            long revision = 0;
            int keys = 0;
            bool more = false;
            long count = 0;
            int kvsAt = 0;
            int kvsEnd = 0;
            int lastAt = 0;
            int lastBytes = 0;
            int at = 0;
            var reader = new ProtoReader(response);
            while (reader.Next())
            {
                switch (reader.Field)
                {
                    case 1:
                        revision = RevisionOf(reader.Bytes);
                        break;
                    case KvsField:
                        kvsAt = keys == 0 ? at : kvsAt;
                        keys++;
                        lastBytes = reader.Bytes.Length;
                        lastAt = reader.Position - lastBytes;
                        kvsEnd = reader.Position;
                        break;
                    case MoreField:
                        more = reader.Bool;
                        break;
                    case CountField:
                        count = reader.Int64;
                        break;
                }

                at = reader.Position;
            }

            return new Piece(revision, keys, more, count, kvsAt, kvsEnd - kvsAt, lastAt, lastBytes);
        }

        public ReadOnlySpan<byte> Kvs(ReadOnlySpan<byte> response) => response.Slice(KvsAt, KvsBytes);

        public ReadOnlySpan<byte> LastKey(ReadOnlySpan<byte> response)
        {
            KeyValueView.TryParse(response.Slice(LastAt, LastBytes), out KeyValueView last);
            return last.Key;
        }

        private static long RevisionOf(ReadOnlySpan<byte> header)
        {
            long revision = 0;
            var reader = new ProtoReader(header);
            while (reader.Next())
            {
                revision = reader.Field == 3 ? reader.Int64 : revision;
            }

            return revision;
        }
    }
}
