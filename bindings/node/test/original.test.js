'use strict'
// One fleet of comrade 0.0.3, as published, and of ours: each sees, kills and clears the other's members.
const assert = require('node:assert')
const { promisify } = require('node:util')
const { after, before, it } = require('node:test')
const { once } = require('node:events')
const original = require('comrade-original')
const { Client, Member, until } = require('./lib/comrade')
const { startDatastore } = require('./lib/servers')
const Dataset = require('./lib/original-dataset')

// The original waits 15 s for each call that has long been done, and keeps its process alive so long.
const { setTimeout: startTimer } = global
global.setTimeout = (run, delay, ...rest) => {
  const timer = startTimer(run, delay, ...rest)
  return delay === 15000 ? timer.unref() : timer
}

const HOUR_MS = 3600 * 1000
const log = console.log
let server
let dataset
let ours
let theirs
const members = []

before(async () => {
  server = await startDatastore()
  dataset = new Dataset(server.endpoint, 'fleet')
  const place = { store: `datastore://fleet?endpoint=${encodeURIComponent(server.endpoint)}`, heartbeat: 200 }
  ours = new Client(place)
  theirs = new original.Client({ googleDataset: dataset })
  console.log = () => {} // the original talks
})

after(async () => {
  console.log = log
  members.forEach((member) => member.stop())
  await server.close()
})

async function startOurs(id) {
  const member = ours.createMember({ role: 'app', id, metadata: { ip: '10.0.0.1', port: 80 } })
  members.push(member)
  await member.start()
  return member
}

async function startTheirs(id) {
  const member = new original.Member({ googleDataset: dataset, role: 'app', id, metadata: { ip: '10.0.0.2', port: 81 } })
  member.on('shutdown', () => {})
  members.push(member)
  member.start()
  await until(async () => dataset.lookup({ path: ['ComradeServer', id] }))
  return member
}

const listTheirs = (options) => promisify(theirs.getMembers).call(theirs, options)

it('each lists the other', async () => {
  await startOurs('ours')
  await startTheirs('theirs')
  const expected = { ours: { ip: '10.0.0.1', port: 80 }, theirs: { ip: '10.0.0.2', port: 81 } }
  for (const list of [await ours.getMembers({ role: 'app', alive: true }), await listTheirs({ role: 'app', alive: true })]) {
    assert.deepStrictEqual(Object.fromEntries(list.map(({ id, metadata }) => [id, metadata])), expected)
    assert.ok(list.every(({ healthy, stale, role }) => healthy && !stale && role === 'app'))
  }
})

it('the original kills ours', async () => {
  const member = await startOurs('killed-by-theirs')
  const heard = once(member, 'shutdown')
  await promisify(theirs.killMember).call(theirs, 'killed-by-theirs')
  await heard
  assert.strictEqual((await listTheirs({ role: 'app' })).find(({ id }) => id === member.id).alive, false)
})

it('ours kills the original, which hears of it when it looks', async () => {
  const member = await startTheirs('killed-by-ours')
  const heard = once(member, 'shutdown')
  await ours.killMember('killed-by-ours')
  member.checkShutdownDate() // every ten seconds, it does that by itself
  await heard
  await until(async () => (await ours.getMembers({ role: 'app' })).find(({ id }) => id === member.id).alive === false)
})

it('each zombifies the other', async () => {
  await startOurs('zombie-of-ours')
  await startTheirs('zombie-of-theirs')
  await promisify(theirs.zombifyMember).call(theirs, 'zombie-of-ours')
  await ours.zombifyMember('zombie-of-theirs')
  for (const list of [() => ours.getMembers({ alive: false }), () => listTheirs({ alive: false })]) {
    await until(async () => {
      const ids = (await list()).map(({ id }) => id)
      return ids.includes('zombie-of-ours') && ids.includes('zombie-of-theirs')
    })
  }
})

// A record as the original leaves it, silent for two hours.
async function leave(id) {
  const then = Date.now() - 2 * HOUR_MS
  await dataset.commit([dataset.upsertOf({
    key: { path: ['ComradeServer', id] }, data: { role: 'app', alive: true, created: then, updated: then }
  })])
}

it('ours clears what the original has left', async () => {
  await leave('left')
  const cleared = await ours.clearStaleMembers()
  assert.deepStrictEqual(cleared.map(({ id }) => id), ['left'])
  assert.ok(!(await listTheirs({})).some(({ id }) => id === 'left'))
})

it('the original clears what is stale, and ours lists it no more', async () => {
  await leave('left again')
  await promisify(theirs.clearStaleMembers).call(theirs)
  assert.ok(!(await ours.getMembers({})).some(({ id }) => id === 'left again'))
})
