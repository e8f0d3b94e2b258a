// etcd through grpc-js: the npm package etcd3. Arguments: host:port, and the folder with node_modules. Prints
// "done <step>" after each step. At "restart" it waits for a line: by then the server has ended and begun again.
'use strict';
const assert = require('assert');
const readline = require('readline');
const { createRequire } = require('module');
const path = require('path');

const { Etcd3 } = createRequire(path.resolve(process.argv[3], 'index.js'))('etcd3');
const client = new Etcd3({ hosts: 'http://' + process.argv[2], dialTimeout: 30000 });
const done = step => console.log('done ' + step);
const pause = ms => new Promise(resolve => setTimeout(resolve, ms));

/** Asks until the answer is what is wanted; the client gives up a call when the connection is gone. */
async function until(what, condition) {
  for (let tries = 0; tries < 300; tries++) {
    try {
      if (await condition()) {
        return;
      }
    } catch (e) {
      if (tries === 299) {
        throw e;
      }
    }
    await pause(100);
  }
  throw new Error('waited in vain for ' + what);
}

function line() {
  return new Promise(resolve => {
    const input = readline.createInterface({ input: process.stdin });
    input.once('line', () => {
      input.close();
      resolve();
    });
  });
}

async function main() {
  await client.put('js/a').value('1');
  assert.strictEqual(await client.get('js/a').string(), '1');
  assert.deepStrictEqual(await client.getAll().prefix('js/').strings(), { 'js/a': '1' });
  done('put-get');

  for (const expected of ['1', 'wrong']) {
    const answer = await client
      .if('js/a', 'Value', '==', expected)
      .then(client.put('js/b').value('2'))
      .else(client.get('js/b'))
      .commit();
    assert.strictEqual(answer.succeeded, expected === '1');
  }
  assert.strictEqual(await client.get('js/b').string(), '2');
  done('txn');

  const seen = [];
  const watcher = await client.watch().prefix('js/').create();
  let connections = 0;
  watcher.on('connected', () => connections++);
  watcher.on('put', kv => seen.push(kv.value.toString()));
  watcher.on('delete', kv => seen.push('-' + kv.key.toString()));
  await client.put('js/a').value('3');
  await client.delete().key('js/b');
  await until('two events', () => seen.length === 2);
  assert.deepStrictEqual(seen, ['3', '-js/b']);
  done('watch');

  console.log('restart');
  await line();
  await until('a put after the restart', async () => { await client.put('js/c').value('5'); return true; });
  await client.put('js/c').value('6');

  // A put whose answer was lost may have been done twice.
  await until('the events after the restart', () => seen[seen.length - 1] === '6');
  assert.deepStrictEqual([...new Set(seen)], ['3', '-js/b', '5', '6']);
  assert.ok(connections > 0);
  await watcher.cancel();
  done('watch-resumed');

  const lease = client.lease(5);
  await lease.put('js/leased').value('x');
  await pause(7000);
  assert.strictEqual(await client.get('js/leased').string(), 'x');
  await lease.keepaliveOnce();
  lease.release();
  await until('the end of the lease', async () => (await client.get('js/leased').string()) === null);
  done('lease');

  const first = await client.lock('js-lock').ttl(60).acquire();
  await assert.rejects(client.lock('js-lock').ttl(60).acquire(), /lock/i);
  await first.release();
  const second = await client.lock('js-lock').ttl(60).acquire();
  await second.release();
  done('lock');

  const election = client.election('js-election', 60);
  const campaign = election.campaign('one');
  await new Promise((resolve, reject) => {
    campaign.once('elected', resolve);
    campaign.once('error', reject);
  });
  assert.strictEqual(await election.leader(), 'one');
  const observer = await election.observe();
  await until('the leader', () => observer.leader() === 'one');
  await campaign.proclaim('still one');
  await until('what was proclaimed', () => observer.leader() === 'still one');
  await campaign.resign();
  await until('nobody leading', () => observer.leader() === undefined);
  await observer.cancel();
  done('election');
}

main().then(() => process.exit(0), e => {
  console.error(e);
  process.exit(1);
});
