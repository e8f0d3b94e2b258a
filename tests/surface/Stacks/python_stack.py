"""etcd through C-core (Debian's python3-grpcio), with messages made by protoc from this repository's .proto files.

Arguments: host:port, and the folder protoc wrote to. Prints "done <step>" after each step. At "restart" it waits for a
line: by then the server has ended and begun again on the same data.
"""
import sys
import threading
import time

sys.path.insert(0, sys.argv[2])

import grpc  # noqa: E402
from etcdserverpb import kv_pb2, lease_pb2, watch_pb2  # noqa: E402
from v3electionpb import v3election_pb2  # noqa: E402
from v3lockpb import v3lock_pb2  # noqa: E402

TIMEOUT = 60


def done(step):
    print("done " + step, flush=True)


def connect():
    return grpc.insecure_channel(sys.argv[1])


def unary(channel, path, request, response):
    method = channel.unary_unary(
        path, request_serializer=lambda m: m.SerializeToString(), response_deserializer=response.FromString)
    return method(request, timeout=TIMEOUT, wait_for_ready=True)


def put(channel, key, value, lease=0):
    request = kv_pb2.PutRequest(key=key, value=value, lease=lease)
    return unary(channel, "/etcdserverpb.KV/Put", request, kv_pb2.PutResponse)


def get(channel, key):
    return unary(channel, "/etcdserverpb.KV/Range", kv_pb2.RangeRequest(key=key), kv_pb2.RangeResponse)


class Requests:
    """The request side of a stream: what is sent goes out in order, until it is closed."""

    def __init__(self):
        self._waiting = []
        self._changed = threading.Condition()
        self._closed = False

    def send(self, message):
        with self._changed:
            self._waiting.append(message)
            self._changed.notify()

    def close(self):
        with self._changed:
            self._closed = True
            self._changed.notify()

    def __iter__(self):
        return self

    def __next__(self):
        with self._changed:
            while not self._waiting and not self._closed:
                self._changed.wait()
            if not self._waiting:
                raise StopIteration
            return self._waiting.pop(0)


def stream(channel, path, response):
    requests = Requests()
    method = channel.stream_stream(
        path, request_serializer=lambda m: m.SerializeToString(), response_deserializer=response.FromString)
    return requests, method(requests, wait_for_ready=True)


def open_watch(channel, start):
    requests, responses = stream(channel, "/etcdserverpb.Watch/Watch", watch_pb2.WatchResponse)
    create = watch_pb2.WatchCreateRequest(key=b"py/", range_end=b"py0", start_revision=start, prev_kv=True)
    requests.send(watch_pb2.WatchRequest(create_request=create))
    created = next(responses)
    assert created.created and not created.canceled, created
    return requests, responses


def take(responses, count):
    events = []
    while len(events) < count:
        events.extend(next(responses).events)
    return events


channel = connect()

# Put and get.
assert put(channel, b"py/a", b"1").header.revision > 1
answer = get(channel, b"py/a")
assert answer.count == 1 and answer.kvs[0].value == b"1", answer
done("put-get")

# Transaction, with a comparison that holds and one that does not; and a refusal with its code and words.
for expected in (b"1", b"wrong"):
    txn = kv_pb2.TxnRequest(
        compare=[kv_pb2.Compare(key=b"py/a", target=kv_pb2.Compare.VALUE, result=kv_pb2.Compare.EQUAL, value=expected)],
        success=[kv_pb2.RequestOp(request_put=kv_pb2.PutRequest(key=b"py/b", value=b"2"))],
        failure=[kv_pb2.RequestOp(request_range=kv_pb2.RangeRequest(key=b"py/b"))])
    answer = unary(channel, "/etcdserverpb.KV/Txn", txn, kv_pb2.TxnResponse)
    assert answer.succeeded == (expected == b"1"), answer
assert answer.responses[0].response_range.kvs[0].value == b"2", answer
try:
    put(channel, b"", b"")
    raise AssertionError("an empty key was accepted")
except grpc.RpcError as refused:
    assert refused.code() == grpc.StatusCode.INVALID_ARGUMENT, refused
    assert refused.details() == "etcdserver: key is not provided", refused
done("txn")

# Watch, and go on where it stopped after the server has been away.
requests, responses = open_watch(channel, 0)
put(channel, b"py/a", b"3")
put(channel, b"py/a", b"4")
events = take(responses, 2)
assert [e.kv.value for e in events] == [b"3", b"4"], events
assert events[0].prev_kv.value == b"1", events
last = events[-1].kv.mod_revision
done("watch")

