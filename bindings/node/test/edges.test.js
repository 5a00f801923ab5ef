'use strict'
// What callers do that no page shows.
const assert = require('node:assert')
const { EventEmitter, once } = require('node:events')
const { inherits } = require('node:util')
const { it, mock } = require('node:test')
const { Client, Member, fresh, runProgram } = require('./lib/comrade')

const NOWHERE = 'postgres://nobody@127.0.0.1:1/none'
const place = () => ({ store: `memory:${fresh('edges')}` })

async function started(where, id, more = {}) {
  const member = new Member({ ...where, role: 'app', id, ...more })
  member.on('shutdown', () => member.stop())
  await member.start()
  return member
}

it('a call that is made and forgotten ends no process when it fails', async () => {
  const { code, stdout, stderr } = await runProgram(`
    const { Client, Member } = require(process.env.COMRADE_PACKAGE)
    const client = new Client({ store: 'memory:forgotten' })
    client.killMember('nobody')
    client.killOldestMember({})
    new Member({ store: ${JSON.stringify(NOWHERE)}, role: 'app' }).fetch()
    setTimeout(() => console.log('alive'), 500)`)
  assert.deepStrictEqual([code, stdout], [0, 'alive\n'], stderr)
  assert.match(stderr, /ComradeWarning: no member "nobody"/)
  assert.match(stderr, /ComradeWarning: You must set a role/)
})

it('a failure that is awaited is no warning, and one that is chained is as of any promise', async () => {
  const { code, stderr } = await runProgram(`
    const client = new (require(process.env.COMRADE_PACKAGE).Client)({ store: 'memory:awaited' })
    const main = async () => {
      try { await client.killMember('nobody') } catch (error) { if (error.code !== 'NOT_FOUND') throw error }
      await Promise.allSettled([client.killMember('nobody')])
      process.on('unhandledRejection', (error) => process.exit(error.code === 'NOT_FOUND' ? 7 : 1))
      client.killMember('nobody').then(() => {})
    }
    main()`)
  assert.deepStrictEqual([code, stderr], [7, ''])
})

for (const [minimum, killed] of [[Infinity, 0], [NaN, 0], [2 ** 32, 0], [2.5, 1], [-1, 3]]) {
  it(`a minimum of ${minimum} lets ${killed} of three be killed, as in the original`, async () => {
    const where = place()
    for (const id of ['a', 'b', 'c']) {
      await started(where, id)
    }
    const client = new Client({ ...where, roles: { app: { minMembers: minimum } } })
    const all = []
    for (let i = 0; i < 4; i++) {
      all.push(await client.killOldestMember({ role: 'app' }))
    }
    assert.strictEqual(all.filter(Boolean).length, killed)
    await Promise.all(['a', 'b', 'c'].map((id) => client.killMember(id)))
  })
}

it('a minimum for everybody is an integer or null', async () => {
  const client = new Client(place())
  for (const minMembers of [Infinity, NaN, 1.5, -1, 2 ** 32, '3', undefined]) {
    await assert.rejects(client.setRole('app', { minMembers }), { code: 'INVALID' })
  }
  assert.strictEqual((await client.getRole('app')).minMembers, null)
})

it('a save and the start that follows it do not meet', async () => {
  const where = place()
  const member = new Member({ ...where, role: 'app', id: 'a' })
  member.on('error', assert.ifError)
  const saves = [member.save(), member.update(), member.save()]
  await member.start()
  await Promise.all(saves)
  const [data] = await new Client(where).getMembers({})
  assert.strictEqual(data.alive, true)
  member.stop()
})

it('a save that the store does not take is told of, started or not', { skip: !mock.timers && 'needs the mock of timers' }, async () => {
  const where = { store: NOWHERE, callTimeout: 500, role: 'app' }
  await assert.rejects(new Member(where).save(), { code: 'UNAVAILABLE' })
  await assert.rejects(new Member(where).update(), { code: 'UNAVAILABLE' })
  const member = new Member(where)
  member.on('error', () => {})
  member.start()
  mock.timers.enable({ apis: ['setTimeout'] })
  const save = member.save()
  mock.timers.tick(15000)
  const error = await save.catch((failure) => failure)
  mock.timers.reset()
  assert.strictEqual(error.code, 'TIMED_OUT')
  member.stop()
})

