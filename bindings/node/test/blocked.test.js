'use strict'
// A service whose event loop is blocked does not serve, and others are to see that.
const assert = require('node:assert')
const { it } = require('node:test')
const { once } = require('node:events')
const { Worker } = require('node:worker_threads')
const path = require('node:path')
const { Client, sqliteStore, until } = require('./lib/comrade')

it('a member whose event loop is blocked is not refreshed, and recovers by itself', async () => {
  const store = sqliteStore()
  const gate = new Int32Array(new SharedArrayBuffer(4))
  const worker = new Worker(`
    const { workerData, parentPort } = require('node:worker_threads')
    const { Member } = require(workerData.package)
    const member = new Member({ store: workerData.store, role: 'app', id: 'a', heartbeat: 100, blockedLimit: 500 })
    member.on('shutdown', () => member.stop())
    member.start().then(() => parentPort.postMessage('up'))
    parentPort.once('message', () => {
      Atomics.wait(workerData.gate, 0, 0)
      parentPort.unref()
    })`, { eval: true, workerData: { store, gate, package: path.join(__dirname, '..') } })
  await once(worker, 'message')
  const client = new Client({ store })
  const updated = async () => (await client.getMembers({}))[0].updated
  const before = await updated()
  await until(async () => await updated() > before) // refreshed while it is not blocked

  worker.postMessage('block')
  let last = await updated()
  await until(async () => {
    const previous = last
    await new Promise((resolve) => setTimeout(resolve, 1000))
    last = await updated()
    return last === previous
  })
  Atomics.store(gate, 0, 1)
  Atomics.notify(gate, 0)
  await until(async () => await updated() > last)

  const exited = once(worker, 'exit')
  await client.killMember('a')
  assert.deepStrictEqual(await exited, [0])
})