print("restart", flush=True)
sys.stdin.readline()
try:
    take(responses, 1)
    raise AssertionError("the stream has outlived its server")
except grpc.RpcError as ended:
    assert ended.code() in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED, grpc.StatusCode.UNKNOWN), ended
requests.close()
put(channel, b"py/c", b"5")
requests, responses = open_watch(channel, last + 1)
put(channel, b"py/c", b"6")
events = take(responses, 2)
assert [e.kv.value for e in events] == [b"5", b"6"], events
requests.send(watch_pb2.WatchRequest(cancel_request=watch_pb2.WatchCancelRequest(watch_id=0)))
assert next(responses).canceled
requests.close()
done("watch-resumed")

# Lease: kept alive it outlives its time, left alone it takes its key along.
grant = unary(channel, "/etcdserverpb.Lease/LeaseGrant", lease_pb2.LeaseGrantRequest(TTL=5), lease_pb2.LeaseGrantResponse)
assert grant.ID and grant.TTL == 5, grant
put(channel, b"leased", b"x", grant.ID)
requests, responses = stream(channel, "/etcdserverpb.Lease/LeaseKeepAlive", lease_pb2.LeaseKeepAliveResponse)
until = time.monotonic() + 7
while time.monotonic() < until:
    requests.send(lease_pb2.LeaseKeepAliveRequest(ID=grant.ID))
    assert next(responses).TTL == 5
    time.sleep(0.3)
assert get(channel, b"leased").count == 1
requests.close()
until = time.monotonic() + TIMEOUT
while get(channel, b"leased").count:
    assert time.monotonic() < until, "the lease does not end"
    time.sleep(0.1)
done("lease")


def session():
    request = lease_pb2.LeaseGrantRequest(TTL=120)
    return unary(channel, "/etcdserverpb.Lease/LeaseGrant", request, lease_pb2.LeaseGrantResponse).ID


# Lock: the second one waits until the first has let go.
first, second = session(), session()
held = unary(channel, "/v3lockpb.Lock/Lock", v3lock_pb2.LockRequest(name=b"lock", lease=first), v3lock_pb2.LockResponse)
method = channel.unary_unary(
    "/v3lockpb.Lock/Lock",
    request_serializer=lambda m: m.SerializeToString(),
    response_deserializer=v3lock_pb2.LockResponse.FromString)
waiting = method.future(v3lock_pb2.LockRequest(name=b"lock", lease=second), timeout=TIMEOUT)
time.sleep(0.5)
assert not waiting.done()
unary(channel, "/v3lockpb.Lock/Unlock", v3lock_pb2.UnlockRequest(key=held.key), v3lock_pb2.UnlockResponse)
assert waiting.result().key != held.key
done("lock")

# Election: campaign, proclaim, observe, resign, and the next one.
campaign = v3election_pb2.CampaignRequest(name=b"election", lease=first, value=b"one")
leader = unary(channel, "/v3electionpb.Election/Campaign", campaign, v3election_pb2.CampaignResponse).leader
observe = channel.unary_stream(
    "/v3electionpb.Election/Observe",
    request_serializer=lambda m: m.SerializeToString(),
    response_deserializer=v3election_pb2.LeaderResponse.FromString)
observed = observe(v3election_pb2.LeaderRequest(name=b"election"))
assert next(observed).kv.value == b"one"
proclaim = v3election_pb2.ProclaimRequest(leader=leader, value=b"still one")
unary(channel, "/v3electionpb.Election/Proclaim", proclaim, v3election_pb2.ProclaimResponse)
assert next(observed).kv.value == b"still one"
method = channel.unary_unary(
    "/v3electionpb.Election/Campaign",
    request_serializer=lambda m: m.SerializeToString(),
    response_deserializer=v3election_pb2.CampaignResponse.FromString)
waiting = method.future(
    v3election_pb2.CampaignRequest(name=b"election", lease=second, value=b"two"), timeout=TIMEOUT)
time.sleep(0.5)
assert not waiting.done()
unary(
    channel,
    "/v3electionpb.Election/Resign",
    v3election_pb2.ResignRequest(leader=leader),
    v3election_pb2.ResignResponse)
assert waiting.result().leader.lease == second
assert next(observed).kv.value == b"two"
observed.cancel()
done("election")
