'use strict'
// What a member is told, and how often.
const assert = require('node:assert')
const { once } = require('node:events')
const { after, it } = require('node:test')
const { Client, Member, fresh, runProgram, sqliteStore, until } = require('./lib/comrade')

const members = []
after(() => members.forEach((member) => member.stop()))

function create(options) {
  const member = new Member({ role: 'app', id: 'a', ...options })
  members.push(member)
  return member
}

it('a member is registered once, however often it is started', async () => {
  const store = `memory:${fresh('events')}`
  const member = create({ store })
  let n = 0
  member.on('registered', () => n++)
  const [first, second] = [member.start(), member.start()]
  assert.strictEqual(first, second)
  await first
  await until(() => n === 1)
  await member.update()
  assert.strictEqual(n, 1)
  assert.strictEqual((await new Client({ store }).getMembers({})).length, 1)
})

it('shutdown is told once, however often it is asked', async () => {
  const store = sqliteStore()
  const member = create({ store, heartbeat: 100 })
  const client = new Client({ store })
  const requests = []
  member.on('shutdown', (request) => requests.push(request))
  await member.start()
  await client.killMember('a', { reason: 'first' })
  await client.killMember('a', { reason: 'second' })
  await until(() => requests.length > 0)
  for (let i = 0; i < 3; i++) {
    await member.update()
  }
  assert.deepStrictEqual(requests.map(({ reason }) => reason), ['first'])
  assert.strictEqual(member.alive, false)
  assert.strictEqual(member.shutdownDate, requests[0].requested)
})

it('others see that it leaves before it is told', async () => {
  const store = sqliteStore()
  const member = create({ store })
  const client = new Client({ store })
  await member.start()
  const seen = new Promise((resolve) => {
    member.once('shutdown', () => client.getMembers({ alive: true }, (error, list) => resolve(list)))
  })
  await client.killMember('a')
  assert.deepStrictEqual(await seen, [])
})

it('the older of two with one id is fenced', async () => {
  const store = sqliteStore()
  const older = create({ store, heartbeat: 100 })
  await older.start()
  const fenced = once(older, 'fenced')
  // Another interval is another connection, as another process has one.
  const newer = create({ store, heartbeat: 200 })
  await newer.start()
  await fenced
  await newer.update()
  assert.strictEqual((await new Client({ store }).getMembers({})).length, 1)
})

it('a member that has the id of a started one of its own is refused', async () => {
  const store = `memory:${fresh('events')}`
  await create({ store }).start()
  const second = create({ store })
  const heard = once(second, 'error')
  await assert.rejects(second.start(), { code: 'IN_USE' })
  assert.strictEqual((await heard)[0].code, 'IN_USE')
})

it('a store that cannot be reached is a warning where nobody listens, and ends no process', async () => {
  const { code, stderr } = await runProgram(`
    const { Member } = require(process.env.COMRADE_PACKAGE)
    const member = new Member({ store: 'postgres://nobody@127.0.0.1:1/none', role: 'app', id: 'a' })
    member.start()
    process.on('warning', (warning) => { console.error(warning.code); setTimeout(() => member.stop(), 100) })`)
  assert.strictEqual(code, 0)
  assert.match(stderr, /ComradeWarning: member a: .*refused/)
  assert.match(stderr, /^UNAVAILABLE$/m)
})

it('what cannot be is told at once', () => {
  const store = `memory:${fresh('events')}`
  assert.throws(() => new Member({ store }), { code: 'INVALID', message: 'You must set a role' })
  assert.throws(() => new Member({ store, role: 'x'.repeat(65) }), (error) => /INVALID|TOO_LARGE/.test(error.code))
  assert.throws(() => new Member({ store, role: 'app', metadata: { text: 'x'.repeat(9000) } }), { code: 'TOO_LARGE' })
  assert.throws(() => new Member({ store, role: 'app\0' }), { code: 'INVALID' })
  assert.throws(() => new Client({ store: 'mysql://x' }), { code: 'INVALID' })
  assert.throws(() => new Client({ store, heartbeat: 1 }), { code: 'INVALID' })
})