it('a member that was zombified knows it, and saves so', async () => {
  const where = place()
  const client = new Client(where)
  const member = await started(where, 'a')
  const heard = once(member, 'zombified')
  await client.zombifyMember('a')
  await heard
  assert.strictEqual(member.alive, false)
  await member.save()
  assert.strictEqual((await client.getMembers({}))[0].alive, false)
  member.stop()
})

it('metadata that holds nothing is none, and an id may be a number', async () => {
  const where = place()
  const members = []
  for (const metadata of ['', false, null, [], {}]) {
    members.push(await started(where, members.length + 1, { metadata }))
  }
  const list = await new Client(where).getMembers({})
  assert.deepStrictEqual(list.map((data) => [data.id, 'metadata' in data]),
    ['1', '2', '3', '4', '5'].map((id) => [id, false]))
  members.forEach((member) => member.stop())
})

it('keys of metadata that mean something to JavaScript are keys', async () => {
  const where = place()
  const text = '{"__proto__":{"polluted":1},"constructor":2,"toString":3}'
  const member = await started(where, 'a', { metadata: JSON.parse(text) })
  const [data] = await new Client(where).getMembers({})
  assert.strictEqual(JSON.stringify(data.metadata), text)
  assert.strictEqual({}.polluted, undefined)
  member.stop()
})

it('what a health check returns is its answer only where it is one', async () => {
  const where = place()
  const member = await started(where, 'a')
  const inner = (data, callback) => {
    setImmediate(callback, false)
    return { request: 'under way' }
  }
  const wrapped = (...args) => inner(...args)
  for (const [healthCheck, isHealthy] of [[wrapped, false], [() => true, true], [() => false, false]]) {
    const [data] = await new Client({ ...where, healthCheck }).getMembers({})
    assert.strictEqual(data.healthy, isHealthy)
  }
  member.stop()
})

it('others inherit from the classes as from functions, and as from classes', async () => {
  const where = place()
  function Own(options) {
    Member.call(this, options)
    this.on('shutdown', () => this.stop())
  }
  inherits(Own, Member)
  function OwnClient(options) {
    Client.call(this, options)
  }
  inherits(OwnClient, Client)
  OwnClient.prototype.healthCheck = (data, callback) => callback(data.id === 'own')
  class Newer extends Member {}
  const own = new Own({ ...where, role: 'app', id: 'own' })
  const newer = new Newer({ ...where, role: 'app', id: 'newer' })
  assert.ok(own instanceof Member && own instanceof EventEmitter && newer instanceof Member)
  assert.strictEqual(new Member({ ...where, role: 'app' }).constructor, Member)
  await Promise.all([own.start(), newer.start()])
  const client = new OwnClient(where)
  assert.deepStrictEqual((await client.getMembers({ healthy: true })).map(({ id }) => id), ['own'])
  const heard = once(own, 'shutdown')
  await client.killMember('own')
  await heard
  newer.stop()
  assert.throws(() => Member({ ...where, role: 'app' }), TypeError)
})

it('roles and health checks that are set later count from the next call on', async () => {
  const where = place()
  const members = [await started(where, 'a'), await started(where, 'b')]
  const client = new Client(where)
  const [before] = await client.getMembers({})
  const watch = client.watch({})
  client.roles.app = { minMembers: 2 }
  assert.strictEqual(await client.killOldestMember({ role: 'app' }), null)
  client.roles.app.minMembers = 0
  client.healthCheck = (data, callback) => callback(data.id === 'b')
  const [after] = await client.getMembers({})
  assert.deepStrictEqual([before.healthy, after.healthy], [true, false])
  global.gc?.()
  const changed = once(watch, 'change')
  assert.strictEqual((await client.killOldestMember({ role: 'app', healthy: true })).id, 'b')
  await changed
  watch.close()
  members.forEach((member) => member.stop())
})
