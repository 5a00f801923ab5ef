'use strict'
// A restart that was asked for: an event, or else a shutdown.
const assert = require('node:assert')
const { once } = require('node:events')
const { it } = require('node:test')
const { Client, Member, fresh } = require('./lib/comrade')

async function started(options) {
  const store = `memory:${fresh('restart')}`
  const member = new Member({ store, role: 'app', id: 'a', heartbeat: 100, ...options })
  await member.start()
  return { member, client: new Client({ store, heartbeat: 100 }), store }
}

it('a restart reaches its listeners, with who asked and why', async () => {
  const { member, client } = await started()
  const told = once(member, 'restart')
  await client.restartMember('a', { reason: 'new release', user: 'ann' })
  const [request] = await told
  assert.strictEqual(request.reason, 'new release')
  assert.strictEqual(request.user, 'ann')
  assert.strictEqual(member.alive, false)
  assert.deepStrictEqual(await client.getMembers({ alive: true }), [])
  member.stop()
})

it('who does not listen for it is shut down, once', async () => {
  const { member, client } = await started()
  let count = 0
  member.on('shutdown', () => count++)
  const told = once(member, 'shutdown')
  await client.restartMember('a')
  await told
  await client.killMember('a')
  await member.update()
  assert.strictEqual(count, 1)
  member.stop()
})

it('it comes back as another member of the same id', async () => {
  const { member, client, store } = await started()
  const before = await client.getMembers({ details: true })
  const told = once(member, 'restart')
  await client.restartMember('a')
  await told
  member.stop()
  const next = new Member({ store, role: 'app', id: 'a', heartbeat: 100 })
  await next.start()
  const [after] = await client.getMembers({ details: true })
  assert.ok(after.incarnation > before[0].incarnation)
  assert.deepStrictEqual({ alive: after.alive, shutdownDate: after.shutdownDate, request: after.request },
    { alive: true, shutdownDate: undefined, request: undefined })
  next.stop()
})

it('a kill after a restart is told, too', async () => {
  const { member, client } = await started()
  const restarting = once(member, 'restart')
  await client.restartMember('a')
  await restarting
  const shutting = once(member, 'shutdown')
  const alive = setInterval(() => {}, 1000) // a member that leaves keeps no process alive
  await client.killMember('a')
  await shutting
  clearInterval(alive)
  member.stop()
})
